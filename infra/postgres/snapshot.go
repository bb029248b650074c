package postgres

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"sync"

	"github.com/jackc/pgx/v5/pgxpool"

	"quipu/domain"
	"quipu/projections"
	"quipu/projections/view"
)

// fetchRows is how many rows a snapshot holds at a time.
const fetchRows = 128

// snapshot is a transaction that reads one generation through cursors.
type snapshot struct {
	s     *store
	state projections.State

	mu      sync.Mutex // one statement at a time
	conn    *pgxpool.Conn
	cursors int
}

// Snapshot implements projections.Store.
func (s *store) Snapshot(ctx context.Context) (projections.Snapshot, error) {
	bounded, cancel := context.WithTimeout(ctx, s.v.o.CommitTimeout)
	defer cancel()
	conn, err := s.v.keepers.Acquire(bounded)
	if err != nil {
		return nil, translate(ctx, "snapshot", "views", err)
	}
	out := &snapshot{s: s, conn: conn}
	var h head
	var parked int
	var b batch
	b.add("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY", args{}, nil)
	askHead(&b, s.schema, &h)
	s.countParked(&b, &parked)
	err = translate(ctx, "snapshot", "views", b.run(bounded, conn.Conn().PgConn()))
	if err == nil && h.retired {
		err = gone("snapshot")
	}
	if err == nil {
		out.state, err = h.state(parked)
	}
	if err != nil {
		return nil, errors.Join(err, out.Close())
	}
	return out, nil
}

// State implements projections.Snapshot.
func (s *snapshot) State() projections.State { return s.state }

// Close implements projections.Snapshot. Closing twice does nothing.
func (s *snapshot) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.conn != nil {
		s.conn.Release() // in the middle of a transaction: the pool ends the connection, and with it that
		s.conn = nil
	}
	return nil
}

// run sends a batch, unless the snapshot is closed.
func (s *snapshot) run(ctx context.Context, b *batch) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.conn == nil {
		return domain.E(domain.KindUnavailable, "read", "snapshot of the views", "the snapshot is closed")
	}
	bounded, cancel := context.WithTimeout(ctx, s.s.v.o.CommitTimeout)
	defer cancel()
	return translate(ctx, "read", "snapshot of the views", b.run(bounded, s.conn.Conn().PgConn()))
}

func all[Row any](ctx context.Context, s *snapshot, t *table, order string, decode func(*record) Row) iter.Seq2[Row, error] {
	return func(yield func(Row, error) bool) {
		s.mu.Lock()
		s.cursors++
		cursor := fmt.Sprintf("c%d", s.cursors)
		s.mu.Unlock()
		var page []Row
		handle := func(r *record) { page = append(page, decode(r)) }
		var b batch
		b.add(fmt.Sprintf("DECLARE %s NO SCROLL CURSOR FOR SELECT %s FROM %s.%s ORDER BY %s", cursor, t.list(""), s.s.schema, t.name, order), args{}, nil)
		for {
			b.add(fmt.Sprintf("FETCH FORWARD %d FROM %s", fetchRows, cursor), args{}, handle)
			if err := s.run(ctx, &b); err != nil {
				var none Row
				yield(none, err)
				return
			}
			for _, row := range page {
				if !yield(row, nil) {
					return // the cursor ends with the snapshot
				}
			}
			if len(page) < fetchRows {
				return
			}
			page, b = nil, batch{}
		}
	}
}

// Executions implements projections.Snapshot.
func (s *snapshot) Executions(ctx context.Context) iter.Seq2[view.Execution, error] {
	return all(ctx, s, &executions, "position", (*record).execution)
}

// Statuses implements projections.Snapshot.
func (s *snapshot) Statuses(ctx context.Context) iter.Seq2[view.StatusInterval, error] {
	return all(ctx, s, &statuses, statuses.key, (*record).status)
}

// Tasks implements projections.Snapshot.
func (s *snapshot) Tasks(ctx context.Context) iter.Seq2[view.Task, error] {
	return all(ctx, s, &tasks, tasks.key, (*record).task)
}

// Approvals implements projections.Snapshot.
func (s *snapshot) Approvals(ctx context.Context) iter.Seq2[view.Approval, error] {
	return all(ctx, s, &approvals, "position", (*record).approval)
}

// Events implements projections.Snapshot.
func (s *snapshot) Events(ctx context.Context) iter.Seq2[view.Event, error] {
	return all(ctx, s, &events, events.key, (*record).event)
}

// Workflows implements projections.Snapshot.
func (s *snapshot) Workflows(ctx context.Context) iter.Seq2[view.Workflow, error] {
	return all(ctx, s, &workflows, "position", (*record).workflow)
}

// WorkflowVersions implements projections.Snapshot.
func (s *snapshot) WorkflowVersions(ctx context.Context) iter.Seq2[view.WorkflowVersion, error] {
	return all(ctx, s, &versions, versions.key, (*record).version)
}

// Names implements projections.Snapshot.
func (s *snapshot) Names(ctx context.Context) iter.Seq2[view.Name, error] {
	return all(ctx, s, &names, names.key, (*record).name)
}

// Endpoints implements projections.Snapshot.
func (s *snapshot) Endpoints(ctx context.Context) iter.Seq2[view.Endpoint, error] {
	return all(ctx, s, &endpoints, endpoints.key, (*record).endpoint)
}
