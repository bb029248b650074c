package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"

	"quipu/infra/config"
	"quipu/infra/embedded"
	"quipu/infra/telemetry"
)

// run carries out one call of the binary and returns when it is done. Serving is done when ctx
// ends.
func run(ctx context.Context, args, environ []string, stdout, stderr io.Writer) error {
	inv, err := config.Load(args, environ, stdout)
	if err != nil {
		return err
	}
	logger, err := telemetry.NewLogger(stderr, inv.Config.Logging.Level, inv.Config.Logging.Format)
	if err != nil {
		return err
	}
	for _, w := range inv.Warnings {
		logger.Warn(w)
	}
	switch inv.Command {
	case config.CommandServe:
		return serve(ctx, inv.Config, logger, stdout)
	case config.CommandLogServe:
		return serveLog(ctx, inv.Config, logger)
	case config.CommandLogVerify:
		return verifyLog(ctx, inv.Config, stdout)
	case config.CommandLogBackup:
		return backupData(ctx, inv.Config, inv.BackupTo, stdout)
	case config.CommandLogCopy:
		return copyLog(ctx, inv.LogCopy, logger, stdout)
	case config.CommandViewsRebuild, config.CommandViewsVerify:
		return viewsCommand(ctx, inv, logger, stdout)
	case config.CommandHealth:
		return health(ctx, inv.Health, stdout)
	case config.CommandClusterNodes:
		return clusterNodes(ctx, inv.Config.Cluster.URL, stdout)
	case config.CommandWatch:
		return watch(ctx, inv.Watch, stdout)
	case config.CommandVersion:
		_, err = fmt.Fprintln(stdout, "quipu", version)
		return err
	}
	return nil
}

// verifyLog prints what is wrong with a stopped server's log, or a backup, and where.
func verifyLog(ctx context.Context, c config.Config, stdout io.Writer) error {
	problems, err := verifyBackup(ctx, c.Storage.Data, stdout)
	if err != nil {
		return err
	}
	summary, err := embedded.VerifyDir(ctx, logDir(c.Storage.Data), nil, func(p embedded.Problem) { fmt.Fprintln(stdout, p) })
	if err != nil {
		return fmt.Errorf("verify log in %s (set --data to the data folder of a server, or of log serve; a log that --log names is checked by log copy): %w", c.Storage.Data, err)
	}
	fmt.Fprintf(stdout, "%d events of %d streams in %d segments, %d of them chained, head at position %d: %d problems\n",
		summary.Events, summary.Streams, summary.Segments, summary.Chained, summary.Head, summary.Problems)
	if problems += summary.Problems; problems > 0 {
		return fmt.Errorf("verify log in %s: %d problems", c.Storage.Data, problems)
	}
	return nil
}

// serve wires the adapters to the rooms that use them and runs them until ctx ends.
func serve(ctx context.Context, c config.Config, logger *slog.Logger, stdout io.Writer) error {
	logger.Info("starting quipu", "version", version, "config", c)
	s, err := open(ctx, c, logger)
	if err != nil && ctx.Err() != nil {
		logger.Info("stopped before it served", "error", err)
		return nil // as it was asked to
	}
	if err != nil {
		return err
	}
	if err := s.firstEndpoint(ctx, stdout); err != nil {
		return errors.Join(err, s.listener.Close(), s.close())
	}
	return s.run(ctx)
}
