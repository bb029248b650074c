package readapi

import (
	"context"
	"time"

	"github.com/gofiber/fiber/v2"
	"github.com/gofiber/fiber/v2/utils"

	"quipu/domain/name"
	"quipu/readapi/lao"
)

// Deps are what Live stands on; all are required.
type Deps struct {
	Sockets  *Sockets
	Log      Log
	Readers  ReaderFunc
	Clock    Clock
	Payloads lao.Payloads
}

// Live serves the LAO socket. Its sockets end with Sockets.Shutdown.
type Live struct {
	sockets  *Sockets
	log      Log
	readers  ReaderFunc
	clock    Clock
	renderer *lao.Renderer
	options  Options
	breaker  *loopBreaker
}

// NewLive makes the LAO socket. It panics if a dependency is missing.
func NewLive(deps Deps, options Options) *Live {
	if deps.Sockets == nil || deps.Log == nil || deps.Readers == nil || deps.Clock == nil || deps.Payloads == nil {
		panic("readapi: NewLive needs sockets, a log, readers, a clock and payloads")
	}
	options = options.withDefaults()
	frames := options.Frames
	frames.LogID = deps.Log.ID()
	return &Live{
		sockets: deps.Sockets, log: deps.Log, readers: deps.Readers, clock: deps.Clock,
		renderer: lao.New(deps.Log, deps.Payloads, frames),
		options:  options,
		breaker:  newLoopBreaker(),
	}
}

// Register adds /ws/:flow/:run to app. Routes below /ws that must win, such as /ws/workflows/:id,
// are registered before it (contract D2, V4).
func (l *Live) Register(app fiber.Router) {
	l.sockets.Handle(app, "/ws/:flow/:run", lao.Dialect, l.admit)
}

// admit checks a request for a LAO socket.
func (l *Live) admit(c *fiber.Ctx) (*Upgrade, error) {
	req, err := parseRequest(utils.CopyString(c.Params("flow")), utils.CopyString(c.Params("run")), func(key string) string {
		return utils.CopyString(c.Query(key))
	}, l.log.ID())
	if err != nil {
		return nil, err
	}
	return &Upgrade{
		Group: lao.Dialect + "/" + string(name.Stream(req.flow, req.run)), GroupMax: l.options.SocketsPerNameMax,
		Accepted: func(c *fiber.Ctx) {
			visitor := c.IP() + " " + c.Get(fiber.HeaderUserAgent)
			if cookie := l.breaker.admit(req, c.Cookies(breakerCookie), visitor, l.clock.Now()); cookie != "" {
				c.Cookie(&fiber.Cookie{Name: breakerCookie, Value: cookie, Path: "/ws", HTTPOnly: true, SameSite: fiber.CookieSameSiteLaxMode})
			}
		},
		Open: func(h Handle, now time.Time) Session { return newSession(l, req, h.Wake, now) },
	}, nil
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
