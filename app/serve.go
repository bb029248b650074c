package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"

	"quipu/commands"
	"quipu/domain/wire"
	"quipu/domain/workflow"
	"quipu/infra/config"
)

// Serve wires the adapters to the rooms that use them and runs them until ctx ends. version is that of the
// binary, as clients and other nodes are told it; on stdout the key of the first endpoint is shown.
func Serve(ctx context.Context, c config.Config, version string, logger *slog.Logger, stdout io.Writer) error {
	logger.Info("starting quipu", "version", version, "config", c)
	s, err := open(ctx, c, version, logger)
	if err != nil && ctx.Err() != nil {
		logger.Info("stopped before it served", "error", err)
		return nil // as it was asked to
	}
	if err != nil {
		return err
	}
	if err := s.firstEndpoint(ctx, stdout); err != nil {
		return errors.Join(err, s.web.Listener.Close(), s.close())
	}
	return s.run(ctx)
}

// firstEndpoint makes an endpoint on a log without events and prints its key, this once: a client of
// an endpoint can begin without another step.
func (s *server) firstEndpoint(ctx context.Context, stdout io.Writer) error {
	head, err := s.log.Head(ctx)
	if err != nil || head > 0 {
		return err
	}
	by := commands.By{Actor: wire.Actor{Kind: wire.ActorSystem, Via: "first-start"}}
	made, err := s.endpoints.Create(ctx, workflow.EndpointDefault, by)
	if err != nil {
		return fmt.Errorf("make the first endpoint: %w", err)
	}
	_, err = fmt.Fprintf(stdout, "endpoint %s is ready; its key, which is shown this once: %s\n", made.ID, made.Key)
	return err
}
