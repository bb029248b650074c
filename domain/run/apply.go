package run

import (
	"fmt"
	"time"

	"quipu/domain"
	"quipu/domain/workflow"
)

// Fact is an event with its place and instant.
type Fact struct {
	Revision domain.Revision
	At       time.Time
	Event    Event
	// Graph is the compiled definition, Input and Reused are the payloads of the same name with their
	// blobs loaded (secrets stay holes); they are set for Started only.
	Graph  *workflow.Graph
	Input  domain.Value
	Reused domain.Value
}

// Fold applies facts in order and returns the new state; s stays as it is.
// Errors: ErrCorrupt naming the fact that does not fit what came before.
func Fold(s *State, facts ...Fact) (*State, error) {
	n := s.fork()
	for _, f := range facts {
		if err := n.apply(f); err != nil {
			return nil, err
		}
	}
	return n, nil
}

func corrupt(f Fact, format string, args ...any) error {
	return domain.E(domain.KindCorrupt, "fold run", fmt.Sprintf("revision %d (%T)", f.Revision, f.Event), fmt.Sprintf(format, args...))
}

// apply changes s in place.
func (s *State) apply(f Fact) error {
	if f.Revision != s.Revision+1 {
		return corrupt(f, "follows revision %d", s.Revision)
	}
	first := false
	switch f.Event.(type) {
	case Started, Abandoned:
		first = true
	}
	if first != (s.Phase == None) || s.Phase.Ended() {
		return corrupt(f, "does not fit phase %s", s.Phase)
	}
	if err := s.change(f); err != nil {
		return err
	}
	s.Revision = f.Revision
	s.LastAt = f.At
	return nil
}

func (s *State) change(f Fact) error {
	switch e := f.Event.(type) {
	case Started:
		return s.applyStarted(e, f)
	case Abandoned:
		s.Phase, s.RunID, s.EndedAt = PhaseAbandoned, e.RunID, f.At
		return nil
	case TaskStarted:
		return s.onTask(f, e.Task, TaskReady, func(t *Task, i int) {
			s.unready(int32(i))
			t.Phase, t.Attempt, t.Node, t.StartedAt, t.AttemptAt, t.Input = TaskRunning, 1, e.Node, f.At, f.At, e.Input
			s.running++
		})
	case TaskAttemptStarted:
		i, ok := s.Graph.Index(e.Task)
		if !ok {
			return corrupt(f, "names unknown task %q", e.Task)
		}
		t := s.tasks.edit(i)
		switch t.Phase {
		case TaskRunning:
		case TaskBackoff:
			s.waiting--
		default:
			return corrupt(f, "task %q is in phase %d", e.Task, t.Phase)
		}
		t.Phase, t.Attempt, t.Node, t.AttemptAt, t.DueAt = TaskRunning, int32(e.Attempt), e.Node, f.At, time.Time{}
		return nil
	case TaskRetryScheduled:
		s.SecretsN += len(e.Secrets)
		return s.onTask(f, e.Task, TaskRunning, func(t *Task, _ int) {
			t.Phase, t.DueAt = TaskBackoff, e.RetryAt
			t.Failures++
			s.waiting++
		})
	case TimerSet:
		return s.onTask(f, e.Task, TaskRunning, func(t *Task, _ int) {
			t.Phase, t.DueAt = TaskTimed, e.DueAt
			s.waiting++
		})
	case TaskCompleted:
		if err := s.checkGates(f, e); err != nil {
			return err
		}
		s.SecretsN += len(e.Secrets)
		return s.onTask(f, e.Task, s.unwait(e.Task), func(t *Task, i int) {
			t.DueAt, t.Channel = time.Time{}, ""
			t.Phase, t.Revision, t.Output, t.Input = TaskCompletedPhase, f.Revision, e.Output, domain.Value{}
			s.running--
			s.finish(i, true, e.Gates)
		})
	case TaskFailed:
		s.SecretsN += len(e.Secrets)
		return s.onTask(f, e.Task, s.unwait(e.Task), func(t *Task, _ int) {
			t.DueAt, t.Channel = time.Time{}, ""
			t.Phase, t.Input = TaskFailedPhase, domain.Value{}
			t.Failures++
			s.running--
			s.open--
		})
	case TaskSkipped:
		return s.onTask(f, e.Task, TaskReady, func(t *Task, i int) {
			s.unready(int32(i))
			t.Phase = TaskSkippedPhase
			s.finish(i, false, nil)
		})
	case ApprovalRequested:
		return s.await(f, e.Task, "", e.DueAt)
	case EventAwaited:
		return s.await(f, e.Task, e.Channel, e.DueAt)
	case SignalReceived:
		s.SecretsN += len(e.Secrets)
		s.signals.received(e)
	case EventReceived:
		if e.SignalID != "" && !s.signals.unreadHas(e.Channel, e.SignalID) {
			return corrupt(f, "names signal %q, which did not come", e.SignalID)
		}
		s.signals.read(e.Channel, e.SignalID)
		return s.onTask(f, e.Task, TaskAwaiting, func(*Task, int) {})
	case ApprovalDecided:
		return s.onTask(f, e.Task, TaskAwaiting, func(*Task, int) {})
	case TaskReused:
		return s.onTask(f, e.Task, TaskRunning, func(*Task, int) {})
	case Paused, Resumed:
		_, pause := e.(Paused)
		if pause == s.Paused {
			return corrupt(f, "meets a run with paused=%t", s.Paused)
		}
		s.Paused = pause
	case CallStarted, CallCompleted, CallFailed:
		return nil
	case Completed:
		s.Phase, s.EndedAt = PhaseCompleted, f.At
	case Failed:
		s.Phase, s.EndedAt, s.Error, s.FailedBy = PhaseFailed, f.At, e.Error, e.Task
	case Cancelled:
		s.Phase, s.EndedAt = PhaseCancelled, f.At
	default:
		return corrupt(f, "is of an unknown kind")
	}
	return nil
}

func (s *State) applyStarted(e Started, f Fact) error {
	if f.Graph == nil {
		return corrupt(f, "comes without its graph")
	}
	s.Phase, s.RunID, s.Source, s.FlowName, s.RunName = Running, e.RunID, e.Source, e.FlowName, e.RunName
	s.Graph, s.Input, s.StartedAt = f.Graph, f.Input, f.At
	s.ConnectionID, s.Endpoint, s.WorkflowID = e.ConnectionID, e.Endpoint, e.WorkflowID
	s.reused = indexReused(f.Reused)
	s.SecretsN = len(e.Secrets)
	s.inputs = indexInput(f.Graph, f.Input)
	s.tasks = newTaskPages(len(f.Graph.Nodes))
	s.open = len(f.Graph.Nodes)
	for i, n := range f.Graph.Preds {
		t := s.tasks.edit(i)
		t.Open = n
		if n == 0 {
			t.Phase = TaskReady
			s.ready = append(s.ready, int32(i))
		}
	}
	return nil
}

// unwait takes a task that is about to end out of the waiting ones, and returns the phase it is in.
func (s *State) unwait(name string) TaskPhase {
	i, ok := s.Graph.Index(name)
	if !ok {
		return TaskRunning
	}
	switch t := s.Task(i); t.Phase {
	case TaskTimed, TaskAwaiting:
		s.waiting--
		if t.Channel != "" {
			s.events--
		}
		return t.Phase
	default:
		return TaskRunning
	}
}

func (s *State) await(f Fact, name, channel string, due time.Time) error {
	return s.onTask(f, name, TaskRunning, func(t *Task, _ int) {
		t.Phase, t.Channel, t.DueAt = TaskAwaiting, channel, due
		s.waiting++
		if channel != "" {
			s.events++
		}
	})
}

// checkGates refuses results of edges that do not leave the task: they would be applied to others.
func (s *State) checkGates(f Fact, e TaskCompleted) error {
	for _, g := range e.Gates {
		if g.Edge < 0 || g.Edge >= len(s.Graph.Edges) || s.Graph.Edges[g.Edge].Source != e.Task {
			return corrupt(f, "names edge %d, which does not leave task %q", g.Edge, e.Task)
		}
	}
	return nil
}

func (s *State) onTask(f Fact, name string, want TaskPhase, change func(*Task, int)) error {
	i, ok := s.Graph.Index(name)
	if !ok {
		return corrupt(f, "names unknown task %q", name)
	}
	t := s.tasks.edit(i)
	if t.Phase != want {
		return corrupt(f, "task %q is in phase %d, not %d", name, t.Phase, want)
	}
	change(t, i)
	return nil
}

// unready takes i out of the ready list; it is nearly always the first.
func (s *State) unready(i int32) {
	if len(s.ready) > 0 && s.ready[0] == i {
		s.ready = s.ready[1:]
		return
	}
	kept := make([]int32, 0, len(s.ready))
	for _, r := range s.ready {
		if r != i {
			kept = append(kept, r)
		}
	}
	s.ready = kept
}

// finish tells the successors of node i that it has ended.
func (s *State) finish(i int, completed bool, gates []GateResult) {
	s.open--
	for _, g := range gates {
		if g.Holds {
			s.tasks.edit(s.Graph.Target(g.Edge)).GateHeld = true
		}
	}
	for _, n := range s.Graph.Succ[i] {
		t := s.tasks.edit(int(n))
		t.Open--
		if completed {
			t.Live++
		}
		if t.Open == 0 {
			t.Phase = TaskReady
			s.ready = append(s.ready, n)
		}
	}
}

// indexInput maps the input's members by key if any parameter names one. Looking keys up in the
// JSON for each parameter is quadratic in a large run with a large input.
func indexInput(g *workflow.Graph, input domain.Value) map[string]domain.Value {
	for _, refs := range g.Refs {
		for _, r := range refs {
			if r.Kind != workflow.RefInput {
				continue
			}
			members := input.Members()
			out := make(map[string]domain.Value, len(members))
			for _, m := range members {
				out[m.Key] = m.Value
			}
			return out
		}
	}
	return nil
}
