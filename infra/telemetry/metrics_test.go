package telemetry

import (
	"flag"
	"fmt"
	"io"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/stretchr/testify/require"
)

var update = flag.Bool("update", false, "rewrite the list of metrics in docs/operations.md")

// use calls every method once, so that every metric has a sample.
func use(m *Metrics) {
	m.AppendObserved("ok", time.Millisecond)
	m.FlushObserved(3, 5, 700, time.Millisecond)
	m.LogConnectionLost("writes")
	m.LogResubscribed()
	m.LogCallsLeftBehind(4)
	m.CommandObserved("start_run", "conflict", 2*time.Millisecond)
	m.RunsActive(7)
	m.RunsPending(8)
	m.RunsSleeping(9)
	m.RunsQuarantined(1)
	m.EffectStarted()
	m.EffectStarted()
	m.EffectEnded("api_call", "completed", time.Second)
	m.SocketOpened("lao")
	m.SocketOpened("lao")
	m.SocketClosed("lao")
	m.FramesSent("lao", 12)
	m.SlowReader()
	m.RequestRefused("origin")
	m.FeedLag("runs", 40, 1500*time.Millisecond)
	m.HTTPObserved("/api/executions/:id", "GET", 200, 3*time.Millisecond)
	m.ViewsCommitted(12, 31, time.Millisecond)
	m.ViewsParked(2)
	m.ViewsRebuilt()
	m.ViewsFailed("unavailable")
	m.ClusterNodes(2, 3)
	m.LeaseRenewed("ok", time.Millisecond)
	m.Owned("projector:views", true)
	m.RelayDone("nats", 4)
	m.RelayRetried("nats")
	m.RelayFailed("nats")
	m.Poisoned("webhooks")
	m.PoisonHolds("webhooks", 6)
	m.IntakeHandled("run.start", "done")
	m.IntakeRetried("run.start")
	m.Deltas("sent", 2)
	m.WebhookAttempted("orders", "taken", time.Second)
	m.TraceSpans(SpansEnded, 3)
	m.TraceSpans(SpansExported, 2)
	m.PortCalled("Append", "OK", time.Millisecond)
	m.PortSubscribed(1)
	m.Health(Report{Checks: map[string]CheckResult{"log": {Status: StatusOK}, "relay": {Status: StatusDegraded, Error: "away"}}})
}

func scrape(t *testing.T, m *Metrics) string {
	t.Helper()
	w := httptest.NewRecorder()
	m.Handler().ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	require.Equal(t, 200, w.Code)
	body, err := io.ReadAll(w.Body)
	require.NoError(t, err)
	return string(body)
}

func TestMetrics_WhatIsCountedIsServed(t *testing.T) {
	m := NewMetrics("1.2.3")
	use(m)
	body := scrape(t, m)
	for _, line := range []string{
		`quipu_append_duration_seconds_count{outcome="ok"} 1`,
		`quipu_log_connections_lost_total{role="writes"} 1`,
		`quipu_log_resubscribed_total 1`,
		`quipu_log_calls_left_behind 4`,
		`quipu_log_flush_appends_sum 3`,
		`quipu_log_flush_events_sum 5`,
		`quipu_log_flush_bytes_sum 700`,
		`quipu_log_flush_duration_seconds_sum 0.001`,
		`quipu_command_duration_seconds_count{command="start_run",outcome="conflict"} 1`,
		`quipu_runs_active 7`,
		`quipu_runs_pending 8`,
		`quipu_runs_sleeping 9`,
		`quipu_runs_quarantined 1`,
		`quipu_effects_running 1`,
		`quipu_effect_duration_seconds_sum{node_type="api_call",outcome="completed"} 1`,
		`quipu_sockets_open{dialect="lao"} 1`,
		`quipu_frames_sent_total{dialect="lao"} 12`,
		`quipu_slow_readers_total 1`,
		`quipu_requests_refused_total{reason="origin"} 1`,
		`quipu_feed_lag_positions{consumer="runs"} 40`,
		`quipu_feed_lag_seconds{consumer="runs"} 1.5`,
		`quipu_http_request_duration_seconds_count{method="GET",route="/api/executions/:id",status="200"} 1`,
		`quipu_trace_spans_total{outcome="ended"} 3`,
		`quipu_owned{work="projector:views"} 1`,
		`quipu_relay_events_total{relay="nats"} 4`,
		`quipu_poison_messages{list="webhooks"} 6`,
		`quipu_deltas_total{outcome="sent"} 2`,
		`quipu_port_call_duration_seconds_count{code="OK",method="Append"} 1`,
		`quipu_port_subscriptions 1`,
		`quipu_health_ok{check="log"} 1`,
		`quipu_health_ok{check="relay"} 0`,
		`version="1.2.3"`,
		`go_goroutines`,
		`process_open_fds`,
	} {
		require.Contains(t, body, line)
	}
}

// Two processes' worth of metrics in one test binary must not meet in a global registry.
func TestNewMetrics_HasARegistryOfItsOwn(t *testing.T) {
	a, b := NewMetrics("a"), NewMetrics("b")
	a.SlowReader()
	require.Contains(t, scrape(t, b), "quipu_slow_readers_total 0")
}

// A client that invents names must not fill the memory.
func TestMetrics_LabelValuesAreBounded(t *testing.T) {
	m := NewMetrics("1")
	var wg sync.WaitGroup
	for w := range 4 {
		wg.Go(func() {
			for i := range LabelValuesMax {
				m.HTTPObserved(fmt.Sprintf("/%d/%d", w, i), "GET", 404, 0)
			}
		})
	}
	wg.Wait()
	body := scrape(t, m)
	require.Equal(t, LabelValuesMax+1, strings.Count(body, "quipu_http_request_duration_seconds_count{"))
	require.Contains(t, body, fmt.Sprintf(`route="other",status="404"} %d`, 3*LabelValuesMax))
}

const (
	listBegin = "<!-- metrics:begin (written by go test ./infra/telemetry -update) -->\n"
	listEnd   = "<!-- metrics:end -->"
)

// Whoever builds a dashboard finds every metric in the docs, and no other.
func TestDocs_ListEqualsTheRegistry(t *testing.T) {
	m := NewMetrics("1")
	use(m)
	families, err := m.registry.Gather()
	require.NoError(t, err)
	want := "| metric | type | labels | meaning |\n|---|---|---|---|\n"
	for _, f := range families {
		if !strings.HasPrefix(f.GetName(), namespace+"_") {
			continue // Go's and the process's own, documented elsewhere
		}
		var labels []string
		for _, l := range f.GetMetric()[0].GetLabel() {
			labels = append(labels, l.GetName())
		}
		want += fmt.Sprintf("| `%s` | %s | %s | %s |\n", f.GetName(), strings.ToLower(dto.MetricType_name[int32(f.GetType())]), strings.Join(labels, ", "), f.GetHelp())
	}

	path := filepath.Join("..", "..", "docs", "operations.md")
	raw, err := os.ReadFile(path)
	require.NoError(t, err)
	before, rest, found := strings.Cut(string(raw), listBegin)
	require.True(t, found, "no line %q", listBegin)
	list, after, found := strings.Cut(rest, listEnd)
	require.True(t, found, "no line %q", listEnd)
	if *update {
		require.NoError(t, os.WriteFile(path, []byte(before+listBegin+want+listEnd+after), 0o644))
		return
	}
	require.Equal(t, want, list, "run: make golden")
}
