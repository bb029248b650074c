package readapi

import (
	"math/rand/v2"
	"time"

	"quipu/domain"
	"quipu/readapi/lao"
)

// Defaults of Options.
const (
	KeepaliveDefault      = 25 * time.Second
	PingDefault           = 30 * time.Second
	SilenceDefault        = 75 * time.Second
	IdleTimeoutDefault    = 10 * time.Minute
	ReplayWindowDefault   = 30 * time.Second
	SocketsMaxDefault     = 10_000
	ShutdownSpreadDefault = 500 * time.Millisecond
)

// SocketOptions are those that all dialects share. The zero value means the defaults.
type SocketOptions struct {
	// SocketsMax bounds the open sockets of the process; a further upgrade is answered 429. Default
	// 10,000; below 0 allows none.
	SocketsMax int
	// Compression agrees to compress messages with clients that offer it (RFC 7692). Off by default:
	// it costs CPU for each socket. The bounds on what clients send count bytes after decompression.
	Compression bool
	// Ping is the interval of protocol pings. Default 30 s.
	Ping time.Duration
	// Silence is how long a client may send no frame at all (pongs count) before it is closed with
	// 1013. Default 75 s, so that one lost ping is survived. It must exceed Ping.
	Silence time.Duration
	// IdleTimeout is how long a socket stays open with nothing to follow on it. Default 10 min.
	IdleTimeout time.Duration
	// ShutdownSpread is the time over which Shutdown closes sockets. Default 500 ms.
	ShutdownSpread time.Duration
	// WriteStall is how often a stalled write looks at the rule for slow readers. Default 10 s.
	WriteStall time.Duration
	// CloseGrace bounds how long a closing socket waits for the client, in wall time. Default 1 s.
	CloseGrace time.Duration
	// Random gives numbers in [0, 1) for jitter. Default math/rand/v2.
	Random func() float64
	// Hooks observe sockets.
	Hooks Hooks
}

// Options of Live. The zero value means the defaults.
type Options struct {
	// SocketsPerNameMax bounds the sockets on one flow/run name; a further upgrade is answered 429.
	// Default 10,000; below 0 allows none.
	SocketsPerNameMax int
	// ReplayWindow is how long after its end a run is still shown to a socket that names no
	// offset (contract D3). Default 30 s; below 0: never.
	ReplayWindow time.Duration
	// Keepalive is the interval of keepalive frames. Default 25 s.
	Keepalive time.Duration
	// Frames says how frames are rendered; LogID is filled in.
	Frames lao.Options
	// Random gives numbers in [0, 1) for jitter. Default math/rand/v2.
	Random func() float64
}

// Hooks observe sockets, for metrics and logs. Each may be nil; none may block. None is given a
// payload.
type Hooks struct {
	Opened  func(dialect string)
	Closed  func(dialect string, code int)          // as sent or received; 1006 if neither
	Refused func(dialect, code string)              // before the handshake: the problem's code
	Sent    func(dialect string, frames, bytes int) // one write, control frames included
	Failed  func(err error)                         // the log failed; it will be tried again
	// Framed is told of each event whose frame is about to be written to a socket: live ones and those
	// that are read from the log. It is on the hot path, and the event is shared: it is not kept.
	Framed   func(dialect string, event *domain.Recorded)
	Panicked func(v any, stack []byte)
}

func orDefault(d *time.Duration, v time.Duration) {
	if *d == 0 {
		*d = v
	}
}

func (o SocketOptions) withDefaults() SocketOptions {
	orDefault(&o.Ping, PingDefault)
	orDefault(&o.Silence, SilenceDefault)
	orDefault(&o.IdleTimeout, IdleTimeoutDefault)
	orDefault(&o.ShutdownSpread, ShutdownSpreadDefault)
	orDefault(&o.WriteStall, 10*time.Second)
	orDefault(&o.CloseGrace, time.Second)
	if o.SocketsMax == 0 {
		o.SocketsMax = SocketsMaxDefault
	}
	if o.Random == nil {
		o.Random = rand.Float64
	}
	return o
}

func (o Options) withDefaults() Options {
	orDefault(&o.ReplayWindow, ReplayWindowDefault)
	orDefault(&o.Keepalive, KeepaliveDefault)
	if o.SocketsPerNameMax == 0 {
		o.SocketsPerNameMax = SocketsMaxDefault
	}
	if o.Random == nil {
		o.Random = rand.Float64
	}
	return o
}
