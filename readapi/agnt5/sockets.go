package agnt5

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"sync"
	"time"

	"github.com/gofiber/fiber/v2"

	"quipu/domain"
	"quipu/domain/endpoint"
	"quipu/readapi"
)

// Bounds and defaults of Sockets.
const (
	// ConnectionsMax is how many sockets one endpoint may have (S1-26).
	ConnectionsMax = 50
	// ExecutionsMaxDefault is how many executions one socket may follow at once.
	ExecutionsMaxDefault = 256
	// OperationsMax is how many messages of one socket may be under way; then no further one is read.
	OperationsMax = 64
	// OperationTimeout bounds the work of one message.
	OperationTimeout = 30 * time.Second
	// AnswersBytesMax is how many bytes of answers may wait for a client; then none of its messages
	// is read.
	AnswersBytesMax = 256 << 10
	// DroppedMax messages over the rate close the socket with 1008, unless a second without any stood
	// between them (contract D13: "if it goes on").
	DroppedMax = 1000
	// refreshInterval is how often all executions of a socket look at the log, whatever the hub says,
	// so that a feed that is silently dead shows as a delay and never as silence.
	refreshInterval = 25 * time.Second
	// retryWait is how long a socket waits after the log failed.
	retryWait = time.Second
)

// Options of Sockets. The zero value means the defaults.
type Options struct {
	Frames FrameOptions
	// ExecutionsMax bounds the executions that one socket follows at once; a further start is refused
	// with OVERLOADED. Default 256.
	ExecutionsMax int
	// Panicked is told of a panic in the work of a message, which closes its socket with 1011.
	Panicked func(v any, stack []byte)
}

// Sockets serves /ws (contract S1, D12 to D14): executions are started by messages, and their events
// go to the socket that asked.
//
// Lifetime: New, Register, then Drain after the sockets' own shutdown. Safe for concurrent use.
type Sockets struct {
	deps     Deps
	options  Options
	renderer *Renderer
	framed   func(dialect string, event *domain.Recorded) // see readapi.Hooks.Framed
	work     sync.WaitGroup                               // what messages have begun; it may outlive their sockets
}

// New makes the dialect's sockets. It panics if a dependency is missing.
func New(deps Deps, options Options) *Sockets {
	if deps.Log == nil || deps.Readers == nil || deps.Clock == nil || deps.Payloads == nil || deps.Endpoints == nil || deps.Executions == nil {
		panic("agnt5: New needs every dependency")
	}
	if options.ExecutionsMax == 0 {
		options.ExecutionsMax = ExecutionsMaxDefault
	}
	if options.Panicked == nil {
		options.Panicked = func(any, []byte) {}
	}
	options.Frames.LogID = deps.Log.ID()
	return &Sockets{deps: deps, options: options, renderer: NewRenderer(deps.Log, deps.Payloads, options.Frames), framed: func(string, *domain.Recorded) {}}
}

// Register adds /ws to app.
func (s *Sockets) Register(app fiber.Router, sockets *readapi.Sockets) {
	s.framed = sockets.Framed
	sockets.Handle(app, "/ws", Dialect, s.admit)
}

// Drain waits until what messages have begun is done, or ctx ends: an execution that a client asked for
// just before it closed is started all the same.
func (s *Sockets) Drain(ctx context.Context) error {
	done := make(chan struct{})
	go func() {
		s.work.Wait()
		close(done)
	}()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return domain.Wrap(domain.KindDeadline, "drain", Dialect, ctx.Err())
	}
}

// newConnectionID makes an id of the form that clients choose (S1-10).
func newConnectionID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // it never fails
	return "ws_" + base64.RawURLEncoding.EncodeToString(b[:])
}

// request is what a socket was asked for. All strings are copies: the socket outlives the request's
// buffers.
type request struct {
	endpoint endpoint.Created
	types    map[string]bool // of frames wanted; nil for all
	// connectionID is that of the query, else made here: for messages that have none.
	connectionID string
	resume       *Message // what the query asks to go on with, nil if nothing
}
