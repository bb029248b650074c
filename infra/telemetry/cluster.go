package telemetry

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// clusterMetrics are those of a node among several.
type clusterMetrics struct {
	nodes  *prometheus.GaugeVec
	leases *prometheus.HistogramVec
	owned  *prometheus.GaugeVec
}

func (m *Metrics) addCluster() {
	m.cluster.nodes = m.gaugeVec("cluster_nodes", "Nodes in force as this one knows them: owner for those that share the work, alive for these and those that drain.", "state")
	m.cluster.leases = m.histogramVec("lease_renewal_duration_seconds", "Time of one renewal of this node's lease; its count by outcome is the number of renewals.", storageBuckets, "outcome")
	m.cluster.owned = m.gaugeVec("owned", "1 if this node does the work named, of what one of several nodes does: keeping the views, a relay, the intake.", "work")
}

// Owned tells whether this node does a work that one of several nodes does.
func (m *Metrics) Owned(work string, mine bool) {
	value := 0.0
	if mine {
		value = 1
	}
	m.cluster.owned.WithLabelValues(m.label("work", work)).Set(value)
}

// ClusterNodes tells how many nodes there are.
func (m *Metrics) ClusterNodes(owners, alive int) {
	m.cluster.nodes.WithLabelValues("owner").Set(float64(owners))
	m.cluster.nodes.WithLabelValues("alive").Set(float64(alive))
}

// LeaseRenewed counts one renewal: outcome is "ok" or the error's kind.
func (m *Metrics) LeaseRenewed(outcome string, d time.Duration) {
	m.cluster.leases.WithLabelValues(m.label("outcome", outcome)).Observe(d.Seconds())
}
