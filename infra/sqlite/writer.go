package sqlite

import (
	"context"
	"database/sql/driver"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"quipu/domain"
	"quipu/projections"
	"quipu/projections/view"
)

// writer is the one connection of a generation that writes, with its prepared statements. The
// generation's commit lock guards it.
type writer struct {
	conn driver.Conn

	events, strays, executions, progress, statuses, tasks *bulk
	approvals                                             *bulk
	words, spans, workflows, versions, names, endpoints   *bulk
	parked                                                *bulk

	position domain.Position // where the caches below belong: of the last commit seen
	nextWord int64
	ids      map[string]int64           // of words
	born     map[domain.Position]string // ids of executions by key
	width    int64                      // of a span
	touched  map[spanKey]span           // spans of the commit under way
}

// bornMax is how many ids of executions the writer remembers; beyond it starts anew.
const bornMax = 1 << 15

func openWriter(ctx context.Context, g *generation) (*writer, error) {
	c, err := connector(g.path, "rw", g.opts.CacheBytes, g.opts,
		fmt.Sprintf("wal_autocheckpoint(%d)", g.opts.WALBytes/pageBytes),
		fmt.Sprintf("journal_size_limit(%d)", 2*g.opts.WALBytes))
	if err != nil {
		return nil, err
	}
	conn, err := c.Connect(ctx)
	if err != nil {
		return nil, err
	}
	bulk := func(table, columns, tail string) *bulk { return newBulk(conn, table, columns, tail) }
	w := &writer{
		conn:       conn,
		events:     bulk("events", "position, execution, revision, type, node, function, workflow, at", ""),
		strays:     bulk("strays", "position, stream, execution, execution_id", ""),
		executions: bulk("executions", "position, "+executionBirth, "ON CONFLICT DO UPDATE SET "+set(executionBirth)),
		progress:   bulk("progress", "execution, "+progressColumns, "ON CONFLICT DO UPDATE SET "+set(progressColumns)),
		statuses:   bulk("statuses", "execution, since, status, until", "ON CONFLICT DO UPDATE SET "+set("status, until")),
		tasks:      bulk("tasks", "execution, task, iteration, "+taskColumns, "ON CONFLICT DO UPDATE SET "+set(taskColumns)),
		// What it was born with stays: the rows that end one need not have it.
		approvals: bulk("approvals", "position, "+approvalBirth+", "+approvalEnd, "ON CONFLICT DO UPDATE SET "+set(approvalEnd)),
		words:     bulk("words", "id, word", ""),
		spans: bulk("spans", "kind, level, bucket, low, high",
			"ON CONFLICT DO UPDATE SET low = min(low, excluded.low), high = max(high, excluded.high)"),
		workflows: bulk("workflows", "position, id, "+workflowColumns, "ON CONFLICT (id) DO UPDATE SET position = excluded.position, "+set(workflowColumns)),
		versions:  bulk("versions", "workflow, version, "+versionColumns, "ON CONFLICT DO UPDATE SET "+set(versionColumns)),
		names:     bulk("names", "flow, run, execution_id, position, offset", "ON CONFLICT DO UPDATE SET "+set("execution_id, position, offset")),
		endpoints: bulk("endpoints", "id, slug, created_at, position", "ON CONFLICT DO UPDATE SET "+set("slug, created_at, position")),
		parked: bulk("parked", "position, projector, stream, revision, type, reason",
			"ON CONFLICT DO UPDATE SET "+set("stream, revision, type, reason")),
	}
	w.forget()
	return w, nil
}

const (
	executionBirth  = "id, workflow, version, source, endpoint, flow, run, connection, retry_of, started_at, input, holes"
	progressColumns = "status, since, ended_at, node, failed_task, error_type, error_code, error_message, last_offset, last_position, " +
		"total, started, completed, failed, skipped, attempts"
	taskColumns = "id, function, status, attempts, started_at, ended_at, started_offset, ended_offset, " +
		"error_type, error_code, error_message, wait, channel, due_at, wait_since"
	approvalBirth   = "execution, execution_id, workflow, task, iteration, task_id, asked_offset, request, holes, asked_at, due_at"
	approvalEnd     = "status, approver, comment, actor_kind, actor_id, ended_at, ended_offset"
	workflowColumns = "name, description, endpoint, version, graph, holes, created_at, updated_at, deleted, last_position"
	versionColumns  = "name, description, endpoint, graph, holes, at, position"
)

func (w *writer) bulks() []*bulk {
	return []*bulk{
		w.words, w.executions, w.progress, w.statuses, w.tasks, w.approvals, w.events, w.strays, w.spans,
		w.workflows, w.versions, w.names, w.endpoints, w.parked,
	}
}

// forget drops what was remembered of the file, which a failed commit may have made untrue.
func (w *writer) forget() {
	w.position, w.nextWord = 0, 0
	w.ids, w.born, w.touched = map[string]int64{}, map[domain.Position]string{}, map[spanKey]span{}
	for _, b := range w.bulks() {
		b.drop()
	}
}

// close closes the connection and with it the statements.
func (w *writer) close() error {
	for _, b := range w.bulks() {
		for _, s := range b.stmts {
			_ = s.Close() // the connection goes anyway
		}
	}
	return w.conn.Close()
}

// commit stores c. The connection is fit for the next commit whatever happens, unless it says broken.
func (w *writer) commit(ctx context.Context, c projections.Changes) (broken bool, err error) {
	if err := contextError(ctx, "commit"); err != nil {
		return false, err
	}
	// A batch is bounded and statements are short: ctx is asked between them, not inside.
	whole := context.WithoutCancel(ctx)
	if err := execute(whole, w.conn, "BEGIN IMMEDIATE"); err != nil {
		return true, translate(whole, "commit", err)
	}
	err = w.store(ctx, whole, c)
	if err == nil {
		if err = execute(whole, w.conn, "COMMIT"); err == nil {
			w.position = c.To
			return false, nil
		}
	}
	err = translate(whole, "commit", err)
	w.forget()
	if rollback := execute(whole, w.conn, "ROLLBACK"); rollback != nil && domain.KindOf(err) == domain.KindUnavailable {
		// SQLite rolls back by itself after some errors, and then says that nothing is left to do.
		return true, err
	}
	return domain.KindOf(err) != domain.KindConflict, err
}

func (w *writer) store(ctx, whole context.Context, c projections.Changes) error {
	if err := w.enter(whole, c); err != nil {
		return err
	}
	for _, part := range []func(context.Context, projections.Changes) error{
		w.storeExecutions, w.storeTasks, w.storeApprovals, w.storeEvents, w.storeSpans, w.storeWorkflows, w.storeRest,
	} {
		if err := contextError(ctx, "commit"); err != nil {
			return err
		}
		if err := part(whole, c); err != nil {
			return err
		}
	}
	for _, b := range w.bulks() {
		if err := b.flush(whole); err != nil {
			return err
		}
	}
	versions, err := json.Marshal(c.Versions)
	if err != nil {
		return err
	}
	return execute(whole, w.conn, "UPDATE state SET log = ?, position = ?, versions = ?, parked = parked + ?",
		string(c.Log), at64(c.To), string(versions), int64(len(c.Parked)))
}

// enter checks that c goes on where the rows stand.
func (w *writer) enter(ctx context.Context, c projections.Changes) error {
	rows, err := w.conn.(driver.QueryerContext).QueryContext(ctx, "SELECT log, position, width FROM state", nil)
	if err != nil {
		return err
	}
	row := make([]driver.Value, 3)
	err = rows.Next(row)
	if closed := rows.Close(); err == nil {
		err = closed
	}
	switch {
	case errors.Is(err, io.EOF):
		return corrupt("commit", "the checkpoint is missing")
	case err != nil:
		return err
	}
	log, position := row[0].(string), domain.Position(row[1].(int64))
	w.width = row[2].(int64)
	switch {
	case position != c.After:
		return domain.E(domain.KindConflict, "commit", "views", "the checkpoint is elsewhere").
			WithDetails(map[string]any{"after": uint64(c.After), "checkpoint": uint64(position)})
	case log != "" && log != string(c.Log):
		return domain.E(domain.KindConflict, "commit", "views", "the rows are of another log").WithCode("LOG_CHANGED")
	}
	if w.position != position || w.nextWord == 0 { // somebody else committed since
		w.forget()
		if w.nextWord, _, err = queryInt(ctx, w.conn, "SELECT coalesce(max(id), 0) + 1 FROM words"); err != nil {
			return err
		}
		w.position = position
	}
	return nil
}

// word returns the number of a word, a new one if need be.
func (w *writer) word(ctx context.Context, s string) (int64, error) {
	if s == "" {
		return 0, nil
	}
	if id, ok := w.ids[s]; ok {
		return id, nil
	}
	id, found, err := queryInt(ctx, w.conn, "SELECT id FROM words WHERE word = ?", s)
	if err != nil {
		return 0, err
	}
	if len(w.ids) >= wordsMax {
		// What this commit added must be found by the question above.
		if err := w.words.flush(ctx); err != nil {
			return 0, err
		}
		clear(w.ids)
	}
	if !found {
		id = w.nextWord
		w.nextWord++
		if err := w.words.add(ctx, id, s); err != nil {
			return 0, err
		}
	}
	w.ids[s] = id
	return id, nil
}

// wordsOf returns the numbers of several words.
func (w *writer) wordsOf(ctx context.Context, into []int64, list ...string) error {
	for i, s := range list {
		id, err := w.word(ctx, s)
		if err != nil {
			return err
		}
		into[i] = id
	}
	return nil
}

// birth is the id of the execution with a key, "" if there is none.
func (w *writer) birth(ctx context.Context, key domain.Position) (string, error) {
	if id, ok := w.born[key]; ok {
		return id, nil
	}
	rows, err := w.conn.(driver.QueryerContext).QueryContext(ctx, "SELECT id FROM executions WHERE position = ?", named([]driver.Value{at64(key)}))
	if err != nil {
		return "", err
	}
	row := make([]driver.Value, 1)
	err = rows.Next(row)
	if closed := rows.Close(); err == nil {
		err = closed
	}
	if errors.Is(err, io.EOF) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	id := idText(row[0])
	w.remember(key, id)
	return id, nil
}

func (w *writer) remember(key domain.Position, id string) {
	if len(w.born) >= bornMax {
		clear(w.born)
	}
	w.born[key] = id
}

func firstInt(rows driver.Rows) (n int64, found bool, err error) {
	row := make([]driver.Value, 1)
	err = rows.Next(row)
	if closed := rows.Close(); err == nil {
		err = closed
	}
	if errors.Is(err, io.EOF) {
		return 0, false, nil
	}
	if err != nil {
		return 0, false, err
	}
	n, found = row[0].(int64)
	return n, found, nil
}

// set is the tail of an upsert: each column from the new row.
func set(columns string) string {
	var b []byte
	for i, start := 0, 0; i <= len(columns); i++ {
		if i < len(columns) && columns[i] != ',' {
			continue
		}
		name := columns[start:i]
		if name[0] == ' ' {
			name = name[1:]
		}
		if b != nil {
			b = append(b, ", "...)
		}
		b = append(b, name+" = excluded."+name...)
		start = i + 1
	}
	return string(b)
}

// validStatus refuses what the schema has no number for.
func validStatus(s view.Status) (int64, error) {
	code := statusCode(s)
	if code < 0 {
		return 0, domain.E(domain.KindUnprocessable, "commit", "views", "a row has an unknown status")
	}
	return code, nil
}
