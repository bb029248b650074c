package feeds

import (
	"time"

	"github.com/gofiber/fiber/v2"

	"quipu/domain"
	"quipu/readapi"
	"quipu/readapi/orchestrator"
)

// Bounds and intervals.
const (
	// admitTimeout bounds the reads that tell what an id names.
	admitTimeout = 5 * time.Second
	// retryWait is how long a socket waits after the log failed.
	retryWait = time.Second
	// refreshEvery is how often a socket looks at the log whatever the hub said, so that a hub that
	// is silently dead shows as a delay and never as silence.
	refreshEvery = 25 * time.Second
)

// Options of a Server. The zero value means the defaults.
type Options struct {
	// SocketsPerIDMax bounds the sockets on one workflow or execution; a further upgrade is answered
	// 429. Default 10,000; below 0 allows none.
	SocketsPerIDMax int
	// InlineBytesMax is the largest blob shown in a frame; above it stands a link. Default 64 KiB.
	InlineBytesMax int
	// Random gives numbers in [0, 1) for jitter; without it there is none.
	Random func() float64
}

// Server serves the sockets. They end with Sockets.Shutdown. Safe for concurrent use.
type Server struct {
	deps     Deps
	options  Options
	log      domain.LogID
	renderer *orchestrator.Renderer
}

// New makes a Server. It panics if a dependency is missing.
func New(deps Deps, options Options) *Server {
	if deps.Sockets == nil || deps.Log == nil || deps.Readers == nil || deps.Feeds == nil || deps.NodeTypes == nil || deps.Payloads == nil {
		panic("feeds: New needs all of Deps")
	}
	if options.SocketsPerIDMax == 0 {
		options.SocketsPerIDMax = readapi.SocketsMaxDefault
	}
	if options.Random == nil {
		options.Random = func() float64 { return 0 }
	}
	log := deps.Log.ID()
	return &Server{
		deps: deps, options: options, log: log,
		renderer: orchestrator.New(deps.Payloads, orchestrator.Options{LogID: log, InlineBytesMax: options.InlineBytesMax}),
	}
}

// Register adds the routes. It comes before the LAO socket's, which would take /ws/workflows/:id for
// a run of the flow "workflows" (contract D2).
func (s *Server) Register(app fiber.Router) {
	s.deps.Sockets.Handle(app, "/ws/workflows/:id", orchestrator.Dialect, s.admitAny)
	s.deps.Sockets.Handle(app, "/api/events/ws/workflows/:id", orchestrator.Dialect, s.admitAny)
	s.deps.Sockets.Handle(app, "/api/events/ws/executions/:id", orchestrator.Dialect, s.admitExecution)
}
