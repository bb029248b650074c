package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"

	"github.com/gofiber/fiber/v2"
	"github.com/gofiber/fiber/v2/middleware/adaptor"

	"quipu/app/stores"
	"quipu/infra/backup"
	"quipu/infra/config"
	"quipu/infra/embedded"
	"quipu/infra/lifecycle"
	"quipu/infra/listen"
	"quipu/infra/telemetry"
)

// ServeLog serves a log to nodes and other clients of KurrentDB's protocol until ctx ends: no runs, no
// views, and over HTTP health and metrics only.
func ServeLog(ctx context.Context, c config.Config, version string, logger *slog.Logger) error {
	logger.Info("starting quipu log", "version", version, "config", c)
	s := &server{config: c, version: version, logger: logger, intake: ctx, metrics: telemetry.NewMetrics(version), health: telemetry.NewHealth()}
	if err := s.openLogAlone(); err != nil {
		return errors.Join(err, s.close())
	}
	s.buildLogApp()
	var err error
	if s.listener, err = listen.TCP(c.HTTP.Addr); err != nil {
		return errors.Join(fmt.Errorf("listen on %s (set --addr to a free address): %w", c.HTTP.Addr, err), s.close())
	}
	group := lifecycle.New(lifecycle.Options{DrainTimeout: c.Process.DrainTimeout, Logger: logger},
		lifecycle.Member{Name: "stores", Close: s.close},
		s.portMember(true),
		lifecycle.Member{Name: "http", Start: s.logStarted, Run: s.serveHTTP, Drain: s.drainHTTP},
	)
	err = group.Run(ctx)
	logger.Info("stopped")
	return err
}

// openLogAlone opens the log as a server does, and none of the other stores.
func (s *server) openLogAlone() error {
	data := s.config.Storage.Data
	if err := os.MkdirAll(data, 0o750); err != nil {
		return fmt.Errorf("make data folder %s (set --data to a folder that can be written): %w", data, err)
	}
	if err := stores.CheckBackup(data); err != nil {
		return err
	}
	log, err := embedded.Open(stores.LogDir(data), embedded.Options{
		SegmentBytes: int64(s.config.Storage.SegmentBytes), Logger: s.logger, Clock: s.clock.Now, Flushed: s.metrics.FlushObserved,
	})
	if err != nil {
		return fmt.Errorf("open log (set --data to a folder that this process alone may write): %w", err)
	}
	s.log = log
	return backup.Opened(data)
}

func (s *server) buildLogApp() {
	s.app = fiber.New(fiber.Config{
		AppName: "quipu log", DisableStartupMessage: true, CaseSensitive: true,
		ReadBufferSize: HeaderBytesMax, ReadTimeout: readTimeout, IdleTimeout: idleTimeout,
		ErrorHandler: s.answerError, DisablePreParseMultipartForm: true,
	})
	s.app.Server().CloseOnShutdown = true
	s.app.Use(s.observe)
	s.guard = s.newGuard()
	s.app.Use(s.guard.Handle)
	s.app.Get("/", func(c *fiber.Ctx) error {
		return c.JSON(fiber.Map{"service": "quipu log", "version": s.version, "log": s.log.ID(), "kurrentdb_addr": s.config.Port.Addr})
	})
	s.app.Get("/health/live", s.report(s.health.Live))
	s.app.Get("/health/ready", s.report(s.health.Ready))
	s.app.Get("/metrics", adaptor.HTTPHandler(s.metrics.Handler()))
	s.health.AddReady("log", 0, func(ctx context.Context) error {
		_, err := s.log.Head(ctx)
		return err
	})
}

func (s *server) logStarted(context.Context) error {
	s.health.Started()
	s.logger.Info("serving a log", "addr", s.listener.Addr().String(), "log", s.log.ID())
	return nil
}
