package commands

import (
	"slices"

	"quipu/commands/node"
	"quipu/domain/workflow"
)

// withTimers gives timers their trait: whoever builds a definition need not know which types wait.
// Nodes that the caller holds stay as they are.
func withTimers(d workflow.Definition, r *node.Registry) workflow.Definition {
	for i, shared := 0, true; i < len(d.Nodes); i++ {
		typ, ok := r.Get(d.Nodes[i].Type)
		if !ok || typ.Kind != node.Timer || d.Nodes[i].Timer {
			continue
		}
		if shared {
			d.Nodes, shared = slices.Clone(d.Nodes), false
		}
		d.Nodes[i].Timer = true
	}
	return d
}
