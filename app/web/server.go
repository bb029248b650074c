// Package web is how the process answers HTTP, whatever its routes are: bounds of connections, the door,
// metrics and spans of requests, errors as answers, and the listener with its stop.
package web

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	"github.com/gofiber/fiber/v2"
	"github.com/gofiber/fiber/v2/middleware/cors"

	"quipu/app/process"
	"quipu/commands/intakehttp"
	"quipu/infra/guard"
	"quipu/infra/listen"
	"quipu/infra/telemetry"
)

// Time limits of connections. Sockets are not subject to them once they are upgraded.
const (
	readTimeout = 30 * time.Second
	idleTimeout = 120 * time.Second
)

// HeaderBytesMax bounds the head of a request; it stays with each socket for its life.
const HeaderBytesMax = 4096

// Options are what the servers of the binary differ in.
type Options struct {
	Name         string
	BodyBytesMax int      // 0: the framework's default
	CORSOrigins  []string // whose pages may read answers; none: no page of others
}

// Server answers HTTP. Routes are added to App before Serve.
type Server struct {
	process.Process
	App      *fiber.App
	Guard    *guard.Guard
	Listener net.Listener // nil before Listen
	failed   failures
}

// New makes a server without routes. Every request passes the metrics first and the door next.
func New(p process.Process, o Options) *Server {
	s := &Server{Process: p}
	s.App = fiber.New(fiber.Config{
		AppName: o.Name, DisableStartupMessage: true,
		CaseSensitive:  true, // /ws/Workflows/x is a run, not another route (contract D2)
		BodyLimit:      o.BodyBytesMax,
		ReadBufferSize: HeaderBytesMax,
		ReadTimeout:    readTimeout, IdleTimeout: idleTimeout,
		ErrorHandler: s.answerError,
		// No route takes a form: reading one before its route is known could write files.
		DisablePreParseMultipartForm: true,
	})
	// Clients that keep idle connections must not hold up a stop.
	s.App.Server().CloseOnShutdown = true
	s.App.Use(s.observe)
	if len(o.CORSOrigins) > 0 {
		s.App.Use(cors.New(cors.Config{AllowOrigins: strings.Join(o.CORSOrigins, ","), ExposeHeaders: intakehttp.HeaderPosition + ",Location,ETag,Retry-After"}))
	}
	s.Guard = s.newGuard()
	s.App.Use(s.Guard.Handle)
	return s
}

// Listen takes the configured address. Connections wait until Serve.
func (s *Server) Listen() (err error) {
	if s.Listener, err = listen.TCP(s.Config.HTTP.Addr); err != nil {
		return fmt.Errorf("listen on %s (set --addr to a free address): %w", s.Config.HTTP.Addr, err)
	}
	return nil
}

// Serve answers requests until Drain. From the end of intake on the process says that it gets none.
func (s *Server) Serve(intake, _ context.Context) error {
	stop := context.AfterFunc(intake, s.Health.Draining)
	defer stop()
	return s.App.Listener(s.Listener)
}

// Drain ends Serve, even one that has yet to begin: the framework's shutdown overlooks a
// listener that it does not serve yet, so that it is closed here too.
func (s *Server) Drain(ctx context.Context) error {
	err := s.App.ShutdownWithContext(ctx)
	if closed := s.Listener.Close(); err == nil && !errors.Is(closed, net.ErrClosed) {
		err = closed
	}
	return err
}

// Report answers with the health that a function tells; what was found is for those with a key.
func (s *Server) Report(of func(context.Context) telemetry.Report) fiber.Handler {
	return func(c *fiber.Ctx) error {
		r := of(c.UserContext())
		if !r.OK() {
			c.Status(fiber.StatusServiceUnavailable)
		}
		c.Set(fiber.HeaderContentType, fiber.MIMEApplicationJSON)
		if !s.Guard.Known(c) {
			return c.Send(r.Bare())
		}
		return c.Send(r.JSON())
	}
}
