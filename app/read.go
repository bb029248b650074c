package app

import (
	"time"

	"quipu/app/stores"
	"quipu/domain"
	"quipu/eventbus"
	"quipu/infra/config"
	"quipu/readapi"
	"quipu/readapi/lao"
)

// buildReadSide makes what follows the log for sockets: the hub, what all dialects share, and LAO's.
func (s *server) buildReadSide() {
	c := s.Config
	s.hub = eventbus.New(s.log, stores.FollowLog(s.log), s.Clock, eventbus.Options{Hooks: s.hubHooks()})
	s.sockets = readapi.NewSockets(s.Clock, s.socketOptions())
	s.live = readapi.NewLive(readapi.Deps{
		Sockets: s.sockets, Log: s.log, Clock: s.Clock, Payloads: s.payloads(),
		Readers: func(stream domain.StreamID, from domain.Revision, notify func()) readapi.Reader {
			return s.hub.Reader(stream, from, notify)
		},
	}, s.liveOptions(c))
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
