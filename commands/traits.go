package commands

import (
	"slices"

	"quipu/commands/node"
	"quipu/domain/workflow"
)

// withWaits gives tasks that wait their trait: whoever builds a definition need not know which types
// do. Nodes that the caller holds stay as they are.
func withWaits(d workflow.Definition, r *node.Registry) workflow.Definition {
	for i, shared := 0, true; i < len(d.Nodes); i++ {
		typ, ok := r.Get(d.Nodes[i].Type)
		if !ok {
			continue
		}
		timer, waits := typ.Kind == node.Timer, waitsFor(typ, &d.Nodes[i])
		if timer == d.Nodes[i].Timer && waits == d.Nodes[i].Waits {
			continue
		}
		if shared {
			d.Nodes, shared = slices.Clone(d.Nodes), false
		}
		d.Nodes[i].Timer, d.Nodes[i].Waits = timer, waits
		if waits != "" {
			d.Nodes[i].Calls = ""
		}
	}
	return d
}

// eventType is the type whose tasks wait for events; those of others that wait, for a decision.
const eventType = "event"

func waitsFor(typ *node.Type, n *workflow.Node) string {
	switch {
	case typ.Kind != node.Wait && (typ.WaitFor == nil || !typ.WaitFor(n.Params.JSON)):
		return ""
	case typ.Name == eventType:
		return workflow.WaitsEvent
	}
	return workflow.WaitsApproval
}
