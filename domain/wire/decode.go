package wire

import (
	"quipu/domain"
	"quipu/domain/run"
)

// runTypes are the stored types of runs that decodeRun knows.
var runTypes = []string{
	RunStarted, RunAbandoned, RunTaskStarted, RunTaskAttemptStarted, RunTaskCompleted, RunTaskFailed,
	RunTaskRetryScheduled, RunTimerSet, RunTaskSkipped, RunTaskReused, RunApprovalRequested, RunApprovalDecided,
	RunEventAwaited, RunEventReceived, RunSignalReceived, RunPaused, RunResumed, RunToolStarted, RunToolCompleted, RunToolFailed,
	RunLLMStarted, RunLLMCompleted, RunLLMFailed, RunCompleted, RunFailed, RunCancelled,
}

// RunTypes lists the stored types this build can read, in no order.
func RunTypes() []string { return append([]string(nil), runTypes...) }

// DecodeRun reads a stored event of a run, upcasting old versions.
//
// Shape: the Values of the event share the memory of data, which must not be written to any more.
// Errors: ErrCorrupt, with the field that cannot be read; its Code is UNKNOWN_EVENT if this build does
// not know the type, in which case the run must be left alone rather than folded without it.
// An unknown field is an error, since dropping it would be losing a fact. What stands inside a payload
// must be JSON, and is not looked at further.
func DecodeRun(typ string, data []byte) (run.Event, error) {
	typ, data, err := upcast(typ, data)
	if err != nil {
		return nil, err
	}
	var r reader
	r.reset(data)
	e := r.runEvent(typ)
	if e == nil {
		return nil, unknownType(typ)
	}
	if err := r.done("decode event", typ); err != nil {
		return nil, err
	}
	return e, nil
}

func unknownType(typ string) error {
	return domain.E(domain.KindCorrupt, "decode event", typ, "this version does not know the type; a newer one wrote it").WithCode("UNKNOWN_EVENT")
}

// runEvent reads one version of one type; upcasters sit in front of it (see upcast.go). Of a type it
// does not know it reads nothing and gives nil.
func (r *reader) runEvent(typ string) run.Event {
	switch typ {
	case RunStarted:
		return r.started()
	case RunAbandoned:
		return r.abandoned()
	case RunTaskStarted:
		return r.taskStarted()
	case RunTaskAttemptStarted:
		return r.taskAttemptStarted()
	case RunTaskCompleted:
		return r.taskCompleted()
	case RunTaskFailed:
		return r.taskFailed()
	case RunTaskRetryScheduled:
		return r.taskRetryScheduled()
	case RunTimerSet:
		return r.timerSet()
	case RunTaskSkipped:
		return r.taskSkipped()
	case RunTaskReused:
		return r.taskReused()
	case RunApprovalRequested:
		return r.approvalRequested()
	case RunApprovalDecided:
		return r.approvalDecided()
	case RunEventAwaited:
		return r.eventAwaited()
	case RunEventReceived:
		return r.eventReceived()
	case RunSignalReceived:
		return r.signalReceived()
	case RunPaused:
		return r.paused()
	case RunResumed:
		return r.resumed()
	case RunToolStarted:
		return r.callStarted("tool")
	case RunToolCompleted:
		return r.callCompleted("tool")
	case RunToolFailed:
		return r.callFailed("tool")
	case RunLLMStarted:
		return r.callStarted("llm")
	case RunLLMCompleted:
		return r.callCompleted("llm")
	case RunLLMFailed:
		return r.callFailed("llm")
	case RunCompleted:
		return r.completed()
	case RunFailed:
		return r.failed()
	case RunCancelled:
		return r.cancelled()
	}
	return nil
}
