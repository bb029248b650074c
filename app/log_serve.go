package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"

	"github.com/gofiber/fiber/v2"
	"github.com/gofiber/fiber/v2/middleware/adaptor"

	"quipu/app/process"
	"quipu/app/stores"
	"quipu/app/web"
	"quipu/infra/backup"
	"quipu/infra/config"
	"quipu/infra/embedded"
	"quipu/infra/lifecycle"
)

// ServeLog serves a log to nodes and other clients of KurrentDB's protocol until ctx ends: no runs, no
// views, and over HTTP health and metrics only.
func ServeLog(ctx context.Context, c config.Config, version string, logger *slog.Logger) error {
	logger.Info("starting quipu log", "version", version, "config", c)
	s := &server{Process: process.New(c, version, logger), intake: ctx}
	if err := s.openLogAlone(); err != nil {
		return errors.Join(err, s.close())
	}
	s.buildLogApp()
	if err := s.web.Listen(); err != nil {
		return errors.Join(err, s.close())
	}
	group := lifecycle.New(lifecycle.Options{DrainTimeout: c.Process.DrainTimeout, Logger: logger},
		lifecycle.Member{Name: "stores", Close: s.close},
		s.portMember(true),
		lifecycle.Member{Name: "http", Start: s.logStarted, Run: s.web.Serve, Drain: s.web.Drain},
	)
	err := group.Run(ctx)
	logger.Info("stopped")
	return err
}

// openLogAlone opens the log as a server does, and none of the other stores.
func (s *server) openLogAlone() error {
	data := s.Config.Storage.Data
	if err := os.MkdirAll(data, 0o750); err != nil {
		return fmt.Errorf("make data folder %s (set --data to a folder that can be written): %w", data, err)
	}
	if err := stores.CheckBackup(data); err != nil {
		return err
	}
	log, err := embedded.Open(stores.LogDir(data), embedded.Options{
		SegmentBytes: int64(s.Config.Storage.SegmentBytes), Logger: s.Logger, Clock: s.Clock.Now, Flushed: s.Metrics.FlushObserved,
	})
	if err != nil {
		return fmt.Errorf("open log (set --data to a folder that this process alone may write): %w", err)
	}
	s.log = log
	return backup.Opened(data)
}

func (s *server) buildLogApp() {
	s.web = web.New(s.Process, web.Options{Name: "quipu log"})
	s.web.App.Get("/", func(c *fiber.Ctx) error {
		return c.JSON(fiber.Map{"service": "quipu log", "version": s.Version, "log": s.log.ID(), "kurrentdb_addr": s.Config.Port.Addr})
	})
	s.web.App.Get("/health/live", s.web.Report(s.Health.Live))
	s.web.App.Get("/health/ready", s.web.Report(s.Health.Ready))
	s.web.App.Get("/metrics", adaptor.HTTPHandler(s.Metrics.Handler()))
	s.Health.AddReady("log", 0, func(ctx context.Context) error {
		_, err := s.log.Head(ctx)
		return err
	})
}

func (s *server) logStarted(context.Context) error {
	s.Health.Started()
	s.Logger.Info("serving a log", "addr", s.web.Listener.Addr().String(), "log", s.log.ID())
	return nil
}
