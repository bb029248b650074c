package sqlite

import (
	"cmp"
	"context"
	"database/sql"
	"slices"
	"strings"

	"quipu/domain"
	"quipu/projections/view"
)

const taskSelect = "SELECT execution, task, iteration, " + taskColumns + " FROM tasks"

func (r *reading) scanTask(ctx context.Context, rows *sql.Rows) (t view.Task, err error) {
	var execution, task, function, status, started, ended int64
	var id any
	var errorType, errorCode, errorMessage, channel sql.NullString
	var wait, due, since sql.NullInt64
	if err := rows.Scan(&execution, &task, &t.Iteration, &id, &function, &status, &t.Attempts, &started, &ended,
		&t.StartedOffset, &t.EndedOffset, &errorType, &errorCode, &errorMessage, &wait, &channel, &due, &since); err != nil {
		return t, err
	}
	t.Execution, t.TaskID, t.Status = domain.Position(execution), idText(id), statusOf(status)
	t.StartedAt, t.EndedAt = instant(started), instant(ended)
	t.Error = view.Error{Type: errorType.String, Code: errorCode.String, Message: errorMessage.String}
	if wait.Valid {
		t.Wait = view.Wait{Kind: wordOf(waits[:], wait.Int64), Channel: channel.String, DueAt: instant(due.Int64), Since: domain.Position(since.Int64)}
	}
	return t, r.resolve(ctx, wordRef{task, &t.Task}, wordRef{function, &t.Function})
}

// tasksOf reads the tasks of an execution, in no order.
func (r *reading) tasksOf(ctx context.Context, key int64) ([]view.Task, error) {
	return gather(ctx, r, taskSelect+" WHERE execution = ?", r.scanTask, key)
}

// gather runs a query and scans all of its rows.
func gather[Row any](ctx context.Context, r *reading, query string, scan func(context.Context, *sql.Rows) (Row, error), args ...any) ([]Row, error) {
	rows, err := r.tx.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }() // Err tells
	var all []Row
	for rows.Next() {
		row, err := scan(ctx, rows)
		if err != nil {
			return nil, err
		}
		all = append(all, row)
	}
	return all, rows.Err()
}

func sortTasks(all []view.Task) {
	slices.SortFunc(all, func(a, b view.Task) int {
		return cmp.Or(cmp.Compare(a.StartedOffset, b.StartedOffset), strings.Compare(a.Task, b.Task), cmp.Compare(a.Iteration, b.Iteration))
	})
}
