package readapi

import (
	"context"
	"runtime/debug"
	"sync"
	"time"

	"github.com/gofiber/contrib/websocket"
	"github.com/gofiber/fiber/v2"

	"quipu/domain"
	"quipu/readapi/lao"
)

// Deps are what Live stands on; all are required.
type Deps struct {
	Log      Log
	Readers  ReaderFunc
	Clock    Clock
	Payloads lao.Payloads
}

// Live serves live sockets. Lifetime: NewLive, Register, then Shutdown before the app's own
// shutdown, which ignores sockets.
type Live struct {
	log      Log
	readers  ReaderFunc
	clock    Clock
	renderer *lao.Renderer
	options  Options
	origins  origins
	breaker  *loopBreaker

	// Sockets outlive the requests that opened them; this context ends with Shutdown.
	ctx    context.Context
	cancel context.CancelFunc

	mu       sync.Mutex
	draining bool
	sockets  map[*socket]struct{}
	names    map[domain.StreamID]int
	empty    chan struct{} // closed when draining and the last socket has left
}

// NewLive makes the live sockets. It panics if a dependency is missing.
func NewLive(deps Deps, options Options) *Live {
	if deps.Log == nil || deps.Readers == nil || deps.Clock == nil || deps.Payloads == nil {
		panic("readapi: NewLive needs a log, readers, a clock and payloads")
	}
	options = options.withDefaults()
	frames := options.Frames
	frames.LogID = deps.Log.ID()
	l := &Live{
		log: deps.Log, readers: deps.Readers, clock: deps.Clock,
		renderer: lao.New(deps.Log, deps.Payloads, frames),
		options:  options,
		origins:  newOrigins(options.AllowedOrigins),
		breaker:  newLoopBreaker(),
		sockets:  map[*socket]struct{}{}, names: map[domain.StreamID]int{}, empty: make(chan struct{}),
	}
	l.ctx, l.cancel = context.WithCancel(context.Background())
	return l
}

// Register adds /ws/:flow/:run to app. Routes below /ws that must win, such as /ws/workflows/:id,
// are registered before it (contract D2, V4).
func (l *Live) Register(app fiber.Router) {
	app.Get("/ws/:flow/:run", l.admit, websocket.New(l.serve, websocket.Config{
		// Small: clients send pings. What we send does not go through the library's buffers.
		ReadBufferSize: 512, WriteBufferSize: 512, WriteBufferPool: &sync.Pool{},
		RecoverHandler: l.recovered,
	}))
}

// Sockets is the number of open sockets.
func (l *Live) Sockets() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.sockets)
}

// Shutdown refuses new sockets, closes the open ones with 1012 within Options.ShutdownSpread, and
// waits until their handlers have returned. When ctx ends first, they are cut off and waited for;
// then its error is returned. A second call waits likewise.
func (l *Live) Shutdown(ctx context.Context) error {
	l.mu.Lock()
	began := !l.draining
	l.draining = true
	open := make([]*socket, 0, len(l.sockets))
	for s := range l.sockets {
		open = append(open, s)
	}
	if began && len(open) == 0 {
		close(l.empty)
	}
	l.mu.Unlock()

	var stops []func() bool
	if began {
		for _, s := range open {
			wait := time.Duration(l.options.Random() * float64(l.options.ShutdownSpread))
			stops = append(stops, l.clock.AfterFunc(wait, func() { s.stop(websocket.CloseServiceRestart, "the server restarts") }))
		}
	}
	var err error
	select {
	case <-l.empty:
	case <-ctx.Done():
		err = domain.Wrap(domain.KindDeadline, "shut down", "sockets", ctx.Err())
		for _, stop := range stops {
			stop()
		}
		for _, s := range open {
			s.cut()
		}
		<-l.empty
	}
	l.cancel()
	return err
}

// full reports whether no further socket on stream may be opened. The caller holds mu.
func (l *Live) full(stream domain.StreamID) bool {
	return len(l.sockets) >= max(l.options.SocketsMax, 0) || l.names[stream] >= max(l.options.SocketsPerNameMax, 0)
}

// enter registers a socket; a code other than 0 says why it must be closed at once: the check
// before the handshake and the handshake's end are not one moment.
func (l *Live) enter(s *socket) (code int, reason string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.draining:
		return websocket.CloseServiceRestart, "the server restarts"
	case l.full(s.stream):
		return websocket.CloseTryAgainLater, "too many sockets"
	}
	l.sockets[s] = struct{}{}
	l.names[s.stream]++
	return 0, ""
}

func (l *Live) leave(s *socket) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.sockets, s)
	if l.names[s.stream]--; l.names[s.stream] <= 0 {
		delete(l.names, s.stream)
	}
	if l.draining && len(l.sockets) == 0 {
		close(l.empty)
	}
}

// serve is the handler of one socket: its reader. Everything that touches the connection has ended
// when it returns, since the connection goes back to a pool and may be another client's next.
func (l *Live) serve(conn *websocket.Conn) {
	req, ok := conn.Locals(requestKey).(*request)
	if !ok {
		panic("readapi: socket without a checked request")
	}
	s := newSocket(l, conn.NetConn(), req)
	if code, reason := l.enter(s); code != 0 {
		s.stop(code, reason)
		s.finish()
		return
	}
	defer l.leave(s)
	if f := l.options.Hooks.Opened; f != nil {
		f()
	}
	written := make(chan struct{})
	go func() {
		defer close(written)
		s.write()
		s.finish()
	}()
	func() {
		defer s.recovered()
		s.read(conn)
	}()
	s.stop(0, "") // if nobody has: the connection is gone
	<-written
	s.release()
}

// recovered is the library's last resort; serve recovers by itself. It says nothing to the client.
func (l *Live) recovered(*websocket.Conn) {
	if v := recover(); v != nil {
		l.panicked(v)
	}
}

func (l *Live) panicked(v any) {
	if f := l.options.Hooks.Panicked; f != nil {
		f(v, debug.Stack())
	}
}

// frame renders an event, once for all sockets that share it.
func (l *Live) frame(ctx context.Context, r lao.Run, e Event) (*lao.Frame, error) {
	if !e.Live() {
		return l.renderer.Frame(ctx, r, e.Recorded())
	}
	v, err := e.Rendered(lao.Dialect, func() (any, error) { return l.renderer.Frame(ctx, r, e.Recorded()) })
	if err != nil {
		return nil, err
	}
	return v.(*lao.Frame), nil
}
