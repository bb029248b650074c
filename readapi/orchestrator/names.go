package orchestrator

import (
	"slices"
	"strings"

	"quipu/domain/wire"
)

// Dialect names this dialect among others, as the key of shared rendered events.
const Dialect = "orchestrator"

// Unreadable is shown for a stored event that cannot be decoded, so that one damaged payload does not
// hide the rest of a history.
const Unreadable = "unreadable"

// names are the event types with a name of their own (contract D1).
var names = map[string]string{
	wire.RunStarted:       "workflow.started",
	wire.RunCompleted:     "workflow.completed",
	wire.RunFailed:        "workflow.failed",
	wire.RunCancelled:     "workflow.cancelled",
	wire.RunTaskStarted:   "node.started",
	wire.RunTaskCompleted: "node.completed",
	wire.RunTaskFailed:    "node.failed",
	wire.RunToolStarted:   "tool.started",
	wire.RunToolCompleted: "tool.completed",
	wire.RunToolFailed:    "tool.failed",
	wire.RunLLMStarted:    "llm.started",
	wire.RunLLMCompleted:  "llm.completed",
	wire.RunLLMFailed:     "llm.failed",
}

// Name is the event_type of a stored type: its own name in this dialect, else for an event of a run
// its canonical name, else the canonical name after its aggregate: "workflow.created", "name.bound".
func Name(stored string) string {
	if n, ok := names[stored]; ok {
		return n
	}
	canonical := wire.CanonicalName(stored)
	if aggregate, _, ok := strings.Cut(stored, "."); ok && aggregate != "run" {
		return aggregate + "." + canonical
	}
	return canonical
}

// StoredTypes gives the stored types that a name means: a name of this dialect, a canonical name such
// as task_completed, or a stored type itself, known or not. It is empty for a name that means none.
func StoredTypes(name string) []string {
	if isStored(name) {
		return []string{name}
	}
	var out []string
	for _, t := range knownTypes() {
		if Name(t) == name || wire.CanonicalName(t) == name {
			out = append(out, t)
		}
	}
	return out
}

// isStored reports whether s has the form "<aggregate>.<name>.v<number>".
func isStored(s string) bool {
	i := strings.LastIndex(s, ".v")
	return i > 0 && strings.IndexByte(s[:i], '.') > 0 && len(s) > i+2 && strings.Trim(s[i+2:], "0123456789") == ""
}

// Names lists every event_type of this build, sorted.
func Names() []string {
	var out []string
	for _, t := range knownTypes() {
		out = append(out, Name(t))
	}
	slices.Sort(out)
	return slices.Compact(out)
}

func knownTypes() []string {
	return append(wire.RunTypes(),
		wire.NameBound, wire.WorkflowCreated, wire.WorkflowUpdated, wire.WorkflowDeleted, wire.EndpointCreated, wire.ChannelMessage)
}
