package outward

import (
	"quipu/commands"
	"quipu/infra/nats/deltas"
	"quipu/readapi"
)

// openDeltas lets nodes tell each other what models say; a node that is alone has nobody to tell.
func (o *Outward) openDeltas() {
	if o.nats == nil || o.Config.NATS.Deltas == "" || !o.Config.Cluster.Shared() {
		return
	}
	o.deltas = deltas.New(o.nats, deltas.Options{
		Prefix: o.Config.NATS.Deltas, Node: o.node.ID,
		Followed: func(runID string) bool { return o.inner.Hub.Followed(commands.RunStream(runID)) },
		Tell:     o.tellDelta,
		Hooks: deltas.Hooks{
			Sent:    func() { o.Metrics.Deltas("sent", 1) },
			Told:    func() { o.Metrics.Deltas("told", 1) },
			Dropped: o.Metrics.Deltas,
		},
	})
}

// Said hands on what a model said here: to this node's readers, and to the other nodes.
func (o *Outward) Said(d commands.Delta) {
	piece := deltas.Delta{Delta: d, At: o.Clock.Now()}
	o.tellDelta(piece)
	if o.deltas != nil {
		o.deltas.Publish(piece)
	}
}

// tellDelta hands a delta to this node's readers.
func (o *Outward) tellDelta(d deltas.Delta) {
	o.inner.Hub.PublishEphemeral(commands.RunStream(d.RunID), readapi.Delta{
		Task: d.Task, TaskID: d.TaskID, Attempt: d.Attempt, Seq: d.Seq, Text: d.Text, At: d.At,
	})
}
