package projections

import (
	"slices"
	"time"

	"quipu/domain"
	"quipu/domain/run"
	"quipu/projections/view"
)

// applyTask keeps one row for each task that began or was skipped.
func applyTask(_ *batch, f *fact) error {
	if f.aggregate != aRun {
		return nil
	}
	if f.err != nil {
		return f.err
	}
	switch f.event.(type) {
	case nil, run.Abandoned, run.Started, run.CallStarted, run.CallCompleted, run.CallFailed,
		run.SignalReceived, run.Paused, run.Resumed, run.TaskReused:
		return nil
	}
	if err := fits(f); err != nil {
		return err
	}
	a := f.run
	switch e := f.event.(type) {
	case run.TaskStarted:
		a.open = append(a.open, openTask{changed: true, Task: view.Task{
			Execution: a.row.Position, Task: e.Task, Iteration: e.Iteration, TaskID: e.TaskID, Function: e.Function,
			Status: view.Running, Attempts: 1, StartedAt: f.at, StartedOffset: f.Revision, EndedOffset: domain.NoStream,
		}})
	case run.TaskAttemptStarted:
		t := a.edit(e.Task, e.Iteration)
		t.Status, t.Attempts = view.Running, e.Attempt
	case run.TaskRetryScheduled:
		t := a.edit(e.Task, e.Iteration)
		t.Status, t.Attempts, t.Error = view.Retrying, e.Attempt, errorOf(e.Error)
	case run.TimerSet:
		a.edit(e.Task, e.Iteration).await(f, view.WaitTimer, "", e.DueAt)
	case run.ApprovalRequested:
		a.edit(e.Task, e.Iteration).await(f, view.WaitApproval, "", e.DueAt)
	case run.EventAwaited:
		a.edit(e.Task, e.Iteration).await(f, view.WaitEvent, e.Channel, e.DueAt)
	case run.ApprovalDecided:
		a.edit(e.Task, e.Iteration).goOn()
	case run.EventReceived:
		a.edit(e.Task, e.Iteration).goOn()
	case run.TaskCompleted:
		t := a.edit(e.Task, e.Iteration)
		t.Attempts, t.Error = e.Attempt, view.Error{}
		a.close(e.Task, e.Iteration, f, view.Completed)
	case run.TaskFailed:
		t := a.edit(e.Task, e.Iteration)
		t.Attempts, t.Error = e.Attempt, errorOf(e.Error)
		a.close(e.Task, e.Iteration, f, view.Failed)
	case run.TaskSkipped:
		a.ended = append(a.ended, view.Task{
			Execution: a.row.Position, Task: e.Task, Status: view.Skipped, EndedAt: f.at,
			StartedOffset: f.Revision, EndedOffset: f.Revision,
		})
	case run.Completed, run.Failed, run.Cancelled:
		// Tasks without an end get no event of their own: they end with their run.
		for i := range a.open {
			a.finish(i, f, view.Cancelled)
		}
		a.open = a.open[:0]
	}
	return nil
}

// edit is an open task for changing; fits has found it.
func (a *active) edit(task string, iteration int) *openTask {
	t := &a.open[a.find(task, iteration)]
	t.changed = true
	return t
}

// await notes what a task waits for. A request for a decision that has no end is not lost sight of.
func (t *openTask) await(f *fact, kind view.WaitKind, channel string, due time.Time) {
	if t.Wait.Kind == view.WaitApproval {
		return
	}
	t.Status, t.Wait = view.Waiting, view.Wait{Kind: kind, Channel: channel, DueAt: due, Since: f.Position}
}

// goOn ends a wait; the end of the task follows.
func (t *openTask) goOn() { t.Status, t.Wait = view.Running, view.Wait{} }

func (a *active) close(task string, iteration int, f *fact, status view.Status) {
	i := a.find(task, iteration)
	a.finish(i, f, status)
	a.open = slices.Delete(a.open, i, i+1)
}

func (a *active) finish(i int, f *fact, status view.Status) {
	t := a.open[i].Task
	t.Status, t.EndedAt, t.EndedOffset, t.Wait = status, f.at, f.Revision, view.Wait{}
	a.ended = append(a.ended, t)
}
