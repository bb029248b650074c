package projections

import (
	"quipu/domain"
	"quipu/domain/run"
	"quipu/domain/wire"
	"quipu/projections/view"
)

// applyApproval keeps one row for each request for a decision. It sees an event before the tasks change:
// an open task says which request of it has no end.
func applyApproval(b *batch, f *fact) error {
	if f.aggregate != aRun {
		return nil
	}
	if f.err != nil {
		return f.err
	}
	switch f.event.(type) {
	case run.ApprovalRequested, run.ApprovalDecided, run.TaskCompleted, run.TaskFailed, run.Completed, run.Failed, run.Cancelled:
	default:
		return nil
	}
	if err := fits(f); err != nil {
		switch f.event.(type) {
		case run.ApprovalRequested, run.ApprovalDecided:
			return err
		}
		return nil // that an end does not fit is for the projectors of tasks and executions to tell
	}
	a := f.run
	switch e := f.event.(type) {
	case run.ApprovalRequested:
		if a.on(e.Task, e.Iteration).Wait.Kind == view.WaitApproval {
			return contradiction(f, "its task waits for an approval already")
		}
		b.askFor(f, e)
	case run.ApprovalDecided:
		t := a.on(e.Task, e.Iteration)
		if t.Wait.Kind != view.WaitApproval {
			return contradiction(f, "its task waits for no approval")
		}
		meta, err := wire.DecodeMetadata(f.Metadata)
		if err != nil {
			return err
		}
		status := view.ApprovalRejected
		if e.Action == run.Approved {
			status = view.ApprovalApproved
		}
		b.endApproval(f, t, view.Approval{
			Status: status, Approver: e.Approver, Comment: e.Comment, ActorKind: meta.Actor.Kind, ActorID: meta.Actor.ID,
		})
	case run.TaskCompleted:
		b.endApproval(f, a.on(e.Task, e.Iteration), view.Approval{Status: view.ApprovalCancelled})
	case run.TaskFailed: // without a decision: it came too late
		b.endApproval(f, a.on(e.Task, e.Iteration), view.Approval{Status: view.ApprovalExpired})
	case run.Completed, run.Failed, run.Cancelled:
		for i := range a.open {
			b.endApproval(f, &a.open[i].Task, view.Approval{Status: view.ApprovalCancelled})
		}
	}
	return nil
}

// on is an open task for reading; fits has found it.
func (a *active) on(task string, iteration int) *view.Task {
	return &a.open[a.find(task, iteration)].Task
}

func (b *batch) askFor(f *fact, e run.ApprovalRequested) {
	row := &f.run.row
	b.putApproval(view.Approval{
		Position: f.Position, Execution: row.Position, ExecutionID: row.ID, WorkflowID: row.WorkflowID,
		Task: e.Task, Iteration: e.Iteration, TaskID: e.TaskID, Offset: f.Revision, Request: e.Request,
		RequestedAt: f.at, DueAt: e.DueAt, Status: view.ApprovalPending, EndedOffset: domain.NoStream,
	})
}

// endApproval ends what t waits for, if that is a decision: end says how. A request of an earlier batch
// is stored already, and what it was born with need not be repeated.
func (b *batch) endApproval(f *fact, t *view.Task, end view.Approval) {
	if t.Wait.Kind != view.WaitApproval {
		return
	}
	row := view.Approval{Position: t.Wait.Since}
	if i, ok := b.approvals[t.Wait.Since]; ok {
		row = b.changes.Approvals[i]
	}
	row.Status, row.Approver, row.Comment = end.Status, end.Approver, end.Comment
	row.ActorKind, row.ActorID = end.ActorKind, end.ActorID
	row.EndedAt, row.EndedOffset = f.at, f.Revision
	b.putApproval(row)
}

func (b *batch) putApproval(row view.Approval) {
	if i, ok := b.approvals[row.Position]; ok {
		b.changes.Approvals[i] = row
		return
	}
	if b.approvals == nil {
		b.approvals = map[domain.Position]int{}
	}
	b.approvals[row.Position] = len(b.changes.Approvals)
	b.changes.Approvals = append(b.changes.Approvals, row)
}
