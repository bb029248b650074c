package projections

import (
	"fmt"

	"quipu/domain"
	"quipu/domain/rawjson"
	"quipu/domain/run"
	"quipu/projections/view"
)

// applyExecution keeps one row for each run, and the intervals of its status.
func applyExecution(b *batch, f *fact) error {
	if f.aggregate != aRun {
		return nil
	}
	if f.err != nil {
		return f.err
	}
	switch e := f.event.(type) {
	case nil, run.Abandoned:
		return nil
	case run.Started:
		return b.start(f, e)
	}
	a := f.run
	if err := fits(f); err != nil {
		return err
	}
	counts := &a.row.Tasks
	switch e := f.event.(type) {
	case run.TaskStarted:
		counts.Started++
		counts.Attempts++
		counts.Total = max(counts.Total, counts.Started+counts.Skipped)
	case run.TaskAttemptStarted:
		counts.Attempts++
	case run.TaskCompleted:
		counts.Completed++
	case run.TaskFailed:
		counts.Failed++
	case run.TaskSkipped:
		counts.Skipped++
		counts.Total = max(counts.Total, counts.Started+counts.Skipped)
	case run.Paused:
		if a.row.Status == view.Paused {
			return contradiction(f, "its execution is paused already")
		}
		a.become(f, view.Paused)
	case run.Resumed:
		if a.row.Status != view.Paused {
			return contradiction(f, "its execution is not paused")
		}
		a.become(f, view.Running)
	case run.Completed:
		a.end(f, view.Completed)
	case run.Failed:
		a.row.FailedTask, a.row.Error = e.Task, errorOf(e.Error)
		a.end(f, view.Failed)
	case run.Cancelled:
		a.end(f, view.Cancelled)
	}
	a.row.LastOffset, a.row.LastPosition = f.Revision, f.Position
	a.changed = true
	return nil
}

func (b *batch) start(f *fact, e run.Started) error {
	switch {
	case f.run != nil:
		return contradiction(f, "the execution exists already")
	case f.Revision != 0:
		return contradiction(f, "is not the first of its stream")
	case e.RunID != f.runID:
		return contradiction(f, "names another execution than its stream")
	}
	a := &active{changed: true, row: view.Execution{
		Position: f.Position, ID: e.RunID, WorkflowID: e.WorkflowID, WorkflowVersion: e.WorkflowVersion, Endpoint: e.Endpoint,
		Source: e.Source, FlowName: e.FlowName, RunName: e.RunName, ConnectionID: e.ConnectionID, RetryOf: e.RetryOf,
		Status: view.Running, StatusSince: f.Position, StartedAt: f.at, Input: e.Input,
		LastPosition: f.Position, Tasks: view.TaskCounts{Total: nodes(e.Definition)},
	}}
	a.statuses = append(a.statuses, view.StatusInterval{Execution: f.Position, Status: view.Running, From: f.Position})
	f.run = a
	b.add(e.RunID, a)
	return nil
}

// nodes counts the tasks of a definition. One so large that it became a blob gives 0: it is then
// counted by the tasks that begin.
func nodes(definition domain.Value) int {
	list, _ := rawjson.Get(definition.JSON, "/nodes")
	return len(rawjson.Items(list))
}

// become closes the interval of the status so far and opens that of another.
func (a *active) become(f *fact, status view.Status) {
	last := view.StatusInterval{Execution: a.row.Position, Status: a.row.Status, From: a.row.StatusSince, To: f.Position}
	if n := len(a.statuses); n > 0 { // opened in this batch
		a.statuses[n-1] = last
	} else {
		a.statuses = append(a.statuses, last)
	}
	a.statuses = append(a.statuses, view.StatusInterval{Execution: a.row.Position, Status: status, From: f.Position})
	a.row.Status, a.row.StatusSince = status, f.Position
}

// end gives the last status. Tasks and approvals without an end are the business of their projectors.
func (a *active) end(f *fact, status view.Status) {
	a.become(f, status)
	a.row.EndedAt = f.at
}

// fits refuses what contradicts the rows: a log written by this program holds none of it, so it is
// damage or somebody else's writing, and folding it would spread it.
func fits(f *fact) error {
	a := f.run
	switch {
	case a == nil:
		return contradiction(f, "its execution is not in the view")
	case a.row.Status.Ended() && (a.row.LastPosition != f.Position || a.row.LastOffset != f.Revision):
		return contradiction(f, "its execution has ended")
	case f.Revision < a.row.LastOffset, f.Revision == a.row.LastOffset && a.row.LastPosition != f.Position:
		return contradiction(f, fmt.Sprintf("follows offset %d", a.row.LastOffset))
	}
	if key, need, ok := taskOf(f.event); ok {
		if open := a.find(key.task, key.iteration) >= 0; open != need {
			if need {
				return contradiction(f, fmt.Sprintf("task %.100q has not begun, or has ended", key.task))
			}
			return contradiction(f, fmt.Sprintf("task %.100q has begun already", key.task))
		}
	}
	return nil
}

// taskOf says which task an event changes, and whether that must be open or must not.
func taskOf(event any) (key taskKey, open, ok bool) {
	switch e := event.(type) {
	case run.TaskStarted:
		return taskKey{e.Task, e.Iteration}, false, true
	case run.TaskSkipped:
		return taskKey{e.Task, 0}, false, true
	case run.TaskAttemptStarted:
		return taskKey{e.Task, e.Iteration}, true, true
	case run.TaskRetryScheduled:
		return taskKey{e.Task, e.Iteration}, true, true
	case run.TimerSet:
		return taskKey{e.Task, e.Iteration}, true, true
	case run.TaskReused:
		return taskKey{e.Task, e.Iteration}, true, true
	case run.ApprovalRequested:
		return taskKey{e.Task, e.Iteration}, true, true
	case run.ApprovalDecided:
		return taskKey{e.Task, e.Iteration}, true, true
	case run.EventAwaited:
		return taskKey{e.Task, e.Iteration}, true, true
	case run.EventReceived:
		return taskKey{e.Task, e.Iteration}, true, true
	case run.TaskCompleted:
		return taskKey{e.Task, e.Iteration}, true, true
	case run.TaskFailed:
		return taskKey{e.Task, e.Iteration}, true, true
	}
	return taskKey{}, false, false
}

func contradiction(f *fact, what string) error {
	return domain.E(domain.KindCorrupt, "project", fmt.Sprintf("%s revision %d", f.Stream, f.Revision), what)
}

func errorOf(e run.ErrorInfo) view.Error {
	return view.Error{Type: e.Type, Code: e.Code, Message: e.Message}
}
