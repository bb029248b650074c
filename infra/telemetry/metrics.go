package telemetry

import (
	"net/http"
	"runtime"
	"strconv"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// LabelValuesMax bounds the distinct values of each label; further ones count as "other". Names
// that reach a label should come from a fixed set anyway: this keeps a mistake, or a client's
// invention, from filling the memory.
const LabelValuesMax = 100

// Metrics holds everything the process counts, in a registry of its own. All methods are safe for
// concurrent use, take basic types only and cost about as much as an atomic addition. The names
// with their meaning are listed in docs/operations.md; a test keeps that list complete.
type Metrics struct {
	registry *prometheus.Registry

	appendDuration *prometheus.HistogramVec
	logLost        *prometheus.CounterVec
	logResubscribe prometheus.Counter
	logLeftBehind  prometheus.Gauge
	batchAppends   prometheus.Histogram
	batchEvents    prometheus.Histogram
	batchBytes     prometheus.Histogram
	flushDuration  prometheus.Histogram

	commandDuration *prometheus.HistogramVec
	runsActive      prometheus.Gauge
	runsPending     prometheus.Gauge
	runsSleeping    prometheus.Gauge
	runsQuarantined prometheus.Gauge
	effectsRunning  prometheus.Gauge
	effectDuration  *prometheus.HistogramVec

	socketsOpen  *prometheus.GaugeVec
	framesSent   *prometheus.CounterVec
	slowReaders  prometheus.Counter
	feedLag      *prometheus.GaugeVec
	feedLagTime  *prometheus.GaugeVec
	httpDuration *prometheus.HistogramVec
	httpRefused  *prometheus.CounterVec

	viewsCommit   prometheus.Histogram
	viewsEvents   prometheus.Counter
	viewsRows     prometheus.Counter
	viewsParked   prometheus.Gauge
	viewsRebuilds prometheus.Counter
	viewsErrors   *prometheus.CounterVec

	traceSpans *prometheus.CounterVec
	healthOK   *prometheus.GaugeVec

	cluster clusterMetrics
	bus     busMetrics
	port    portMetrics

	mu     sync.RWMutex
	labels map[string]map[string]bool // label set by name -> values seen
}

// Buckets, in seconds: of storage, from one fast flush up; of work, up to the longest attempt worth
// telling apart.
var (
	storageBuckets = []float64{.0001, .00025, .0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5}
	workBuckets    = []float64{.001, .005, .025, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600}
)

// NewMetrics returns empty metrics. version is shown in quipu_build_info.
func NewMetrics(version string) *Metrics {
	m := &Metrics{registry: prometheus.NewRegistry(), labels: map[string]map[string]bool{}}

	m.appendDuration = m.histogramVec("append_duration_seconds", "Time from handing an append to the log until it is durable or refused; its count is the number of appends.", storageBuckets, "outcome")
	m.flushDuration = m.histogram("log_flush_duration_seconds", "Time of one write and fsync of the log.", storageBuckets)
	m.batchAppends = m.histogram("log_flush_appends", "Appends made durable by one flush.", prometheus.ExponentialBuckets(1, 2, 11))
	m.batchEvents = m.histogram("log_flush_events", "Events made durable by one flush; its sum is the number of events stored.", prometheus.ExponentialBuckets(1, 2, 14))
	m.batchBytes = m.histogram("log_flush_bytes", "Bytes written by one flush.", prometheus.ExponentialBuckets(256, 4, 10))

	m.logLost = m.counterVec("log_connections_lost_total", "Connections to the log's server that were given up and built anew, by what they are for: writes, reads or follow.", "role")
	m.logResubscribe = m.counter("log_resubscribed_total", "Times the subscription to the log's server ended, or brought nothing, and was opened anew.")
	m.logLeftBehind = m.gauge("log_calls_left_behind", "Calls to the log's server that its client has not returned from although nobody waits any more; bounded, 0 unless the server is away.")

	m.commandDuration = m.histogramVec("command_duration_seconds", "Time of a command from its arrival to its answer.", storageBuckets, "command", "outcome")
	m.runsActive = m.gauge("runs_active", "Runs that are being worked on.")
	m.runsPending = m.gauge("runs_pending", "Runs that are recorded and wait to be worked on.")
	m.runsSleeping = m.gauge("runs_sleeping", "Runs that wait for a timer or a retry and are not held in memory.")
	m.runsQuarantined = m.gauge("runs_quarantined", "Runs that could not be folded and are left alone; any above 0 needs a look.")
	m.effectsRunning = m.gauge("effects_running", "Task attempts with effects that are running.")
	m.effectDuration = m.histogramVec("effect_duration_seconds", "Time of one task attempt with effects.", workBuckets, "node_type", "outcome")

	m.socketsOpen = m.gaugeVec("sockets_open", "Open sockets.", "dialect")
	m.framesSent = m.counterVec("frames_sent_total", "Frames written to sockets.", "dialect")
	m.slowReaders = m.counter("slow_readers_total", "Times a reader fell behind and went back to reading the log.")
	m.feedLag = m.gaugeVec("feed_lag_positions", "Log positions between the head and what the consumer has processed.", "consumer")
	m.feedLagTime = m.gaugeVec("feed_lag_seconds", "Age of the oldest event the consumer has not processed, 0 if none.", "consumer")
	m.httpDuration = m.histogramVec("http_request_duration_seconds", "Time of a request, by route pattern; its count is the number of requests.", storageBuckets, "route", "method", "status")

	m.httpRefused = m.counterVec("requests_refused_total", "Requests that were turned away before any route saw them, by reason: host, origin, key_missing or key_unknown.", "reason")

	m.viewsCommit = m.histogram("views_commit_duration_seconds", "Time of one commit of rows and checkpoint to the views; its count is the number of commits.", storageBuckets)
	m.viewsEvents = m.counter("views_events_total", "Events projected into the views.")
	m.viewsRows = m.counter("views_rows_total", "Rows written to the views.")
	m.viewsParked = m.gauge("views_parked", "Events that a view could not take in, in the rows that are served; any above 0 needs a look.")
	m.viewsRebuilds = m.counter("views_rebuilds_total", "Times the views were built anew and replaced.")
	m.viewsErrors = m.counterVec("views_errors_total", "Failures of projecting, by kind; each is tried again.", "kind")

	m.traceSpans = m.counterVec("trace_spans_total", "Spans by what became of them: ended, exported or failed. What ended and is in neither other count waits or was dropped.", "outcome")
	m.healthOK = m.gaugeVec("health_ok", "1 if a check of /health/ready passes, 0 if not; asked at each scrape.", "check")

	m.addCluster()
	m.addBus()
	m.addPort()

	build := m.gaugeVec("build_info", "Always 1; its labels say what is running.", "version", "go")
	build.WithLabelValues(version, runtime.Version()).Set(1)
	m.registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

// AppendObserved counts one append: outcome is "ok" or the error's kind.
func (m *Metrics) AppendObserved(outcome string, d time.Duration) {
	m.appendDuration.WithLabelValues(m.label("outcome", outcome)).Observe(d.Seconds())
}

// FlushObserved counts one flush of the log and what it made durable.
func (m *Metrics) FlushObserved(appends, events, bytes int, d time.Duration) {
	m.batchAppends.Observe(float64(appends))
	m.batchEvents.Observe(float64(events))
	m.batchBytes.Observe(float64(bytes))
	m.flushDuration.Observe(d.Seconds())
}

// LogConnectionLost counts one connection to the log's server that was given up; role is writes, reads or
// follow.
func (m *Metrics) LogConnectionLost(role string) {
	m.logLost.WithLabelValues(m.label("role", role)).Inc()
}

// LogResubscribed counts one end of the subscription to the log's server.
func (m *Metrics) LogResubscribed() { m.logResubscribe.Inc() }

// LogCallsLeftBehind says how many calls the client of the log's server has not returned from.
func (m *Metrics) LogCallsLeftBehind(n int64) { m.logLeftBehind.Set(float64(n)) }

// CommandObserved counts one command: outcome is "ok" or the error's kind.
func (m *Metrics) CommandObserved(command, outcome string, d time.Duration) {
	m.commandDuration.WithLabelValues(m.label("command", command), m.label("outcome", outcome)).Observe(d.Seconds())
}

// RunsActive says how many runs are being worked on.
func (m *Metrics) RunsActive(n int) { m.runsActive.Set(float64(n)) }

// RunsPending says how many runs wait to be worked on.
func (m *Metrics) RunsPending(n int) { m.runsPending.Set(float64(n)) }

// RunsSleeping says how many runs wait for an instant out of memory.
func (m *Metrics) RunsSleeping(n int) { m.runsSleeping.Set(float64(n)) }

// RunsQuarantined says how many runs could not be folded.
func (m *Metrics) RunsQuarantined(n int) { m.runsQuarantined.Set(float64(n)) }

// EffectStarted counts a task attempt in; EffectEnded counts it out.
func (m *Metrics) EffectStarted() { m.effectsRunning.Inc() }

// EffectEnded counts a task attempt out: outcome is completed, failed, timeout or cancelled.
func (m *Metrics) EffectEnded(nodeType, outcome string, d time.Duration) {
	m.effectsRunning.Dec()
	m.effectDuration.WithLabelValues(m.label("node_type", nodeType), m.label("outcome", outcome)).Observe(d.Seconds())
}

// SocketOpened counts a socket in; SocketClosed counts it out.
func (m *Metrics) SocketOpened(dialect string) {
	m.socketsOpen.WithLabelValues(m.label("dialect", dialect)).Inc()
}

// SocketClosed counts a socket out.
func (m *Metrics) SocketClosed(dialect string) {
	m.socketsOpen.WithLabelValues(m.label("dialect", dialect)).Dec()
}

// FramesSent counts n frames written to a socket.
func (m *Metrics) FramesSent(dialect string, n int) {
	m.framesSent.WithLabelValues(m.label("dialect", dialect)).Add(float64(n))
}

// SlowReader counts a reader that fell behind.
func (m *Metrics) SlowReader() { m.slowReaders.Inc() }

// FeedLag says how far a consumer of the feed is behind the head.
func (m *Metrics) FeedLag(consumer string, positions uint64, age time.Duration) {
	consumer = m.label("consumer", consumer)
	m.feedLag.WithLabelValues(consumer).Set(float64(positions))
	m.feedLagTime.WithLabelValues(consumer).Set(age.Seconds())
}

// ViewsCommitted counts one commit to the views.
func (m *Metrics) ViewsCommitted(events, rows int, d time.Duration) {
	m.viewsCommit.Observe(d.Seconds())
	m.viewsEvents.Add(float64(events))
	m.viewsRows.Add(float64(rows))
}

// ViewsParked says how many events the views could not take in.
func (m *Metrics) ViewsParked(n int) { m.viewsParked.Set(float64(n)) }

// ViewsRebuilt counts one replacement of the views.
func (m *Metrics) ViewsRebuilt() { m.viewsRebuilds.Inc() }

// ViewsFailed counts a failure of projecting by its kind.
func (m *Metrics) ViewsFailed(kind string) {
	m.viewsErrors.WithLabelValues(m.label("kind", kind)).Inc()
}

// The outcomes of TraceSpans.
const (
	SpansEnded    = "ended"
	SpansExported = "exported"
	SpansFailed   = "failed"
)

// TraceSpans counts n spans by one of the outcomes above.
func (m *Metrics) TraceSpans(outcome string, n int) {
	m.traceSpans.WithLabelValues(outcome).Add(float64(n))
}

// Health shows the checks of a report.
func (m *Metrics) Health(r Report) {
	for name, c := range r.Checks {
		ok := 0.0
		if c.Status == StatusOK {
			ok = 1
		}
		m.healthOK.WithLabelValues(m.label("check", name)).Set(ok)
	}
}

// HTTPObserved counts one request. route is the pattern ("/api/executions/:id"), never the path.
func (m *Metrics) HTTPObserved(route, method string, status int, d time.Duration) {
	m.httpDuration.WithLabelValues(m.label("route", route), m.label("method", method), m.label("status", strconv.Itoa(status))).Observe(d.Seconds())
}

// RequestRefused counts a request that was turned away at the door.
func (m *Metrics) RequestRefused(reason string) {
	m.httpRefused.WithLabelValues(m.label("reason", reason)).Inc()
}

// Handler serves the metrics in the Prometheus text form.
func (m *Metrics) Handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{Registry: m.registry})
}

// otherLabel stands for every value beyond LabelValuesMax.
const otherLabel = "other"

// label returns value, or "other" once the label has LabelValuesMax values already.
func (m *Metrics) label(name, value string) string {
	m.mu.RLock()
	seen, full := m.labels[name][value], len(m.labels[name]) >= LabelValuesMax
	m.mu.RUnlock()
	if seen {
		return value
	}
	if full {
		return otherLabel
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	values := m.labels[name]
	if values == nil {
		values = map[string]bool{}
		m.labels[name] = values
	}
	if !values[value] && len(values) >= LabelValuesMax {
		return otherLabel
	}
	values[value] = true
	return value
}

const namespace = "quipu"

func (m *Metrics) histogram(name, help string, buckets []float64) prometheus.Histogram {
	c := prometheus.NewHistogram(prometheus.HistogramOpts{Namespace: namespace, Name: name, Help: help, Buckets: buckets})
	m.registry.MustRegister(c)
	return c
}

func (m *Metrics) histogramVec(name, help string, buckets []float64, labels ...string) *prometheus.HistogramVec {
	c := prometheus.NewHistogramVec(prometheus.HistogramOpts{Namespace: namespace, Name: name, Help: help, Buckets: buckets}, labels)
	m.registry.MustRegister(c)
	return c
}

func (m *Metrics) gauge(name, help string) prometheus.Gauge {
	c := prometheus.NewGauge(prometheus.GaugeOpts{Namespace: namespace, Name: name, Help: help})
	m.registry.MustRegister(c)
	return c
}

func (m *Metrics) gaugeVec(name, help string, labels ...string) *prometheus.GaugeVec {
	c := prometheus.NewGaugeVec(prometheus.GaugeOpts{Namespace: namespace, Name: name, Help: help}, labels)
	m.registry.MustRegister(c)
	return c
}

func (m *Metrics) counter(name, help string) prometheus.Counter {
	c := prometheus.NewCounter(prometheus.CounterOpts{Namespace: namespace, Name: name, Help: help})
	m.registry.MustRegister(c)
	return c
}

func (m *Metrics) counterVec(name, help string, labels ...string) *prometheus.CounterVec {
	c := prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: namespace, Name: name, Help: help}, labels)
	m.registry.MustRegister(c)
	return c
}
