package sqlite

import (
	"context"
	"database/sql"
	"iter"
	"slices"
	"strings"

	"quipu/domain"
	"quipu/projections"
	"quipu/projections/view"
)

// snapshot is a reading that lasts until it is closed. One sequence of it is read at a time.
type snapshot struct {
	*reading
	v      *Views
	cancel context.CancelFunc
	closed bool
}

// Snapshot implements projections.Store. While it is open the write-ahead log cannot be emptied.
func (s *store) Snapshot(ctx context.Context) (projections.Snapshot, error) {
	g, err := s.enter(ctx, "snapshot")
	if err != nil {
		return nil, err
	}
	// It outlives the call: ctx bounds only the opening.
	lasting, cancel := context.WithCancel(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, cancel)
	r, err := g.begin(lasting, g.snapshots)
	if p, perr := s.v.reg.read(); perr == nil && !s.wanted(p) {
		if err == nil {
			r.end()
		}
		err = errGone("snapshot")
	}
	if err == nil && !stop() {
		r.end()
		err = contextError(ctx, "snapshot")
	}
	if err != nil {
		cancel()
		g.release()
		if ctx.Err() != nil {
			err = contextError(ctx, "snapshot")
		}
		return nil, err
	}
	return &snapshot{reading: r, v: s.v, cancel: cancel}, nil
}

// State implements projections.Snapshot.
func (s *snapshot) State() projections.State { return s.state }

// Close implements projections.Snapshot; a second call does nothing.
func (s *snapshot) Close() error {
	if s.closed {
		return nil
	}
	s.closed = true
	s.end()
	s.cancel()
	s.gen.release()
	return nil
}

// each scans the rows of a query one by one.
func each[Row any](ctx context.Context, s *snapshot, query string, scan func(context.Context, *sql.Rows) (Row, error), args ...any) iter.Seq2[Row, error] {
	return func(yield func(Row, error) bool) {
		var none Row
		rows, err := s.tx.QueryContext(ctx, query, args...)
		if err != nil {
			yield(none, translate(ctx, "read", err))
			return
		}
		defer func() { _ = rows.Close() }() // Err tells
		for rows.Next() {
			row, err := scan(ctx, rows)
			if err != nil {
				yield(none, translate(ctx, "read", err))
				return
			}
			if !yield(row, nil) {
				return
			}
		}
		if err := rows.Err(); err != nil {
			yield(none, translate(ctx, "read", err))
		}
	}
}

// Executions implements projections.Snapshot.
func (s *snapshot) Executions(ctx context.Context) iter.Seq2[view.Execution, error] {
	return each(ctx, s, "SELECT "+executionColumns+" FROM "+executionTables+" ORDER BY e.position", s.scanExecution)
}

// Statuses implements projections.Snapshot.
func (s *snapshot) Statuses(ctx context.Context) iter.Seq2[view.StatusInterval, error] {
	return each(ctx, s, "SELECT execution, status, since, until FROM statuses ORDER BY execution, since",
		func(_ context.Context, rows *sql.Rows) (i view.StatusInterval, err error) {
			var execution, status, since, until int64
			err = rows.Scan(&execution, &status, &since, &until)
			return view.StatusInterval{
				Execution: domain.Position(execution), Status: statusOf(status),
				From: domain.Position(since), To: domain.Position(until),
			}, err
		})
}

// Tasks implements projections.Snapshot. The file has them by the number of their name, so those of
// one execution are sorted here.
func (s *snapshot) Tasks(ctx context.Context) iter.Seq2[view.Task, error] {
	return func(yield func(view.Task, error) bool) {
		var group []view.Task
		flush := func() bool {
			slices.SortFunc(group, func(a, b view.Task) int {
				if c := strings.Compare(a.Task, b.Task); c != 0 {
					return c
				}
				return a.Iteration - b.Iteration
			})
			for _, t := range group {
				if !yield(t, nil) {
					return false
				}
			}
			group = group[:0]
			return true
		}
		for t, err := range each(ctx, s, taskSelect+" ORDER BY execution", s.scanTask) {
			if err != nil {
				yield(t, err)
				return
			}
			if len(group) > 0 && group[0].Execution != t.Execution && !flush() {
				return
			}
			group = append(group, t)
		}
		flush()
	}
}

// Approvals implements projections.Snapshot.
func (s *snapshot) Approvals(ctx context.Context) iter.Seq2[view.Approval, error] {
	return each(ctx, s, "SELECT "+approvalSelected+" FROM approvals a ORDER BY a.position", s.scanApproval)
}

// snapshotEvents is how many events a snapshot completes at once.
const snapshotEvents = 500

// Events implements projections.Snapshot.
func (s *snapshot) Events(ctx context.Context) iter.Seq2[view.Event, error] {
	return func(yield func(view.Event, error) bool) {
		for w := everything; !w.empty(); {
			var raw []rawEvent
			b := []branch{{columns: eventColumns, from: "events e NOT INDEXED", key: "e.position"}}
			more, err := s.page(ctx, b, view.Page{Ascending: true, Limit: snapshotEvents}, w, func(rows *sql.Rows) error {
				e, err := scanRaw(ctx, rows)
				raw = append(raw, e)
				return err
			})
			var all []view.Event
			if err == nil {
				all, err = s.events(ctx, raw)
			}
			if err == nil {
				err = s.v.fill(ctx, all)
			}
			if err != nil {
				yield(view.Event{}, translate(ctx, "read", err))
				return
			}
			for _, e := range all {
				if !yield(e, nil) {
					return
				}
			}
			if !more {
				return
			}
			w = w.after(all[len(all)-1].Position)
		}
	}
}

// Workflows implements projections.Snapshot.
func (s *snapshot) Workflows(ctx context.Context) iter.Seq2[view.Workflow, error] {
	return each(ctx, s, "SELECT "+workflowSelected+" FROM workflows w ORDER BY w.position", scanWorkflow)
}

// WorkflowVersions implements projections.Snapshot. Ids are not stored in the order of their texts, so
// the keys are sorted here.
func (s *snapshot) WorkflowVersions(ctx context.Context) iter.Seq2[view.WorkflowVersion, error] {
	return func(yield func(view.WorkflowVersion, error) bool) {
		type key struct {
			workflow       string
			version, rowid int64
		}
		keys, err := gather(ctx, s.reading, "SELECT workflow, version, rowid FROM versions", func(_ context.Context, rows *sql.Rows) (k key, err error) {
			var id any
			err = rows.Scan(&id, &k.version, &k.rowid)
			k.workflow = idText(id)
			return k, err
		})
		if err != nil {
			yield(view.WorkflowVersion{}, translate(ctx, "read", err))
			return
		}
		slices.SortFunc(keys, func(a, b key) int {
			if c := strings.Compare(a.workflow, b.workflow); c != 0 {
				return c
			}
			return int(a.version - b.version)
		})
		for _, k := range keys {
			for f, err := range each(ctx, s, "SELECT "+versionSelected+" FROM versions w WHERE w.rowid = ?", scanVersion, k.rowid) {
				if !yield(f, err) || err != nil {
					return
				}
			}
		}
	}
}

// Names implements projections.Snapshot.
func (s *snapshot) Names(ctx context.Context) iter.Seq2[view.Name, error] {
	return each(ctx, s, "SELECT flow, run, execution_id, position, offset FROM names ORDER BY flow, run", scanName)
}

// Endpoints implements projections.Snapshot.
func (s *snapshot) Endpoints(ctx context.Context) iter.Seq2[view.Endpoint, error] {
	return each(ctx, s, "SELECT "+endpointSelected+" FROM endpoints w ORDER BY w.id", scanEndpoint)
}
