package app

import (
	"context"
	"errors"
	"io"
	"log/slog"

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
