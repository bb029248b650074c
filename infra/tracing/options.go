package tracing

import (
	"errors"
	"log/slog"
	"net/url"
	"time"
)

// Bounds of a Tracer.
const (
	// QueueSpansMax is how many spans wait for the exporter; further ones are dropped.
	QueueSpansMax = 8192
	// BatchSpansMax is how many spans one request to the collector holds.
	BatchSpansMax = 512
	// ValueBytesMax bounds the text of an attribute; the rest is cut off.
	ValueBytesMax = 256
	// TracesPerStepMax is how many traces get a span of a step that many share, such as a commit.
	TracesPerStepMax = 16
	// FrameAgeMax is how old an event may be to get a span of its first frame: later it is history.
	FrameAgeMax = time.Minute
	// FramesSeenMax is how many events are remembered as shown.
	FramesSeenMax = 8192

	attributesMax = 32
	batchEvery    = 2 * time.Second
	exportTimeout = 10 * time.Second
	logEvery      = 30 * time.Second
	responseMax   = 64 << 10
)

// Options of a Tracer.
type Options struct {
	// Endpoint is the collector's URL, http or https; without a path it gets /v1/traces.
	Endpoint string
	// Headers go with every request to it, such as a key. They are never shown.
	Headers map[string]string
	// Ratio is the share of new traces that are recorded, 0 to 1. For a client's own trace its sampled
	// flag counts.
	Ratio float64
	// Service and Version name the process; Node tells it from others and must not be empty.
	Service, Version, Node string
	// Now is the time of spans. Required.
	Now func() time.Time
	// Logger gets a line when spans cannot be sent, at most one in 30 s. Default: none.
	Logger *slog.Logger
	// Ended counts recorded spans, Exported those that a collector took, Failed those that none did.
	// What is in neither count is waiting or was dropped. Each may be nil.
	Ended, Exported, Failed func(spans int)
}

// Validate says what is wrong with o; the texts hold no header.
func (o Options) Validate() error {
	u, err := url.Parse(o.Endpoint)
	switch {
	case err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https":
		return errors.New("the collector's endpoint must be an http or https URL, such as http://localhost:4318")
	case !(o.Ratio >= 0 && o.Ratio <= 1):
		return errors.New("the sampling ratio must be from 0 to 1")
	case o.Now == nil || o.Node == "":
		return errors.New("tracing needs a clock and a node")
	}
	return nil
}

// url is the endpoint with its path.
func (o Options) url() string {
	u, _ := url.Parse(o.Endpoint) // Validate has
	if u.Path == "" || u.Path == "/" {
		u.Path = "/v1/traces"
	}
	return u.String()
}

func (o Options) withDefaults() Options {
	none := func(int) {}
	if o.Ended == nil {
		o.Ended = none
	}
	if o.Exported == nil {
		o.Exported = none
	}
	if o.Failed == nil {
		o.Failed = none
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return o
}
