package agnt5

import (
	"slices"

	"quipu/domain/wire"
)

// Dialect names this dialect among others, as the key of shared rendered events.
const Dialect = "agnt5"

// The event types that AGNT5 documents (S1-17 to S1-21).
const (
	ExecutionStarted   = "execution_started"
	ExecutionCompleted = "execution_completed"
	ExecutionFailed    = "execution_failed"
	ExecutionCancelled = "execution_cancelled"
	WorkflowStart      = "workflow_start"
	WorkflowEnd        = "workflow_end"
	WorkflowError      = "workflow_error"
	TaskStart          = "task_start"
	TaskEnd            = "task_end"
	TaskError          = "task_error"
	LLMStart           = "llm_start"
	LLMEnd             = "llm_end"
	LLMError           = "llm_error"
	ToolStart          = "tool_start"
	ToolEnd            = "tool_end"
	ToolError          = "tool_error"
)

// Types of frames that are no events: they carry no offset.
const (
	TypeError          = "error"
	TypePong           = "pong"
	TypeResumeAccepted = "resume_accepted"
)

// Unreadable is shown for a stored event that cannot be decoded, so that one damaged payload does
// not end a stream.
const Unreadable = "unreadable"

// documented gives the frames of the stored types that AGNT5 has names of its own for. One event may
// make two frames: the execution is around the workflow (S1-22).
var documented = map[string][]string{
	wire.RunStarted:       {ExecutionStarted, WorkflowStart},
	wire.RunCompleted:     {WorkflowEnd, ExecutionCompleted},
	wire.RunFailed:        {WorkflowError, ExecutionFailed},
	wire.RunCancelled:     {ExecutionCancelled},
	wire.RunTaskStarted:   {TaskStart},
	wire.RunTaskCompleted: {TaskEnd},
	wire.RunTaskFailed:    {TaskError},
	wire.RunLLMStarted:    {LLMStart},
	wire.RunLLMCompleted:  {LLMEnd},
	wire.RunLLMFailed:     {LLMError},
	wire.RunToolStarted:   {ToolStart},
	wire.RunToolCompleted: {ToolEnd},
	wire.RunToolFailed:    {ToolError},
}

// NamesOf lists the types of the frames of a stored type, in their order; nil if events of the type
// are not shown.
func NamesOf(stored string) []string {
	if stored == wire.RunAbandoned {
		return nil
	}
	if names, ok := documented[stored]; ok {
		return names
	}
	return []string{wire.CanonicalName(stored)}
}

// Names lists every type of event that this build can send, sorted.
func Names() []string {
	var out []string
	for _, t := range wire.RunTypes() {
		out = append(out, NamesOf(t)...)
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// IDPrefix starts every execution_id of this dialect (S1-15).
const IDPrefix = "exec_"
