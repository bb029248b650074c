package app

import (
	"context"
	"net/url"
	"strconv"
	"time"

	"quipu/app/process"
	"quipu/commands"
	"quipu/commands/sealing"
	"quipu/domain"
	"quipu/domain/rawjson"
	"quipu/eventbus"
	"quipu/infra/config"
	"quipu/readapi"
	"quipu/readapi/lao"
)

// payloads shows values to clients: secrets masked, unless the operator turned that off, and large
// blobs as links.
type payloads struct {
	blobs    commands.Blobs
	revealer *commands.Revealer // nil: masked
}

func (s *server) payloads() payloads {
	p := payloads{blobs: s.node.Blobs}
	if !s.Config.Sockets.MaskFrames {
		p.revealer = &commands.Revealer{Log: s.log, Secrets: commands.Secrets{Vault: s.node.Vault, Blobs: s.node.Blobs}}
	}
	return p
}

// Render implements lao.Payloads.
func (p payloads) Render(ctx context.Context, executionID string, v domain.Value, inlineMax int) ([]byte, error) {
	if len(v.Holes) == 0 {
		return v.JSON, nil
	}
	if p.revealer != nil && !linked(v, inlineMax) {
		return p.revealer.Reveal(ctx, executionID, v)
	}
	return sealing.Mask(ctx, p.blobs, v, int64(inlineMax))
}

// Definition implements history.Payloads: a stored workflow's secrets are masked, whatever the switch
// for runs says, so that what was read can be written back.
func (p payloads) Definition(ctx context.Context, graph domain.Value, inlineMax int) ([]byte, error) {
	return sealing.Mask(ctx, p.blobs, graph, int64(inlineMax))
}

// linked reports whether part of v is so large that a link stands for it.
func linked(v domain.Value, inlineMax int) bool {
	for _, h := range v.Holes {
		if h.Blob != "" && h.Bytes > int64(inlineMax) {
			return true
		}
	}
	return false
}

// render shows a value in task-status, where a result is wanted whole.
func (s *server) render(ctx context.Context, runID string, v domain.Value) ([]byte, error) {
	return s.payloads().Render(ctx, runID, v, s.Config.HTTP.BodyBytesMax)
}

// executionLink stands in a frame for results that are too large for it.
func executionLink(executionID string, tasks int) []byte {
	b := rawjson.AppendString([]byte(`{"href":`), "/api/executions/"+url.PathEscape(executionID))
	return append(strconv.AppendInt(append(b, `,"tasks":`...), int64(tasks), 10), '}')
}

func (s *server) executorHooks() commands.Hooks {
	return commands.Hooks{
		Appended: func(_ int, took time.Duration, err error) { s.Metrics.AppendObserved(process.Outcome(err), took) },
		Command: func(name string, took time.Duration, err error) {
			s.Metrics.CommandObserved(name, process.Outcome(err), took)
		},
		Started: func(string) { s.Metrics.EffectStarted() },
		Runs: func(active, pending, quarantined int) {
			s.Metrics.RunsActive(active)
			s.Metrics.RunsPending(pending)
			s.Metrics.RunsQuarantined(quarantined)
		},
		Sleeping: s.Metrics.RunsSleeping,
		Awaits:   s.channels.Awaits,
		Effect: func(function string, took time.Duration, outcome string) {
			s.Metrics.EffectEnded(function, outcome, took)
		},
		Delta: s.outward.Said,
	}
}

func (s *server) hubHooks() eventbus.Hooks {
	return eventbus.Hooks{
		Published: func(_ int, position domain.Position) {
			s.seen.Publish(position)
			s.outward.Wake()
		},
		Connected: s.seen.Publish,
		Lagged:    s.Metrics.SlowReader,
		Disconnected: func(err error, retryIn time.Duration) {
			s.Logger.Warn("feed lost its subscription to the log", "error", err, "retry_in", retryIn)
		},
		Panicked: func(_ any, stack []byte) { s.Logger.Error("feed panicked", "stack", string(stack)) },
	}
}

// noneIfZero turns a setting whose 0 means none into an option whose 0 means its default.
func noneIfZero(n int) int {
	if n == 0 {
		return -1
	}
	return n
}

// socketOptions are those of every dialect's sockets.
func (s *server) socketOptions() readapi.SocketOptions {
	c := s.Config
	o := readapi.SocketOptions{
		SocketsMax: noneIfZero(c.Sockets.Max), IdleTimeout: c.Sockets.IdleTimeout,
		Compression: c.Sockets.Compression, Random: s.Clock.Jitter,
		Hooks: readapi.Hooks{
			Opened: func(dialect string) {
				s.Metrics.SocketOpened(dialect)
				s.Logger.Debug("socket opened", "dialect", dialect)
			},
			Closed: func(dialect string, code int) {
				s.Metrics.SocketClosed(dialect)
				s.Logger.Debug("socket closed", "dialect", dialect, "code", code)
			},
			Refused:  func(dialect, code string) { s.Logger.Debug("socket refused", "dialect", dialect, "code", code) },
			Sent:     func(dialect string, frames, _ int) { s.Metrics.FramesSent(dialect, frames) },
			Failed:   func(err error) { s.Logger.Warn("socket cannot read the log", "error", err) },
			Panicked: func(_ any, stack []byte) { s.Logger.Error("socket panicked", "stack", string(stack)) },
		},
	}
	if s.Tracer != nil {
		o.Hooks.Framed = s.Tracer.Framed
	}
	return o
}

func (s *server) liveOptions(c config.Config) readapi.Options {
	window := c.Sockets.LAOReplayWindow
	if window == 0 {
		window = -1 // the option's zero means its default
	}
	return readapi.Options{
		SocketsPerNameMax: c.Sockets.PerRunMax, ReplayWindow: window, Random: s.Clock.Jitter,
		Frames: lao.Options{FrameInlineBytesMax: c.Sockets.FrameInlineBytesMax, Link: executionLink},
	}
}
