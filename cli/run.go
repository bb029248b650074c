// Package cli carries out the commands of the binary: each is one file, called like it, and serving is
// handed on to package app.
package cli

import (
	"context"
	"fmt"
	"io"

	"quipu/app"
	"quipu/infra/config"
	"quipu/infra/telemetry"
)

// Run carries out one call of the binary, which is of that version, and returns when it is done. Serving
// is done when ctx ends. Errors: *config.UsageError and config.Problems if the call itself is wrong.
func Run(ctx context.Context, args, environ []string, stdout, stderr io.Writer, version string) error {
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
		return app.Serve(ctx, inv.Config, version, logger, stdout)
	case config.CommandLogServe:
		return app.ServeLog(ctx, inv.Config, version, logger)
	case config.CommandLogVerify:
		return verifyLog(ctx, inv.Config, stdout)
	case config.CommandLogBackup:
		return backupData(ctx, inv.Config, inv.BackupTo, version, stdout)
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
