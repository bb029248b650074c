// Package app is the server process: the composition root, where every adapter meets the rooms that use it.
// Nothing but the command line (package cli) knows it. server.go shows the parts and the order in which they
// start and stop, write.go and read.go what decides and what is read, http.go the routes. Parts that need little
// of the rest are packages below; none of them knows this one.
package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"

	"quipu/app/nodes"
	"quipu/app/outward"
	"quipu/app/process"
	"quipu/app/stores"
	"quipu/app/views"
	"quipu/app/web"
	"quipu/commands"
	"quipu/commands/node"
	"quipu/eventbus"
	"quipu/infra/backup"
	"quipu/infra/config"
	"quipu/infra/lifecycle"
	"quipu/readapi"
	"quipu/readapi/agnt5"
)

// server is the whole process: every adapter and every room, wired.
type server struct {
	process.Process
	log      commands.Log
	tails    commands.Tails // of log; nil if it has none
	node     *nodes.Node
	registry *node.Registry
	effects  *eventbus.Effects
	outward  *outward.Outward
	executor *commands.Executor
	channels *commands.Channels
	// definitions are the stored workflows.
	definitions *commands.Definitions
	// endpoints are the places that workflows are reached at, with their keys.
	endpoints *commands.Endpoints
	views     *views.Views
	hub       *eventbus.Hub
	sockets   *readapi.Sockets
	live      *readapi.Live
	agnt5     *agnt5.Sockets
	web       *web.Server
	seen      views.Seen
	// intake ends when the process is to stop: work that clients watch ends with it.
	intake context.Context
}

// open opens the stores and builds everything. On an error what was opened is closed again.
func open(ctx context.Context, c config.Config, version string, logger *slog.Logger) (_ *server, err error) {
	s := &server{Process: process.New(c, version, logger), intake: ctx}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.close())
		}
	}()
	if err := s.buildTracing(ctx); err != nil {
		return nil, err
	}
	s.node = nodes.New(s.Process)
	if err := s.openStores(ctx); err != nil {
		return nil, err
	}
	s.outward = outward.New(s.Process, s.log, s.node)
	if err := s.outward.Open(ctx); err != nil {
		return nil, err
	}
	if err := s.buildWriteSide(); err != nil {
		return nil, err
	}
	s.buildReadSide()
	inner := outward.Inner{Hub: s.hub, Executor: s.executor, Definitions: s.definitions, Channels: s.channels, Registry: s.registry}
	if err := s.outward.Attach(ctx, inner); err != nil {
		return nil, err
	}
	if s.views, err = views.Open(ctx, s.Process, s.log, s.node, &s.seen); err != nil {
		return nil, err
	}
	s.buildApp()
	if err := s.web.Listen(); err != nil {
		return nil, err
	}
	return s, nil
}

func (s *server) openStores(ctx context.Context) error {
	data := s.Config.Storage.Data
	if err := os.MkdirAll(data, 0o750); err != nil {
		return fmt.Errorf("make data folder %s (set --data to a folder that can be written): %w", data, err)
	}
	if err := stores.CheckBackup(data); err != nil {
		return err
	}
	var err error
	// The log first: it holds the lock that keeps a second process away from the folder.
	if s.log, s.tails, err = s.openLog(ctx); err != nil {
		return err
	}
	// What earlier processes acknowledged their clients may ask for first.
	head, err := s.log.Head(ctx)
	if err != nil {
		return fmt.Errorf("read the log's head: %w", err)
	}
	s.seen.Acknowledge(head)
	if err := s.node.OpenKeysAndBlobs(ctx); err != nil {
		return err
	}
	if err := backup.Opened(data); err != nil {
		return err
	}
	return s.node.Join(ctx, s.log.ID())
}

// run starts the parts and returns when they have stopped.
func (s *server) run(ctx context.Context) error {
	members := []lifecycle.Member{
		{Name: "stores", Close: s.close},
		s.portMember(false),
		{Name: "members", Run: s.node.Run, Drain: s.node.Leave},
		{Name: "views", Run: s.views.Run},
		{Name: "views notifications", Run: s.views.Listen},
		{Name: "feed", Run: func(_, work context.Context) error { return s.hub.Run(work) }},
	}
	members = append(members, s.outward.Members()...)
	members = append(members,
		lifecycle.Member{Name: "channels", Run: func(_, work context.Context) error { return s.channels.Run(work, s.executor) }},
		lifecycle.Member{Name: "executor", Run: s.runExecutor, Drain: s.executor.Drain},
		lifecycle.Member{Name: "sockets", Drain: s.drainSockets},
		lifecycle.Member{Name: "http", Start: s.started, Run: s.web.Serve, Drain: s.web.Drain},
		// Stopped first: the others take over at once.
		lifecycle.Member{Name: "ownership", Drain: s.node.Disown},
	)
	group := lifecycle.New(lifecycle.Options{DrainTimeout: s.Config.Process.DrainTimeout, Logger: s.Logger}, members...)
	defer context.AfterFunc(ctx, func() {
		s.Logger.Info("stopping; a second signal ends the process at once", "drain_timeout", s.Config.Process.DrainTimeout)
	})()
	err := group.Run(ctx)
	s.Logger.Info("stopped", "left_open", s.executor.Counts().Active)
	return err
}

func (s *server) runExecutor(_, work context.Context) error {
	defer s.effects.Wait()
	return s.executor.Run(work)
}

// started waits until every unfinished run has been found: a server that takes requests before
// could bind a name whose run it has not looked at.
func (s *server) started(ctx context.Context) error {
	select {
	case <-s.executor.Ready():
	case <-ctx.Done():
		return ctx.Err()
	}
	s.Health.Started()
	s.Logger.Info("serving", "addr", s.web.Listener.Addr().String(), "log", s.log.ID(), "node", s.executor.Node())
	return nil
}

// close closes the stores; whatever was not opened is left out.
func (s *server) close() error {
	s.closeTracing()
	var errs []error
	if s.outward != nil {
		errs = append(errs, s.outward.Close())
	}
	if s.views != nil {
		errs = append(errs, s.views.Close())
	}
	if s.node != nil {
		errs = append(errs, s.node.Close())
	}
	if s.log != nil {
		errs = append(errs, s.log.Close())
	}
	return errors.Join(errs...)
}
