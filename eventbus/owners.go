package eventbus

import (
	"context"
	"strings"
	"sync"

	"quipu/domain"
	"quipu/domain/run"
	"quipu/domain/wire"
	"quipu/domain/workflow"
)

// runStreamPrefix starts the id of every run's stream.
const runStreamPrefix = "run-"

// OwnersMax is how many runs' workflows are remembered; beyond it some are forgotten, and read
// again from the run's first event when needed.
const OwnersMax = 50_000

// owners tells the workflow that an event belongs to. Only a run's first event says it, so it is
// remembered for the later ones. It is a cache: what it has forgotten, the log says.
type owners struct {
	log Log

	mu    sync.Mutex
	byRun map[domain.StreamID]string
}

func newOwners(log Log) *owners { return &owners{log: log, byRun: map[domain.StreamID]string{}} }

// of is the id of the workflow that e is about or whose run e is of; "" if of none: other streams,
// runs that never began, events that cannot be read.
// Errors: those of the log; the answer is then not known.
func (o *owners) of(ctx context.Context, e *domain.Recorded) (string, error) {
	if id, ok := strings.CutPrefix(string(e.Stream), workflow.StreamPrefix); ok {
		return id, nil
	}
	if !strings.HasPrefix(string(e.Stream), runStreamPrefix) {
		return "", nil
	}
	if e.Revision == 0 {
		return o.note(e), nil
	}
	o.mu.Lock()
	id, ok := o.byRun[e.Stream]
	o.mu.Unlock()
	if ok {
		return id, nil
	}
	page, err := o.log.ReadStream(ctx, e.Stream, 0, 1)
	switch {
	case err != nil && domain.KindOf(err) != domain.KindNotFound:
		return "", err
	case len(page) == 0:
		return "", nil
	}
	return o.note(&page[0]), nil
}

// WorkflowOf is the id of the workflow that e is about or whose run e is of; "" if of none.
// Errors: those of the log; the answer is then not known.
func (h *Hub) WorkflowOf(ctx context.Context, e *domain.Recorded) (string, error) {
	return h.owners.of(ctx, e)
}

// known is the workflow of a run if it is remembered, else "".
func (o *owners) known(stream domain.StreamID) string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.byRun[stream]
}

// note remembers what a run's first event says.
func (o *owners) note(first *domain.Recorded) string {
	id := ""
	if first.Type == wire.RunStarted {
		if e, err := wire.DecodeRun(first.Type, first.Data); err == nil {
			if started, ok := e.(run.Started); ok {
				id = strings.Clone(started.WorkflowID) // not the whole event's memory
			}
		}
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.byRun) >= OwnersMax {
		drop := OwnersMax / 10
		for k := range o.byRun {
			delete(o.byRun, k)
			if drop--; drop == 0 {
				break
			}
		}
	}
	o.byRun[domain.StreamID(strings.Clone(string(first.Stream)))] = id
	return id
}
