package projections

import (
	"errors"
	"strings"
	"time"

	"quipu/domain"
	"quipu/domain/channel"
	"quipu/domain/endpoint"
	"quipu/domain/name"
	"quipu/domain/run"
	"quipu/domain/wire"
	"quipu/domain/workflow"
)

// runStreamPrefix starts the id of every run's stream.
const runStreamPrefix = "run-"

// fact is one recorded event, decoded once for all projectors.
type fact struct {
	*domain.Recorded
	at    time.Time
	event any   // run.Event, name.Bound, workflow.StoredEvent, endpoint.Created or channel.Message; nil if not known
	err   error // why an event that should be known could not be decoded

	aggregate  aggregate
	runID      string  // of the run whose stream it stands in, "" if another stream
	run        *active // that run, nil if it is not in the view
	workflowID string  // of the workflow whose stream it stands in
	node       string
	nodeType   string // of the task it is about, as it was open before the event
}

// aggregate is what an event belongs to, by the stream it stands in.
type aggregate uint8

const (
	foreign aggregate = iota
	aRun
	aName
	aWorkflow
	anEndpoint
	aChannel
)

// decode reads an event. What this build does not know stays a nil event without an error: it is
// stored and counted, and touches nothing else.
func decode(r *domain.Recorded) fact {
	f := fact{Recorded: r}
	var err error
	stream := string(r.Stream)
	switch {
	case strings.HasPrefix(stream, runStreamPrefix):
		f.aggregate, f.runID = aRun, stream[len(runStreamPrefix):]
		var e run.Event
		if e, err = wire.DecodeRun(r.Type, r.Data); err == nil {
			f.event, f.node = e, nodeOf(e)
		}
	case strings.HasPrefix(stream, name.StreamPrefix):
		f.aggregate = aName
		f.event, err = wire.DecodeNameBound(r.Type, r.Data)
	case strings.HasPrefix(stream, workflow.StreamPrefix):
		f.aggregate, f.workflowID = aWorkflow, stream[len(workflow.StreamPrefix):]
		f.event, err = wire.DecodeWorkflow(r.Type, r.Data)
	case strings.HasPrefix(stream, endpoint.StreamPrefix):
		f.aggregate = anEndpoint
		f.event, err = wire.DecodeEndpointCreated(r.Type, r.Data)
	case strings.HasPrefix(stream, channel.StreamPrefix):
		f.aggregate = aChannel
		f.event, err = wire.DecodeChannelMessage(r.Type, r.Data)
	default:
		err = errUnknown
	}
	at, atErr := wire.DecodeAt(r.Metadata)
	switch {
	case err != nil:
		// Somebody else's event may have metadata of its own; the zero instant stands for none.
		if f.event = nil; !isUnknown(err) {
			f.err = err
		}
	case atErr != nil:
		f.event, f.err = nil, atErr
	}
	if atErr == nil {
		f.at = at
	}
	return f
}

func isUnknown(err error) bool {
	var coded *domain.Error
	return errors.As(err, &coded) && coded.Code == errUnknown.Code
}

var errUnknown = domain.E(domain.KindCorrupt, "decode event", "", "is of no stream this version knows").WithCode("UNKNOWN_EVENT")

// nodeOf is the task an event of a run is about, "" for one about the run as a whole.
func nodeOf(e run.Event) string {
	switch e := e.(type) {
	case run.TaskStarted:
		return e.Task
	case run.TaskAttemptStarted:
		return e.Task
	case run.TaskCompleted:
		return e.Task
	case run.TaskFailed:
		return e.Task
	case run.TaskRetryScheduled:
		return e.Task
	case run.TimerSet:
		return e.Task
	case run.TaskSkipped:
		return e.Task
	case run.TaskReused:
		return e.Task
	case run.ApprovalRequested:
		return e.Task
	case run.ApprovalDecided:
		return e.Task
	case run.EventAwaited:
		return e.Task
	case run.EventReceived:
		return e.Task
	case run.CallStarted:
		return e.Task
	case run.CallCompleted:
		return e.Task
	case run.CallFailed:
		return e.Task
	}
	return ""
}

// typeOf is the type of the task that an event of a run is about, from the event itself or from the task
// as it was open before it: what ended earlier is not looked up, so that the answer does not depend on
// how events are cut into batches.
func (f *fact) typeOf() string {
	switch e := f.event.(type) {
	case run.TaskStarted:
		return e.Function
	case run.CallStarted:
		return e.Function
	case run.CallCompleted:
		return e.Function
	case run.CallFailed:
		return e.Function
	}
	if f.node == "" || f.run == nil {
		return ""
	}
	for i := len(f.run.open) - 1; i >= 0; i-- {
		if f.run.open[i].Task.Task == f.node {
			return f.run.open[i].Function
		}
	}
	return ""
}
