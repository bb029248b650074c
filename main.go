// Command quipu is an event-sourced workflow orchestrator: one binary, nothing to install.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"quipu/cli"
	"quipu/infra/config"
)

// version is set by the linker for releases.
var version = "dev"

// Exit codes. A second signal ends the process at once, as the shell expects.
const (
	exitOK     = 0
	exitFailed = 1
	exitUsage  = 2
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	context.AfterFunc(ctx, stop)
	os.Exit(exitCode(cli.Run(ctx, os.Args[1:], os.Environ(), os.Stdout, os.Stderr, version)))
}

func exitCode(err error) int {
	if err == nil {
		return exitOK
	}
	fmt.Fprintln(os.Stderr, "quipu:", err)
	var usage *config.UsageError
	var problems config.Problems
	if errors.As(err, &usage) || errors.As(err, &problems) {
		return exitUsage
	}
	return exitFailed
}
