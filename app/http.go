package app

import (
	"context"
	"runtime/debug"
	"strconv"
	"time"

	"github.com/gofiber/fiber/v2"
	"github.com/gofiber/fiber/v2/middleware/adaptor"
	"github.com/gofiber/fiber/v2/middleware/cors"

	"quipu/commands"
	"quipu/commands/intakehttp"
	"quipu/domain"
	"quipu/domain/wire"
	"quipu/infra/telemetry"
	"quipu/readapi"
)

// Time limits of connections. Sockets are not subject to them once they are upgraded.
const (
	readTimeout    = 30 * time.Second
	idleTimeout    = 120 * time.Second
	requestTimeout = 30 * time.Second
)

// HeaderBytesMax bounds the head of a request; it stays with each socket for its life.
const HeaderBytesMax = 4096

// buildApp registers every route in the one place that shows their order.
func (s *server) buildApp() {
	s.app = fiber.New(fiber.Config{
		AppName: "quipu", DisableStartupMessage: true,
		CaseSensitive:  true, // /ws/Workflows/x is a run, not another route (contract D2)
		BodyLimit:      s.config.HTTP.BodyBytesMax,
		ReadBufferSize: HeaderBytesMax,
		ReadTimeout:    readTimeout, IdleTimeout: idleTimeout,
		ErrorHandler: s.answerError,
		// No route takes a form: reading one before its route is known could write files.
		DisablePreParseMultipartForm: true,
	})
	// Clients that keep idle connections must not hold up a stop.
	s.app.Server().CloseOnShutdown = true
	s.app.Use(s.observe)
	if origins := s.config.HTTP.CORSOrigins; len(origins) > 0 {
		s.app.Use(cors.New(cors.Config{AllowOrigins: joinComma(origins), ExposeHeaders: intakehttp.HeaderPosition + ",Location,ETag,Retry-After"}))
	}
	s.guard = s.newGuard()
	s.app.Use(s.guard.Handle)
	s.app.Get("/", s.index)
	s.app.Get("/health/live", s.report(s.health.Live))
	s.app.Get("/health/ready", s.report(s.health.Ready))
	s.app.Get("/metrics", s.measureLag, adaptor.HTTPHandler(s.metrics.Handler()))
	intake := &intakehttp.Routes{
		Runs: s.executor, Registry: s.registry, IDs: s.clock, LogID: s.log.ID(), Render: s.render, Timeout: requestTimeout,
	}
	intake.Register(s.app)
	workflows := &intakehttp.Workflows{Definitions: s.definitions, Registry: s.registry, LogID: s.log.ID(), Timeout: requestTimeout}
	workflows.Register(s.app)
	control := &intakehttp.Control{Runs: s.executor, Channels: s.channels, LogID: s.log.ID(), Timeout: requestTimeout}
	control.Register(s.app)
	(&intakehttp.NodeTypes{Registry: s.registry}).Register(s.app)
	endpoints := &intakehttp.Endpoints{Endpoints: s.endpoints, LogID: s.log.ID(), Timeout: requestTimeout}
	endpoints.Register(s.app)
	readapi.RegisterBlobs(s.app, s.blobs)
	s.registerHistory()
	s.registerViewsAdmin()
	s.registerWebhooksAdmin()
	s.app.Get("/admin/nodes", s.nodes)
	// Last of the sockets: its path takes in the others' (contract D2).
	s.live.Register(s.app)
	s.registerAGNT5()
	s.registerDocs()
	s.addChecks()
}

func joinComma(list []string) string {
	out := list[0]
	for _, s := range list[1:] {
		out += "," + s
	}
	return out
}

// observe measures every request and turns a panic into a plain 500 whose details are logged.
func (s *server) observe(c *fiber.Ctx) (err error) {
	began, span := s.clock.Monotonic(), s.beginTrace(c)
	defer func() {
		if r := recover(); r != nil {
			s.logger.Error("request panicked", "route", c.Route().Path, "stack", string(debug.Stack()))
			err = domain.E(domain.KindInternal, "request", "", "panic")
		}
		if err != nil {
			// The error handler writes the answer; called here so that its status is measured.
			if handled := c.App().ErrorHandler(c, err); handled != nil {
				s.logger.Error("error handler failed", "error", handled)
			}
			if status := c.Response().StatusCode(); status >= fiber.StatusInternalServerError {
				s.tellFailed(c.Route().Path, status, err)
			}
			err = nil
		}
		s.metrics.HTTPObserved(c.Route().Path, methodLabel(c.Method()), c.Response().StatusCode(), s.clock.Monotonic()-began)
		span.EndHTTP(methodLabel(c.Method()), c.Route().Path, c.Response().StatusCode())
	}()
	return c.Next()
}

// measureLag says how far the hub is behind the log at the moment of asking.
func (s *server) measureLag(c *fiber.Ctx) error {
	published := s.published.Load()
	if head, err := s.log.Head(c.UserContext()); err == nil {
		behind := max(uint64(head), published) - published
		s.metrics.FeedLag("sockets", behind, lagAge(c.UserContext(), s.log, domain.Position(published), behind, s.clock.Now()))
	}
	s.measureViews(c.UserContext())
	s.measureRelays(c.UserContext())
	s.measureWebhooks(c.UserContext())
	s.measureOwned()
	s.metrics.Health(s.health.Ready(c.UserContext()))
	return c.Next()
}

// lagAge is how long the first of the events after a position has been waiting; 0 if none or if it
// cannot be read, which other metrics tell.
func lagAge(ctx context.Context, log commands.Log, after domain.Position, behind uint64, now time.Time) time.Duration {
	if behind == 0 {
		return 0
	}
	page, err := log.ReadAll(ctx, after, 1)
	if err != nil || len(page) == 0 {
		return 0
	}
	at, err := wire.DecodeAt(page[0].Metadata)
	if err != nil {
		return 0
	}
	return max(now.Sub(at), 0)
}

// methodLabel is a constant of the same text: the framework's strings live in a buffer that the next
// request overwrites, and a label is kept. Methods nobody serves share one label.
func methodLabel(method string) string {
	for _, m := range []string{fiber.MethodGet, fiber.MethodPost, fiber.MethodPut, fiber.MethodPatch, fiber.MethodDelete, fiber.MethodHead, fiber.MethodOptions} {
		if m == method {
			return m
		}
	}
	return "OTHER"
}

func (s *server) report(of func(context.Context) telemetry.Report) fiber.Handler {
	return func(c *fiber.Ctx) error {
		r := of(c.UserContext())
		if !r.OK() {
			c.Status(fiber.StatusServiceUnavailable)
		}
		c.Set(fiber.HeaderContentType, fiber.MIMEApplicationJSON)
		if !s.guard.Known(c) {
			return c.Send(r.Bare())
		}
		return c.Send(r.JSON())
	}
}

func (s *server) addChecks() {
	s.health.AddReady("log", 0, func(ctx context.Context) error {
		_, err := s.log.Head(ctx)
		return err
	})
	s.health.AddAdvice("views", 0, s.checkViews)
	if s.shared.keys != nil {
		// The lease may be renewed on a connection of its own while starts with secrets get none.
		s.health.AddAdvice("keys", 0, func(ctx context.Context) error {
			_, err := s.shared.keys.Used(ctx)
			return err
		})
	}
	s.health.AddReady("runs", 0, func(context.Context) error {
		if n := s.executor.Counts(); n.Pending >= s.config.Runs.PendingMax && s.config.Runs.PendingMax > 0 {
			return domain.E(domain.KindExhausted, "", "", strconv.Itoa(n.Pending)+" runs wait, no more are taken")
		}
		return nil
	})
}
