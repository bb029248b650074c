package sqlite

import (
	"context"
	"database/sql"
	"math"
	"strings"

	"quipu/domain"
	"quipu/projections/view"
)

// executionColumns are read by scanExecution.
const executionColumns = "e.position, e.id, e.workflow, e.version, e.source, e.endpoint, e.flow, e.run, e.connection, e.retry_of, e.started_at, e.input, e.holes, " +
	"p.status, p.since, p.ended_at, p.node, p.failed_task, p.error_type, p.error_code, p.error_message, p.last_offset, p.last_position, " +
	"p.total, p.started, p.completed, p.failed, p.skipped, p.attempts"

const executionTables = "executions e CROSS JOIN progress p ON p.execution = e.position"

func (r *reading) scanExecution(ctx context.Context, rows *sql.Rows) (e view.Execution, err error) {
	var position, workflow, source, endpoint, flow, started, status, since, ended, node, failed, last int64
	var id, retryOf any
	var json, list []byte
	var errorType, errorCode, errorMessage sql.NullString
	t := &e.Tasks
	if err := rows.Scan(&position, &id, &workflow, &e.WorkflowVersion, &source, &endpoint, &flow, &e.RunName, &e.ConnectionID, &retryOf, &started, &json, &list,
		&status, &since, &ended, &node, &failed, &errorType, &errorCode, &errorMessage, &e.LastOffset, &last,
		&t.Total, &t.Started, &t.Completed, &t.Failed, &t.Skipped, &t.Attempts); err != nil {
		return e, err
	}
	e.Position, e.LastPosition, e.ID = domain.Position(position), domain.Position(last), idText(id)
	e.StatusSince, e.RetryOf = domain.Position(since), idText(retryOf)
	e.StartedAt, e.EndedAt, e.Status = instant(started), instant(ended), statusOf(status)
	e.Error = view.Error{Type: errorType.String, Code: errorCode.String, Message: errorMessage.String}
	if e.Input, err = valueOf(json, list); err != nil {
		return e, corrupt("read", err.Error())
	}
	return e, r.resolve(ctx, wordRef{workflow, &e.WorkflowID}, wordRef{source, &e.Source}, wordRef{endpoint, &e.Endpoint},
		wordRef{flow, &e.FlowName}, wordRef{node, &e.CurrentNode}, wordRef{failed, &e.FailedTask})
}

// Executions answers q.
func (v *Views) Executions(ctx context.Context, q view.ExecutionQuery) (view.Slice[view.Execution], error) {
	var s view.Slice[view.Execution]
	err := v.read(ctx, func(r *reading) error {
		s = view.Slice[view.Execution]{As: r.state.Checkpoint}
		branches, w, err := r.executionBranches(ctx, q)
		if err != nil {
			return err
		}
		if q.Total {
			if s.Total, err = r.total(ctx, branches, w); err != nil {
				return err
			}
		}
		var keys []int64
		if s.More, err = r.page(ctx, branches, q.Page, w, func(rows *sql.Rows) error {
			var key int64
			keys = append(keys, 0)
			err := rows.Scan(&key)
			keys[len(keys)-1] = key
			return err
		}); err != nil {
			return err
		}
		s.Rows, err = r.executions(ctx, keys, q.AsOf)
		return err
	})
	return s, err
}

// executions reads rows by their keys, in their order.
func (r *reading) executions(ctx context.Context, keys []int64, asOf domain.Position) ([]view.Execution, error) {
	if len(keys) == 0 {
		return nil, nil
	}
	args := make([]any, len(keys))
	for i, key := range keys {
		args[i] = key
	}
	// One statement for the page: a hundred small ones cost ten times as much.
	rows, err := gather(ctx, r, "SELECT "+executionColumns+" FROM "+executionTables+
		" WHERE e.position IN (?"+strings.Repeat(",?", len(keys)-1)+")", r.scanExecution, args...)
	if err != nil {
		return nil, err
	}
	byKey := make(map[domain.Position]*view.Execution, len(rows))
	for i := range rows {
		byKey[rows[i].Position] = &rows[i]
	}
	all := make([]view.Execution, len(keys))
	for i, key := range keys {
		e := byKey[domain.Position(key)]
		if e == nil {
			return nil, corrupt("read", "an execution is missing")
		}
		all[i] = *e
	}
	if asOf == 0 {
		return all, nil
	}
	status, err := r.tx.PrepareContext(ctx,
		"SELECT status FROM statuses WHERE execution = ? AND since <= ? AND (until = 0 OR until > ?) ORDER BY since DESC LIMIT 1")
	if err != nil {
		return nil, err
	}
	for i := range all {
		code, found, err := one(ctx, status, func(rows *sql.Rows) (code int64, err error) { return code, rows.Scan(&code) }, keys[i], at64(asOf), at64(asOf))
		if err != nil {
			return nil, err
		}
		if found {
			all[i].Status = statusOf(code)
		}
	}
	return all, nil
}

// one runs a statement for one row.
func one[Row any](ctx context.Context, stmt *sql.Stmt, scan func(*sql.Rows) (Row, error), args ...any) (row Row, found bool, err error) {
	rows, err := stmt.QueryContext(ctx, args...)
	if err != nil {
		return row, false, err
	}
	defer func() { _ = rows.Close() }() // Err tells
	if !rows.Next() {
		return row, false, rows.Err()
	}
	row, err = scan(rows)
	return row, err == nil, err
}

// executionBranches says where the keys of q's rows are found; none if there can be no row.
func (r *reading) executionBranches(ctx context.Context, q view.ExecutionQuery) ([]branch, window, error) {
	w := everything
	asOf := int64(math.MaxInt64)
	if q.AsOf != 0 {
		asOf = at64(q.AsOf)
		w.high = asOf
	}
	var where condition // on executions
	index := ""         // that finds few rows
	for _, f := range []struct{ value, column string }{
		{q.Source, "source"}, {q.WorkflowID, "workflow"}, {q.FlowName, "flow"},
	} {
		if f.value == "" {
			continue
		}
		id, found, err := r.wordID(ctx, f.value)
		if err != nil || !found {
			return nil, w, err
		}
		where.add("e."+f.column+" = ? AND e."+f.column+" <> 0", id)
		index = "executions_" + f.column
	}
	if q.RunName != "" {
		where.add("e.run = ? AND e.run <> ''", q.RunName)
		index = "executions_run"
	}
	if q.ConnectionID != "" {
		where.add("e.connection = ? AND e.connection <> ''", q.ConnectionID)
		index = "executions_connection"
	}
	if q.RetryOf != "" {
		where.add("e.retry_of = ? AND e.retry_of <> ''", idOf(q.RetryOf))
		index = "executions_retry_of"
	}
	if !q.StartedFrom.IsZero() {
		where.add("e.started_at >= ?", bound(q.StartedFrom))
	}
	if !q.StartedTo.IsZero() {
		where.add("e.started_at < ?", bound(q.StartedTo))
	}
	w, err := r.times(ctx, spanStarts, w, q.StartedFrom, q.StartedTo)
	if err != nil || w.empty() {
		return nil, w, err
	}
	if q.Status == "" {
		return []branch{executionsBy(index, where)}, w, nil
	}
	code := statusCode(q.Status)
	if code < 0 {
		return nil, w, nil
	}
	// Few executions are unfinished at a time, fewer than most filters leave.
	few := q.RunName != "" || q.ConnectionID != "" || q.RetryOf != ""
	if index == "" || index == "executions_source" || !few && (q.Status == view.Running || q.Status == view.Paused) {
		return statusBranches(code, asOf, where, q.AsOf != 0), w, nil
	}
	where.add("EXISTS (SELECT 1 FROM statuses s WHERE s.execution = e.position AND s.status = ? AND s.since <= ? AND (s.until = 0 OR s.until > ?))", code, asOf, asOf)
	return []branch{executionsBy(index, where)}, w, nil
}

func executionsBy(index string, where condition) branch {
	b := branch{columns: "e.position", from: "executions e NOT INDEXED", key: "e.position", where: where}
	switch {
	case index != "":
		b.from = "executions e INDEXED BY " + index
	case where.text == "": // the smaller rows tell as well which executions there are
		b.columns, b.from, b.key = "e.execution", "progress e", "e.execution"
	}
	return b
}

// statusBranches finds executions by their status: those that have it still, and, as of an earlier
// position, those that lost it since.
func statusBranches(code, asOf int64, where condition, past bool) []branch {
	make := func(index, interval string, args ...any) branch {
		b := branch{columns: "s.execution", from: "statuses s INDEXED BY " + index, key: "s.execution"}
		b.where.add("s.status = ?", code)
		b.where.add(interval, args...)
		if where.text != "" {
			b.from += " CROSS JOIN executions e ON e.position = s.execution"
			b.where.join(where)
		}
		return b
	}
	all := []branch{make("statuses_open", "s.until = 0 AND s.since <= ?", asOf)}
	if past {
		all = append(all, make("statuses_closed", "s.until <> 0 AND s.until > ? AND s.since <= ?", asOf, asOf))
	}
	return all
}

// Tasks lists all tasks of an execution, by StartedOffset, Task, Iteration. Errors: ErrNotFound if
// the execution is not in the view.
func (v *Views) Tasks(ctx context.Context, executionID string) ([]view.Task, view.Checkpoint, error) {
	var all []view.Task
	var as view.Checkpoint
	err := v.read(ctx, func(r *reading) error {
		as = r.state.Checkpoint
		key, found, err := r.key(ctx, executionID)
		if err != nil {
			return err
		}
		if !found {
			return domain.E(domain.KindNotFound, "read", "tasks", "the execution is not in the view")
		}
		all, err = r.tasksOf(ctx, key)
		sortTasks(all)
		return err
	})
	return all, as, err
}

// key is that of the execution with an id.
func (r *reading) key(ctx context.Context, id string) (key int64, found bool, err error) {
	err = r.tx.QueryRowContext(ctx, "SELECT position FROM executions WHERE id = ?", idOf(id)).Scan(&key)
	if err == sql.ErrNoRows { //nolint:errorlint // QueryRow returns it bare
		return 0, false, nil
	}
	return key, err == nil, err
}
