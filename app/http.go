package app

import (
	"context"
	"strconv"

	"github.com/gofiber/fiber/v2"
	"github.com/gofiber/fiber/v2/middleware/adaptor"

	"quipu/app/admin"
	"quipu/app/process"
	"quipu/app/views"
	"quipu/app/web"
	"quipu/commands/intakehttp"
	"quipu/domain"
	"quipu/readapi"
)

// buildApp registers every route in the one place that shows their order.
func (s *server) buildApp() {
	s.web = web.New(s.Process, web.Options{Name: "quipu", BodyBytesMax: s.Config.HTTP.BodyBytesMax, CORSOrigins: s.Config.HTTP.CORSOrigins})
	app := s.web.App
	app.Get("/", s.index)
	app.Get("/health/live", s.web.Report(s.Health.Live))
	app.Get("/health/ready", s.web.Report(s.Health.Ready))
	app.Get("/metrics", s.measureLag, adaptor.HTTPHandler(s.Metrics.Handler()))
	intake := &intakehttp.Routes{
		Runs: s.executor, Registry: s.registry, IDs: s.Clock, LogID: s.log.ID(), Render: s.render, Timeout: process.RequestTimeout,
	}
	intake.Register(app)
	workflows := &intakehttp.Workflows{Definitions: s.definitions, Registry: s.registry, LogID: s.log.ID(), Timeout: process.RequestTimeout}
	workflows.Register(app)
	control := &intakehttp.Control{Runs: s.executor, Channels: s.channels, LogID: s.log.ID(), Timeout: process.RequestTimeout}
	control.Register(app)
	(&intakehttp.NodeTypes{Registry: s.registry}).Register(app)
	endpoints := &intakehttp.Endpoints{Endpoints: s.endpoints, LogID: s.log.ID(), Timeout: process.RequestTimeout}
	endpoints.Register(app)
	readapi.RegisterBlobs(app, s.node.Blobs)
	s.registerHistory()
	admin.Register(app, admin.Deps{
		Stop: s.intake, Log: s.log.ID(), AfterFunc: s.Clock.AfterFunc, Node: s.node,
		Rebuild: s.views.Runner.Rebuild, Verify: s.views.Runner.Verify, Webhooks: s.outward.Webhooks(),
	})
	// Last of the sockets: its path takes in the others' (contract D2).
	s.live.Register(app)
	s.registerAGNT5()
	s.registerDocs()
	s.addChecks()
}

// measureLag says how far those who follow the log are behind it, at the moment of asking.
func (s *server) measureLag(c *fiber.Ctx) error {
	published := s.seen.Published()
	if head, err := s.log.Head(c.UserContext()); err == nil {
		behind := uint64(max(head, published) - published)
		s.TellLag(c.UserContext(), s.log, "sockets", published, behind)
	}
	s.views.Measure(c.UserContext())
	s.outward.Measure(c.UserContext())
	s.measureOwned()
	s.Metrics.Health(s.Health.Ready(c.UserContext()))
	return c.Next()
}

// measureOwned says at the moment of asking which of the works that one of several nodes does are this
// node's.
func (s *server) measureOwned() {
	var works []string
	if s.views.Shared() {
		works = append(works, views.Projector)
	}
	works = append(works, s.outward.Works()...)
	for _, work := range works {
		mine, _ := s.node.Work(work).Owns()
		s.Metrics.Owned(work, mine)
	}
}

// addChecks says what a server that is well has; the parts of the process add theirs.
func (s *server) addChecks() {
	s.Health.AddReady("log", 0, func(ctx context.Context) error {
		_, err := s.log.Head(ctx)
		return err
	})
	s.Health.AddAdvice("views", 0, s.views.Check)
	s.node.AddChecks()
	s.Health.AddReady("runs", 0, func(context.Context) error {
		if n := s.executor.Counts(); n.Pending >= s.Config.Runs.PendingMax && s.Config.Runs.PendingMax > 0 {
			return domain.E(domain.KindExhausted, "", "", strconv.Itoa(n.Pending)+" runs wait, no more are taken")
		}
		return nil
	})
}
