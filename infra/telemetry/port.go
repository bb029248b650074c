package telemetry

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// portMetrics are those of the port on which the log speaks KurrentDB's protocol.
type portMetrics struct {
	calls         *prometheus.HistogramVec
	subscriptions prometheus.Gauge
}

func (m *Metrics) addPort() {
	m.port.calls = m.histogramVec("port_call_duration_seconds", "Time of a call on the KurrentDB port, by method and code of its end; subscriptions and batches count when they end.", storageBuckets, "method", "code")
	m.port.subscriptions = m.gauge("port_subscriptions", "Subscriptions open on the KurrentDB port.")
}

// PortCalled counts a call on the KurrentDB port that has ended.
func (m *Metrics) PortCalled(method, code string, d time.Duration) {
	m.port.calls.WithLabelValues(m.label("method", method), m.label("code", code)).Observe(d.Seconds())
}

// PortSubscribed counts a subscription in (1) or out (-1).
func (m *Metrics) PortSubscribed(by int) { m.port.subscriptions.Add(float64(by)) }
