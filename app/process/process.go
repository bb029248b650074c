// Package process has what every part of the server process is given: its configuration, and the means to
// tell the time and how the part is doing.
package process

import (
	"log/slog"
	"time"

	"quipu/domain"
	"quipu/infra/clock"
	"quipu/infra/config"
	"quipu/infra/telemetry"
	"quipu/infra/tracing"
)

// Process is handed to each part by value. All of it may be used concurrently.
type Process struct {
	Config  config.Config
	Version string // of the binary
	Logger  *slog.Logger
	Clock   clock.System
	Metrics *telemetry.Metrics
	Health  *telemetry.Health
	Tracer  *tracing.Tracer // nil: no spans are recorded
}

// RequestTimeout bounds what one command or question takes, whichever way it came in.
const RequestTimeout = 30 * time.Second

// New is a process without a tracer.
func New(c config.Config, version string, logger *slog.Logger) Process {
	return Process{Config: c, Version: version, Logger: logger, Metrics: telemetry.NewMetrics(version), Health: telemetry.NewHealth()}
}

// Outcome is "ok" or the kind of an error, as labels of metrics and ends of spans have it.
func Outcome(err error) string {
	if err == nil {
		return "ok"
	}
	return domain.KindOf(err).String()
}
