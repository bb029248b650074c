package telemetry

import "github.com/prometheus/client_golang/prometheus"

// busMetrics are those of what travels between this system and others: relays, webhooks, intake, and
// what models say between nodes. How far a relay is behind is in FeedLag, with "relay:<name>" as its
// consumer.
type busMetrics struct {
	relayed      *prometheus.CounterVec
	relayRetries *prometheus.CounterVec
	relayErrors  *prometheus.CounterVec
	poisoned     *prometheus.CounterVec
	poison       *prometheus.GaugeVec
	intake       *prometheus.CounterVec
	intakeRetry  *prometheus.CounterVec
	deltas       *prometheus.CounterVec
	webhook      *prometheus.HistogramVec
}

func (m *Metrics) addBus() {
	m.bus.relayed = m.counterVec("relay_events_total", "Events that a relay is done with: delivered, passed over or put on the poison list.", "relay")
	m.bus.relayRetries = m.counterVec("relay_retries_total", "Deliveries that failed and are tried again.", "relay")
	m.bus.relayErrors = m.counterVec("relay_errors_total", "Failures of the log or the checkpoint that a relay met; each is tried again.", "relay")
	m.bus.poisoned = m.counterVec("poisoned_total", "Messages that were put on a poison list.", "list")
	m.bus.poison = m.gaugeVec("poison_messages", "Messages on a poison list; any above 0 needs a look.", "list")
	m.bus.intake = m.counterVec("intake_messages_total", "Messages of the intake's topic that are over: done or dead_letter.", "command", "outcome")
	m.bus.intakeRetry = m.counterVec("intake_retries_total", "Tries of the intake that failed and are repeated.", "command")
	m.bus.deltas = m.counterVec("deltas_total", "Pieces of models' words between nodes: sent, told, or why they were dropped; live only, what is recorded is whole.", "outcome")
	m.addWebhooks()
}

// RelayDone counts events that a relay is done with.
func (m *Metrics) RelayDone(relay string, events int) {
	m.bus.relayed.WithLabelValues(m.label("relay", relay)).Add(float64(events))
}

// RelayRetried counts a delivery that failed and is tried again.
func (m *Metrics) RelayRetried(relay string) {
	m.bus.relayRetries.WithLabelValues(m.label("relay", relay)).Inc()
}

// RelayFailed counts a failure of the log or the checkpoint.
func (m *Metrics) RelayFailed(relay string) {
	m.bus.relayErrors.WithLabelValues(m.label("relay", relay)).Inc()
}

// Poisoned counts a message that was put on a poison list.
func (m *Metrics) Poisoned(list string) { m.bus.poisoned.WithLabelValues(m.label("list", list)).Inc() }

// PoisonHolds says how many messages a poison list holds.
func (m *Metrics) PoisonHolds(list string, messages int) {
	m.bus.poison.WithLabelValues(m.label("list", list)).Set(float64(messages))
}

// IntakeHandled counts a message of the intake that is over: outcome is done or dead_letter.
func (m *Metrics) IntakeHandled(command, outcome string) {
	m.bus.intake.WithLabelValues(m.label("command", command), m.label("outcome", outcome)).Inc()
}

// IntakeRetried counts a try of the intake that failed and is repeated.
func (m *Metrics) IntakeRetried(command string) {
	m.bus.intakeRetry.WithLabelValues(m.label("command", command)).Inc()
}

// Deltas counts pieces of models' words between nodes: outcome is sent, told, or why they were dropped.
func (m *Metrics) Deltas(outcome string, n int) {
	m.bus.deltas.WithLabelValues(m.label("outcome", outcome)).Add(float64(n))
}
