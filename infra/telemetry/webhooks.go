package telemetry

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

func (m *Metrics) addWebhooks() {
	m.bus.webhook = m.histogramVec("webhook_request_duration_seconds", "Time of one request to a webhook's receiver; outcome is taken, failed or gone.", workBuckets, "webhook", "outcome")
}

// WebhookAttempted counts a request to a webhook's receiver: outcome is taken, failed or gone.
func (m *Metrics) WebhookAttempted(webhook, outcome string, took time.Duration) {
	m.bus.webhook.WithLabelValues(m.label("webhook", webhook), m.label("outcome", outcome)).Observe(took.Seconds())
}

var _ *prometheus.HistogramVec
