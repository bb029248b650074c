package config

import (
	"fmt"
	"net/url"
	"strings"
)

// OTLPSampleWhole is the value of otlp-sample that records every trace.
const OTLPSampleWhole = 10_000

// Tracing holds the settings of traces.
type Tracing struct {
	Endpoint string `name:"otlp-endpoint" default:"" unit:"URL" help:"Collector that spans are sent to by OTLP over HTTP, such as http://localhost:4318; without a path it gets /v1/traces; empty records no spans, and clients' traceparents are still passed on."`
	Headers  Secret `name:"otlp-headers" default:"" help:"Headers of the requests to otlp-endpoint: name=value, comma-separated; give them by environment or file, since flags show in process lists."`
	Sample   int    `name:"otlp-sample" default:"10000" unit:"of 10,000 traces" min:"0" max:"10000" help:"How many of 10,000 new traces are recorded; for a trace that a client began the client's sampled flag counts."`
}

// Enabled reports whether spans are recorded.
func (t Tracing) Enabled() bool { return t.Endpoint != "" }

// HeaderValues reads Headers. What Validate would refuse is left out.
func (t Tracing) HeaderValues() map[string]string {
	out := map[string]string{}
	for _, entry := range splitList(t.Headers.Reveal()) {
		if name, value, found := strings.Cut(entry, "="); found && headerNameOK(name) {
			out[name] = value
		}
	}
	return out
}

// checkTracing reports what is wrong with the settings of traces. No problem repeats a value that may
// hold a key.
func (c Config) checkTracing() (ps Problems) {
	if text := c.Tracing.Endpoint; text != "" {
		switch u, err := url.Parse(text); {
		case err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https":
			ps = append(ps, Problem{"otlp_endpoint", "is not an http or https URL", "write it like http://localhost:4318"})
		case u.User != nil || u.RawQuery != "":
			ps = append(ps, Problem{"otlp_endpoint", "holds a user name, a password or a query", "give keys as otlp_headers"})
		}
	}
	for i, entry := range splitList(c.Tracing.Headers.Reveal()) {
		name, value, found := strings.Cut(entry, "=")
		if !found || !headerNameOK(name) || strings.IndexFunc(value, func(r rune) bool { return r < ' ' || r > '~' }) >= 0 {
			ps = append(ps, Problem{"otlp_headers", fmt.Sprintf("entry %d is not a header", i+1), "write name=value, as in authorization=Bearer …"})
		}
	}
	return ps
}

func headerNameOK(name string) bool {
	return name != "" && strings.IndexFunc(name, func(r rune) bool { return !alphanumeric(r) && r != '-' && r != '_' }) < 0
}
