package readapi

import (
	"context"
	"runtime/debug"
	"sync"
	"time"

	"github.com/gofiber/contrib/websocket"
	"github.com/gofiber/fiber/v2"

	"quipu/domain"
)

// Sockets is the machinery that every dialect's sockets share: admission before the handshake, the
// registry with its limits, one reader and one writer for each connection, deadlines, slow readers,
// and the shutdown. What is said on a socket is its Session's business; whether pages of an origin may
// open one was looked at before, by the guard that every request passes.
//
// Lifetime: NewSockets, Handle for each route, then Shutdown before the app's own shutdown, which
// ignores sockets. Safe for concurrent use.
type Sockets struct {
	clock   Clock
	options SocketOptions

	// Sockets outlive the requests that opened them; this context ends with Shutdown.
	ctx    context.Context
	cancel context.CancelFunc

	mu       sync.Mutex
	draining bool
	sockets  map[*socket]struct{}
	groups   map[string]int
	promised map[*Upgrade]time.Time // places of handshakes under way, until when they are kept
	empty    chan struct{}          // closed when draining and the last socket has left
}

// NewSockets makes the machinery. It panics without a clock.
func NewSockets(clock Clock, options SocketOptions) *Sockets {
	if clock == nil {
		panic("readapi: NewSockets needs a clock")
	}
	s := &Sockets{
		clock: clock, options: options.withDefaults(),
		sockets: map[*socket]struct{}{}, groups: map[string]int{}, promised: map[*Upgrade]time.Time{}, empty: make(chan struct{}),
	}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	return s
}

// Upgrade is a request that a dialect admits.
type Upgrade struct {
	// Group names the sockets that are counted together, GroupMax how many it may have; one more is
	// answered 429. "" is counted in the total alone. Prefix it with the dialect.
	Group    string
	GroupMax int
	// Subprotocol is echoed in the handshake; "" for none.
	Subprotocol string
	// TextOnly refuses binary messages with 1003; without it they are ignored.
	TextOnly bool
	// Accepted is called last before the handshake, for headers and cookies; nil for none.
	Accepted func(c *fiber.Ctx)
	// Open makes the session, after the handshake. It must not block, and keeps nothing of the
	// request, whose memory is used again.
	Open func(h Handle, now time.Time) Session
}

// Handle is what a session may do to its socket. Its methods never block and may be called from any
// goroutine, also after the socket has closed.
type Handle interface {
	// Wake has Session.Poll called soon.
	Wake()
	// Stop ends the socket with a close code and a reason of at most 123 bytes. The first call counts.
	Stop(code int, reason string)
}

// Session says what one socket is shown and answers what its client sends. Poll, Due, IdleSince and
// Cursor are called by the socket's writer alone; Message and Limited by its reader, beside Poll.
// None of them is given the connection: it goes back to a pool, and whoever still holds it writes
// to another client.
type Session interface {
	// Poll appends whole frames to dst, made by AppendText or AppendTextHeader, about BatchBytes at
	// most. more says that there may be further ones at once. An error goes to Hooks.Failed; what
	// was appended is sent all the same. The session itself sees to trying again (see Due).
	Poll(ctx context.Context, now time.Time, dst []byte) (out []byte, more bool, err error)
	// Due is when Poll has to be called again even if nobody calls Wake; the zero time: never.
	Due(now time.Time) time.Time
	// IdleSince reports since when there has been nothing to follow; false while there is something.
	IdleSince() (time.Time, bool)
	// Cursor says, for the reason of a close frame, where to go on; "" if nowhere.
	Cursor() string
	// Message is given each text message: of at most InboundBytesMax bytes, whole, however it was
	// fragmented, and only within the rate. It does not keep the slice. ctx ends with the socket.
	// While it runs no other message is read, which is how a client is slowed down.
	Message(ctx context.Context, now time.Time, text []byte)
	// Limited is told of each message dropped because there were more than InboundPerSecondMax.
	Limited(now time.Time)
	// Closed is called once, last, when neither goroutine uses the session any more: release
	// everything. code is as sent or received, 1006 if neither; delivered says that all that Poll
	// gave was handed to the network.
	Closed(code int, delivered bool)
}

// Handle serves dialect at path. admit checks a request before the handshake, while an answer can
// still be JSON with a status; its errors are answered by WriteProblem. It must copy what it keeps.
func (s *Sockets) Handle(app fiber.Router, path, dialect string, admit func(c *fiber.Ctx) (*Upgrade, error)) {
	app.Get(path, func(c *fiber.Ctx) error { return s.admit(c, dialect, admit) }, websocket.New(s.serve, websocket.Config{
		// Small: clients send little. What we send does not go through the library's buffers.
		ReadBufferSize: 512, WriteBufferSize: 512, WriteBufferPool: &sync.Pool{},
		EnableCompression: s.options.Compression,
		RecoverHandler:    s.recovered,
	}))
}

// Framed tells Hooks.Framed that the frame of an event goes out. Sessions call it.
func (s *Sockets) Framed(dialect string, event *domain.Recorded) {
	if f := s.options.Hooks.Framed; f != nil {
		f(dialect, event)
	}
}

// Open is the number of open sockets.
func (s *Sockets) Open() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.sockets)
}

// Shutdown refuses new sockets, closes the open ones with 1012 within SocketOptions.ShutdownSpread, or
// within half the time that ctx leaves if that is less, and waits until their handlers have returned.
// When ctx ends first, the rest is closed with 1012 at once and cut off; then its error is returned. A
// second call waits likewise.
func (s *Sockets) Shutdown(ctx context.Context) error {
	s.mu.Lock()
	began := !s.draining
	s.draining = true
	open := make([]*socket, 0, len(s.sockets))
	for one := range s.sockets {
		open = append(open, one)
	}
	if began && len(open) == 0 {
		close(s.empty)
	}
	s.mu.Unlock()

	var stops []func() bool
	if began {
		for _, one := range open {
			wait := time.Duration(s.options.Random() * float64(min(s.options.ShutdownSpread, wallLeft(ctx)/2)))
			stops = append(stops, s.clock.AfterFunc(wait, func() { one.Stop(websocket.CloseServiceRestart, restarts) }))
		}
	}
	var err error
	select {
	case <-s.empty:
	case <-ctx.Done():
		err = domain.Wrap(domain.KindDeadline, "shut down", "sockets", ctx.Err())
		for _, stop := range stops {
			stop()
		}
		for _, one := range open {
			one.cut()
		}
		<-s.empty
	}
	s.cancel()
	return err
}

const restarts = "the server restarts"

// promiseMax is how long the place of a handshake is kept whose client has gone before its end, which
// nothing tells.
const promiseMax = 5 * time.Second

// full reports whether no further socket of a group may be opened, and how many it has. The caller
// holds mu.
func (s *Sockets) full(u *Upgrade) (full bool, group int) {
	now := s.clock.Now()
	group = s.groups[u.Group]
	for other, until := range s.promised {
		switch {
		case now.After(until):
			delete(s.promised, other)
		case other.Group == u.Group:
			group++
		}
	}
	if u.Group != "" && group >= max(u.GroupMax, 0) {
		return true, group
	}
	return len(s.sockets)+len(s.promised) >= max(s.options.SocketsMax, 0), 0
}

// promise keeps a place for a request that is about to become a socket.
func (s *Sockets) promise(u *Upgrade) { s.promised[u] = s.clock.Now().Add(promiseMax) }

// withdraw gives back the place of a request that does not become a socket.
func (s *Sockets) withdraw(u *Upgrade) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.promised, u)
}

// enter registers a socket in the place that was promised to it; a code other than 0 says why it must be
// closed at once: the check before the handshake and the handshake's end are not one moment.
func (s *Sockets) enter(one *socket) (code int, reason string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.draining:
		return websocket.CloseServiceRestart, restarts
	}
	delete(s.promised, one.upgrade)
	if full, _ := s.full(one.upgrade); full { // its handshake took so long that another has its place
		return websocket.CloseTryAgainLater, "too many sockets"
	}
	s.sockets[one] = struct{}{}
	s.groups[one.upgrade.Group]++
	return 0, ""
}

func (s *Sockets) leave(one *socket) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.sockets, one)
	group := one.upgrade.Group
	if s.groups[group]--; s.groups[group] <= 0 {
		delete(s.groups, group)
	}
	if s.draining && len(s.sockets) == 0 {
		close(s.empty)
	}
}

// serve is the handler of one socket: its reader. Everything that touches the connection has ended
// when it returns, since the connection goes back to a pool and may be another client's next.
func (s *Sockets) serve(conn *websocket.Conn) {
	a, ok := conn.Locals(admittedKey).(*admitted)
	if !ok {
		panic("readapi: socket without a checked request")
	}
	one := newSocket(s, conn.NetConn(), a)
	if code, reason := s.enter(one); code != 0 {
		one.Stop(code, reason)
		one.finish()
		one.let()
		return
	}
	defer s.leave(one)
	if f := s.options.Hooks.Opened; f != nil {
		f(a.dialect)
	}
	func() {
		defer one.recovered()
		one.session = a.upgrade.Open(one, s.clock.Now())
	}()
	written := make(chan struct{})
	go func() {
		defer close(written)
		one.write()
		one.finish()
	}()
	func() {
		defer one.recovered()
		one.read(conn)
	}()
	one.Stop(0, "") // if nobody has: the connection is gone
	<-written
	one.release()
}

// recovered is the library's last resort; serve recovers by itself. It says nothing to the client.
func (s *Sockets) recovered(*websocket.Conn) {
	if v := recover(); v != nil {
		s.panicked(v)
	}
}

func (s *Sockets) panicked(v any) {
	if f := s.options.Hooks.Panicked; f != nil {
		f(v, debug.Stack())
	}
}
