package sqlite

import (
	"context"
	"database/sql/driver"
	"strings"

	"quipu/domain"
	"quipu/projections"
	"quipu/projections/view"
)

// runStream is what the streams of executions begin with, before the id.
const runStream = "run-"

func (w *writer) storeExecutions(ctx context.Context, c projections.Changes) error {
	for i := range c.Executions {
		e := &c.Executions[i]
		if e.Position > c.After {
			var ids [4]int64
			if err := w.wordsOf(ctx, ids[:], e.WorkflowID, e.Source, e.Endpoint, e.FlowName); err != nil {
				return err
			}
			started := millis(e.StartedAt)
			if err := w.executions.add(ctx, at64(e.Position), idOf(e.ID), ids[0], int64(e.WorkflowVersion), ids[1], ids[2], ids[3],
				e.RunName, e.ConnectionID, idOf(e.RetryOf), started, blob(e.Input.JSON), holes(e.Input.Holes)); err != nil {
				return err
			}
			w.remember(e.Position, e.ID)
			w.widen(spanStarts, e.Position, started)
		}
		status, err := validStatus(e.Status)
		if err != nil {
			return err
		}
		var ids [2]int64
		if err := w.wordsOf(ctx, ids[:], e.CurrentNode, e.FailedTask); err != nil {
			return err
		}
		t := &e.Tasks
		if err := w.progress.add(ctx, at64(e.Position), status, at64(e.StatusSince), millis(e.EndedAt), ids[0], ids[1],
			text(e.Error.Type), text(e.Error.Code), text(e.Error.Message), int64(e.LastOffset), at64(e.LastPosition),
			int64(t.Total), int64(t.Started), int64(t.Completed), int64(t.Failed), int64(t.Skipped), int64(t.Attempts)); err != nil {
			return err
		}
	}
	for i := range c.Statuses {
		s := &c.Statuses[i]
		status, err := validStatus(s.Status)
		if err != nil {
			return err
		}
		if err := w.statuses.add(ctx, at64(s.Execution), at64(s.From), status, at64(s.To)); err != nil {
			return err
		}
	}
	return nil
}

func (w *writer) storeTasks(ctx context.Context, c projections.Changes) error {
	for i := range c.Tasks {
		t := &c.Tasks[i]
		status, err := validStatus(t.Status)
		if err != nil {
			return err
		}
		var ids [2]int64
		if err := w.wordsOf(ctx, ids[:], t.Task, t.Function); err != nil {
			return err
		}
		wait, err := waitOf(&t.Wait)
		if err != nil {
			return err
		}
		if err := w.tasks.add(ctx, at64(t.Execution), ids[0], int64(t.Iteration), idOf(t.TaskID), ids[1], status, int64(t.Attempts),
			millis(t.StartedAt), millis(t.EndedAt), int64(t.StartedOffset), int64(t.EndedOffset),
			text(t.Error.Type), text(t.Error.Code), text(t.Error.Message), wait[0], wait[1], wait[2], wait[3]); err != nil {
			return err
		}
	}
	return nil
}

// waitOf is what a task waits for as its columns take it.
func waitOf(w *view.Wait) (columns [4]driver.Value, err error) {
	if *w == (view.Wait{}) {
		return columns, nil
	}
	kind := codeOf(waits[:], w.Kind)
	if kind < 0 {
		return columns, domain.E(domain.KindUnprocessable, "commit", "views", "a task waits for something unknown")
	}
	return [4]driver.Value{kind, w.Channel, millis(w.DueAt), at64(w.Since)}, nil
}

func (w *writer) storeApprovals(ctx context.Context, c projections.Changes) error {
	for i := range c.Approvals {
		a := &c.Approvals[i]
		status := codeOf(approvalStatuses[:], a.Status)
		if status < 0 {
			return domain.E(domain.KindUnprocessable, "commit", "views", "an approval has an unknown status")
		}
		var ids [2]int64
		if err := w.wordsOf(ctx, ids[:], a.WorkflowID, a.Task); err != nil {
			return err
		}
		if err := w.approvals.add(ctx, at64(a.Position), at64(a.Execution), idOf(a.ExecutionID), ids[0], ids[1], int64(a.Iteration), idOf(a.TaskID),
			int64(a.Offset), blob(a.Request.JSON), holes(a.Request.Holes), millis(a.RequestedAt), millis(a.DueAt),
			status, a.Approver, a.Comment, a.ActorKind, a.ActorID, millis(a.EndedAt), int64(a.EndedOffset)); err != nil {
			return err
		}
	}
	return nil
}

func (w *writer) storeEvents(ctx context.Context, c projections.Changes) error {
	for i := range c.Events {
		e := &c.Events[i]
		var ids [4]int64
		if err := w.wordsOf(ctx, ids[:], e.Type, e.Node, e.NodeType, e.WorkflowID); err != nil {
			return err
		}
		execution := e.Execution
		if execution != 0 {
			id, err := w.birth(ctx, execution)
			if err != nil {
				return err
			}
			stream, ok := strings.CutPrefix(string(e.Stream), runStream)
			if !ok || stream != e.ExecutionID || id != e.ExecutionID || id == "" {
				execution = 0
			}
		}
		at := millis(e.At)
		w.widen(spanEvents, e.Position, at)
		if err := w.events.add(ctx, at64(e.Position), at64(execution), int64(e.Revision), ids[0], ids[1], ids[2], ids[3], at); err != nil {
			return err
		}
		if execution != 0 {
			continue
		}
		if err := w.strays.add(ctx, at64(e.Position), string(e.Stream), at64(e.Execution), idOf(e.ExecutionID)); err != nil {
			return err
		}
	}
	return nil
}

func (w *writer) storeWorkflows(ctx context.Context, c projections.Changes) error {
	for i := range c.Workflows {
		f := &c.Workflows[i]
		deleted := int64(0)
		if f.Deleted {
			deleted = 1
		}
		if err := w.workflows.add(ctx, at64(f.Position), idOf(f.ID), f.Name, f.Description, f.Endpoint, int64(f.Version),
			blob(f.Graph.JSON), holes(f.Graph.Holes), millis(f.CreatedAt), millis(f.UpdatedAt), deleted, at64(f.LastPosition)); err != nil {
			return err
		}
	}
	for i := range c.WorkflowVersions {
		f := &c.WorkflowVersions[i]
		if err := w.versions.add(ctx, idOf(f.WorkflowID), int64(f.Version), f.Name, f.Description, f.Endpoint,
			blob(f.Graph.JSON), holes(f.Graph.Holes), millis(f.At), at64(f.Position)); err != nil {
			return err
		}
	}
	return nil
}

func (w *writer) storeRest(ctx context.Context, c projections.Changes) error {
	for i := range c.Names {
		n := &c.Names[i]
		if err := w.names.add(ctx, n.FlowName, n.RunName, idOf(n.ExecutionID), at64(n.Position), int64(n.Offset)); err != nil {
			return err
		}
	}
	for i := range c.Endpoints {
		e := &c.Endpoints[i]
		if err := w.endpoints.add(ctx, e.ID, e.Slug, millis(e.CreatedAt), at64(e.Position)); err != nil {
			return err
		}
	}
	for i := range c.Parked {
		p := &c.Parked[i]
		if err := w.parked.add(ctx, at64(p.Position), p.Projector, string(p.Stream), int64(p.Revision), p.Type, p.Reason); err != nil {
			return err
		}
	}
	return nil
}

// The kinds of spans.
const (
	spanEvents = iota
	spanStarts
)

// spanFan is how many spans a span of the next level covers. Two levels are enough: at a billion
// events the upper one has a thousand rows.
const spanFan = 1024

type spanKey struct{ kind, level, bucket int64 }

type span struct{ low, high int64 }

// widen notes an instant at a position.
func (w *writer) widen(kind int64, p domain.Position, at int64) {
	k := spanKey{kind, 0, at64(p) / w.width}
	s, ok := w.touched[k]
	if !ok {
		s = span{at, at}
	} else if s.low <= at && at <= s.high {
		return
	}
	w.touched[k] = span{min(s.low, at), max(s.high, at)}
}

// storeSpans stores what widen noted.
func (w *writer) storeSpans(ctx context.Context, _ projections.Changes) error {
	upper := map[spanKey]span{}
	for k, s := range w.touched {
		if err := w.spans.add(ctx, k.kind, k.level, k.bucket, s.low, s.high); err != nil {
			return err
		}
		k.level, k.bucket = 1, k.bucket/spanFan
		u, ok := upper[k]
		if !ok {
			u = s
		}
		upper[k] = span{min(u.low, s.low), max(u.high, s.high)}
	}
	for k, s := range upper {
		if err := w.spans.add(ctx, k.kind, k.level, k.bucket, s.low, s.high); err != nil {
			return err
		}
	}
	clear(w.touched)
	return nil
}
