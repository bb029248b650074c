package commands

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"quipu/domain"
	"quipu/domain/run"
	"quipu/domain/wire"
	"quipu/domain/workflow"
)

// ReusedBytesMax bounds what a retry takes over from the run before.
const ReusedBytesMax = 32 << 20

// RetryRequest asks for a new run that goes on where another one ended.
type RetryRequest struct {
	RunID string
	// From are tasks to do again, with everything that follows from them, though they completed.
	From       []string
	ID         string // see StartRequest
	BodySHA256 string
	Actor      wire.Actor
	Trace      string
}

// RetryRun starts a new run of the same definition and input as one that has ended. What completed
// there is taken over and not done again; the new run says which one it is a retry of, and takes its
// name over if that has one.
//
// Errors: ErrNotFound; ErrRefused with code RUN_NOT_ENDED, or NOTHING_TO_RETRY for a completed run
// without From; ErrUnprocessable naming from, or if there is too much to take over; else as StartRun.
func (e *Executor) RetryRun(ctx context.Context, q RetryRequest) (Outcome, error) {
	began := e.deps.Clock.Now()
	out, err := e.retryRun(ctx, q)
	e.observe("retry", began, err)
	return out, err
}

func (e *Executor) retryRun(ctx context.Context, q RetryRequest) (Outcome, error) {
	l, session, err := e.folded(ctx, q.RunID)
	if err != nil {
		return Outcome{}, err
	}
	again, err := redone(l.state, q)
	if err != nil {
		return Outcome{}, err
	}
	started, err := e.startOf(ctx, q.RunID)
	if err != nil {
		return Outcome{}, err
	}
	start := StartRequest{
		ID: q.ID, Source: started.Source, FlowName: started.FlowName, RunName: started.RunName,
		WorkflowID: started.WorkflowID, WorkflowVersion: started.WorkflowVersion, Endpoint: started.Endpoint,
		ConnectionID: started.ConnectionID, RetryOf: q.RunID, BodySHA256: q.BodySHA256, Actor: q.Actor, Trace: q.Trace,
	}
	open := func(v domain.Value) []byte {
		if v.Absent() || err != nil {
			return nil
		}
		var raw []byte
		raw, err = session.Open(ctx, v)
		return raw
	}
	definition := open(started.Definition)
	start.Input, start.Metadata = open(started.Input), open(started.Metadata)
	bytes := 0
	for i := range l.state.Tasks() {
		t := l.state.Task(i)
		if t.Phase != run.TaskCompletedPhase || again[i] {
			continue
		}
		output := open(t.Output)
		if bytes += len(output); bytes > ReusedBytesMax {
			return Outcome{}, domain.E(domain.KindUnprocessable, "retry run", q.RunID, fmt.Sprintf(
				"gave more than %d bytes that would be taken over; start it anew", ReusedBytesMax)).WithCode("TOO_MUCH_TO_REUSE")
		}
		start.Reused = append(start.Reused, ReusedTask{Task: l.state.Graph.Nodes[i].Name, Offset: t.Revision, Output: output})
	}
	if err != nil {
		return Outcome{}, fmt.Errorf("retry run %s: %w", q.RunID, err)
	}
	if start.Definition, err = wire.DecodeDefinition(domain.Raw(definition)); err != nil {
		return Outcome{}, err
	}
	return e.startOnce(ctx, start)
}

// redone tells which tasks are done again although they completed.
func redone(s *run.State, q RetryRequest) ([]bool, error) {
	refused := func(code, message string) error {
		return domain.E(domain.KindRefused, "retry run", q.RunID, message).WithCode(code)
	}
	switch {
	case s.Phase == run.None || s.Phase == run.PhaseAbandoned:
		return nil, domain.E(domain.KindNotFound, "retry run", q.RunID, "does not exist")
	case !s.Phase.Ended():
		return nil, refused("RUN_NOT_ENDED", "the run has not ended; cancel it first")
	case s.Phase == run.PhaseCompleted && len(q.From) == 0:
		return nil, refused("NOTHING_TO_RETRY", "the run completed; say in from which nodes to do again")
	}
	again := make([]bool, s.Tasks())
	var queue []int
	for _, name := range q.From {
		i, ok := s.Graph.Index(name)
		if !ok {
			return nil, domain.E(domain.KindUnprocessable, "retry run", q.RunID, fmt.Sprintf(
				"names %q, which is no node of the run; name one of %s", clipText(name, 64), clipText(nodeNames(s.Graph), 500))).WithField("/from").WithCode("NODE_UNKNOWN")
		}
		queue = append(queue, i)
	}
	for len(queue) > 0 {
		i := queue[0]
		queue = queue[1:]
		if again[i] {
			continue
		}
		again[i] = true
		for _, n := range s.Graph.Succ[i] {
			queue = append(queue, int(n))
		}
	}
	return again, nil
}

func nodeNames(g *workflow.Graph) string {
	names := make([]string, len(g.Nodes))
	for i := range g.Nodes {
		names[i] = g.Nodes[i].Name
	}
	slices.Sort(names)
	return strings.Join(names, ", ")
}

// startOf reads a run's first event.
func (e *Executor) startOf(ctx context.Context, runID string) (run.Started, error) {
	page, err := e.deps.Log.ReadStream(ctx, RunStream(runID), 0, 1)
	if err != nil {
		return run.Started{}, fmt.Errorf("read run %s: %w", runID, err)
	}
	if len(page) == 0 {
		return run.Started{}, domain.E(domain.KindNotFound, "read run", runID, "does not exist")
	}
	event, err := wire.DecodeRun(page[0].Type, page[0].Data)
	if err != nil {
		return run.Started{}, err
	}
	if started, ok := event.(run.Started); ok {
		return started, nil
	}
	return run.Started{}, domain.E(domain.KindNotFound, "read run", runID, "does not exist")
}
