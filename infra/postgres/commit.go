package postgres

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"

	"github.com/jackc/pgx/v5/pgconn"

	"quipu/domain"
	"quipu/projections"
	"quipu/projections/view"
)

// retries bounds how often a transaction that the server rolled back in favour of another one is sent
// again.
const retries = 5

// Commit implements projections.Store.
func (s *store) Commit(ctx context.Context, c projections.Changes) error {
	if c.To <= c.After {
		return domain.E(domain.KindInvalid, "commit", "views", "the batch does not move the checkpoint")
	}
	if c.To > math.MaxInt64 {
		return domain.E(domain.KindUnprocessable, "commit", "views", "positions above 2^63-1 do not fit the database")
	}
	bounded, cancel := context.WithTimeout(ctx, s.v.o.CommitTimeout)
	defer cancel()
	s.committing.Lock()
	defer s.committing.Unlock()
	var err error
	for range retries {
		if err := s.prepare(ctx); err != nil {
			return err
		}
		var sent bool
		sent, err = s.commit(bounded, &c)
		state := sqlState(err)
		switch {
		case err == nil:
			return nil
		case state == stateSerialize || state == stateDeadlock || state == stateOverlap || state == stateTableExists:
			continue // somebody else made partitions: the guard will tell whether the commit is still due
		case state == stateDivision:
			return domain.E(domain.KindConflict, "commit", "views", "the checkpoint is elsewhere, of another log, or the generation was replaced")
		case sent && unsure(err):
			return domain.Wrap(domain.KindIndeterminate, "commit", "views", plain(err))
		}
		break
	}
	return translate(ctx, "commit", "views", err)
}

// unsure reports whether a commit that was sent may have happened all the same: the server did not
// refuse it in a session that goes on. (What pgconn says about safe retries is about its last call,
// which may be a second look at a connection that was lost after sending.)
func unsure(err error) bool {
	var refused *pgconn.PgError
	return !errors.As(err, &refused) || refused.Severity == "FATAL" || refused.Severity == "PANIC"
}

// prepare reads the shape of the tables if it is not known.
func (s *store) prepare(ctx context.Context) error {
	if s.shape != nil {
		return nil
	}
	var sh shape
	if _, err := s.read(ctx, "commit", func(b *batch) { sh = shape{}; s.askShape(b, &sh) }); err != nil {
		return err
	}
	s.shape = &sh
	return nil
}

// commit makes one attempt. sent says that the transaction's end may have reached the server.
func (s *store) commit(ctx context.Context, c *projections.Changes) (sent bool, err error) {
	conn, err := s.v.writers.Acquire(ctx)
	if err != nil {
		return false, err
	}
	defer conn.Release()
	pg := conn.Conn().PgConn()
	if err := ctx.Err(); err != nil {
		return false, err
	}
	if pg.IsClosed() {
		return false, errors.New("the connection is closed")
	}

	var b batch
	made := need(s.shape.partitions, c, s.shape.width)
	touched := spansOf(s.shape.tail, c.Events)
	after := s.shape
	if len(touched) > 0 {
		after = s.shape.after(made, touched[len(touched)-1])
	}
	copies := s.statements(&b, c, made, touched)
	s.shape = nil // until this has happened
	if len(copies) == 0 {
		// One pipeline without BEGIN is one transaction, and one round trip.
		if err := b.run(ctx, pg); err != nil {
			return true, err
		}
		s.shape = after
		return true, nil
	}
	defer func() {
		if err != nil && !conn.Conn().IsClosed() {
			_ = pg.Exec(context.WithoutCancel(ctx), "ROLLBACK").Close()
		}
	}()
	if err := b.run(ctx, pg); err != nil {
		return false, err
	}
	for _, part := range copies {
		if _, err := pg.CopyFrom(ctx, bytes.NewReader(part.rows.stream()), part.table.copySQL(s.schema)); err != nil {
			return false, err
		}
	}
	if err := pg.Exec(ctx, "COMMIT").Close(); err != nil {
		return true, err
	}
	s.shape = after
	return true, nil
}

// part are the new rows of a table.
type part struct {
	table *table
	rows  *rows
}

// statements adds what goes into the database to b, but for the parts that are left to COPY; if there
// are any, b ends within a transaction.
func (s *store) statements(b *batch, c *projections.Changes, made []partition, touched []span) (copies []part) {
	copying := len(c.Events) >= s.v.o.CopyEventsMin
	if copying {
		b.add("BEGIN", args{}, nil)
	}
	s.guard(b, c)
	if s.v.o.Notify {
		b.add(s.v.notifySQL(), args{}, nil) // sent if and when this commits
	}
	for _, p := range made {
		s.addPartition(b, p)
	}
	add := func(t *table, fresh, stored *rows) {
		if stored.count > 0 {
			a := args{}
			a.values, a.oids = stored.params()
			b.add(t.upsertSQL(s.schema), a, nil)
		}
		switch {
		case fresh.count == 0:
		case copying:
			copies = append(copies, part{t, fresh})
		default:
			a := args{}
			a.values, a.oids = fresh.params()
			b.add(t.insertSQL(s.schema), a, nil)
		}
	}
	// New are the rows whose key is a position after the checkpoint: nobody can have stored them.
	fresh, stored := split(&executions, copying, c.Executions, func(e *view.Execution) bool { return e.Position > c.After }, (*rows).execution)
	add(&executions, fresh, stored)
	intervals := last(c.Statuses, func(i view.StatusInterval) [2]domain.Position { return [2]domain.Position{i.Execution, i.From} })
	fresh, stored = split(&statuses, copying, intervals, func(i *view.StatusInterval) bool { return i.From > c.After }, (*rows).status)
	add(&statuses, fresh, stored)
	fresh, stored = split(&tasks, copying, c.Tasks, func(t *view.Task) bool { return t.Execution > c.After }, (*rows).task)
	add(&tasks, fresh, stored)
	fresh, stored = split(&approvals, copying, c.Approvals, func(a *view.Approval) bool { return a.Position > c.After }, (*rows).approval)
	add(&approvals, fresh, stored)
	fresh, stored = split(&events, copying, c.Events, func(*view.Event) bool { return true }, (*rows).event)
	add(&events, fresh, stored)
	upsert(b, s, &spans, touched, (*rows).span)
	upsert(b, s, &workflows, last(c.Workflows, func(w view.Workflow) string { return w.ID }), (*rows).workflow)
	upsert(b, s, &versions, last(c.WorkflowVersions, func(v view.WorkflowVersion) versionKey { return versionKey{v.WorkflowID, v.Version} }), (*rows).version)
	upsert(b, s, &names, last(c.Names, func(n view.Name) [2]string { return [2]string{n.FlowName, n.RunName} }), (*rows).name)
	upsert(b, s, &endpoints, last(c.Endpoints, func(e view.Endpoint) string { return e.ID }), (*rows).endpoint)
	upsert(b, s, &parked, last(c.Parked, func(p view.Parked) parkedKey { return parkedKey{p.Projector, p.Position} }), (*rows).park)
	return copies
}

type (
	versionKey struct {
		id      string
		version int
	}
	parkedKey struct {
		projector string
		position  domain.Position
	}
)

// guard moves the checkpoint, and fails by a division by zero if it is not where it should be. It comes
// first: its row lock makes concurrent commits wait, and fail.
func (s *store) guard(b *batch, c *projections.Changes) {
	versions, err := json.Marshal(c.Versions)
	if err != nil { // never: a map of numbers
		versions = []byte("{}")
	}
	var a args
	log, to, text, after := a.bytes(string(c.Log)), a.big(int64(c.To)), a.text(string(versions)), a.big(int64(c.After))
	b.add(fmt.Sprintf(`WITH moved AS (
			UPDATE %s.state SET log = %[2]s, position = %[3]s, versions = %[4]s
			WHERE position = %[5]s AND log IN ('', %[2]s) AND NOT retired RETURNING 1)
		SELECT 1 / count(*) FROM moved`, s.schema, log, to, text, after), a, nil)
}

// split encodes rows, those that are certainly new apart from those that may be stored.
func split[Row any](t *table, copying bool, all []Row, isNew func(*Row) bool, encode func(*rows, *Row)) (fresh, stored *rows) {
	n := 0
	for i := range all {
		if isNew(&all[i]) {
			n++
		}
	}
	kinds := t.kinds()
	fresh, stored = newRows(kinds, copying), newRows(kinds, false)
	for i := range all {
		if isNew(&all[i]) {
			encode(fresh, &all[i])
			if fresh.count == 1 {
				fresh.reserve(n)
			}
		} else {
			encode(stored, &all[i])
		}
	}
	return fresh, stored
}

func upsert[Row any](b *batch, s *store, t *table, all []Row, encode func(*rows, *Row)) {
	if len(all) == 0 {
		return
	}
	r := newRows(t.kinds(), false)
	for i := range all {
		encode(r, &all[i])
	}
	var a args
	a.values, a.oids = r.params()
	b.add(t.upsertSQL(s.schema), a, nil)
}

// last keeps the last row of each key: one statement must not meet a key twice.
func last[Row any, Key comparable](all []Row, key func(Row) Key) []Row {
	if len(all) < 2 {
		return all
	}
	at := make(map[Key]int, len(all))
	out := make([]Row, 0, len(all))
	for _, row := range all {
		k := key(row)
		if i, ok := at[k]; ok {
			out[i] = row
			continue
		}
		at[k] = len(out)
		out = append(out, row)
	}
	return out
}
