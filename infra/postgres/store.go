package postgres

import (
	"context"
	"encoding/json"
	"sync"

	"github.com/jackc/pgx/v5/pgxpool"

	"quipu/domain"
	"quipu/projections"
	"quipu/projections/view"
)

// store is one generation.
type store struct {
	v      *Views
	number int64
	schema string

	committing sync.Mutex
	shape      *shape // nil if it must be read
}

var _ projections.Store = (*store)(nil)

func newStore(v *Views, number int64) *store {
	return &store{v: v, number: number, schema: v.schema(number)}
}

// head is the row that every transaction reads first.
type head struct {
	view.Checkpoint
	versions string
	retired  bool
}

// askHead reads the head of a generation.
func askHead(b *batch, schema string, h *head) {
	b.add("SELECT log, position, versions, retired FROM "+schema+".state", args{}, func(r *record) {
		h.Log, h.Position, h.versions, h.retired = domain.LogID(r.text()), r.position(), r.text(), r.bool()
	})
}

// inSnapshot adds the statements of ask between those that open a read-only snapshot, in which no
// statement may take longer than the timeout, and its end.
func (v *Views) inSnapshot(b *batch, ask func(*batch)) {
	b.add("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY", args{}, nil)
	b.add(v.settingsSQL(), args{}, nil)
	ask(b)
	b.add("COMMIT", args{}, nil)
}

// send runs b on a connection of pool, which is left outside any transaction.
func send(ctx context.Context, pool *pgxpool.Pool, b *batch) error {
	conn, err := pool.Acquire(ctx)
	if err != nil {
		return err
	}
	defer conn.Release()
	err = b.run(ctx, conn.Conn().PgConn())
	if conn.Conn().PgConn().TxStatus() != 'I' && !conn.Conn().IsClosed() {
		// The transaction failed in the middle. If this fails, too, Release throws the connection away.
		_ = conn.Conn().PgConn().Exec(context.WithoutCancel(ctx), "ROLLBACK").Close()
	}
	return err
}

// read asks questions of one generation in one snapshot, on the connections of commits. ask may be
// called twice: answers begin empty.
func (s *store) read(ctx context.Context, op string, ask func(b *batch)) (h head, err error) {
	bounded, cancel := context.WithTimeout(ctx, s.v.o.CommitTimeout)
	defer cancel()
	for range 2 {
		var b batch
		s.v.inSnapshot(&b, func(b *batch) {
			askHead(b, s.schema, &h)
			ask(b)
		})
		if err = send(bounded, s.v.writers, &b); !cut(ctx, err) {
			break
		}
	}
	err = translate(ctx, op, "views", err)
	if err == nil && h.retired {
		err = gone(op)
	}
	return h, err
}

// State implements projections.Store.
func (s *store) State(ctx context.Context) (projections.State, error) {
	var parked int
	h, err := s.read(ctx, "state of", func(b *batch) { s.countParked(b, &parked) })
	if err != nil {
		return projections.State{}, err
	}
	return h.state(parked)
}

func (s *store) countParked(b *batch, n *int) {
	b.add("SELECT count(*) FROM "+s.schema+".parked", args{}, func(r *record) { *n = int(r.big()) })
}

func (h *head) state(parked int) (projections.State, error) {
	st := projections.State{Checkpoint: h.Checkpoint, Parked: parked}
	if h.Log == "" {
		return st, nil
	}
	if err := json.Unmarshal([]byte(h.versions), &st.Versions); err != nil {
		return projections.State{}, domain.Wrap(domain.KindCorrupt, "state of", "views", err)
	}
	return st, nil
}

// Runs implements projections.Store.
func (s *store) Runs(ctx context.Context, ids []string) (map[string]projections.Run, error) {
	runs := make(map[string]projections.Run, len(ids))
	if len(ids) == 0 {
		return runs, nil
	}
	id := make(map[domain.Position]string, len(ids))
	_, err := s.read(ctx, "load", func(b *batch) {
		clear(id)
		clear(runs)
		var a args
		list := a.list(ids)
		b.add("SELECT "+executions.list("")+" FROM "+s.schema+".executions WHERE id = ANY("+list+")", a, func(r *record) {
			e := r.execution()
			id[e.Position] = e.ID
			runs[e.ID] = projections.Run{Execution: e}
		})
		// An array rather than a join: the planner of a young database joins the wrong way round.
		b.add("SELECT "+tasks.list("")+" FROM "+s.schema+".tasks WHERE execution = ANY(ARRAY(SELECT position FROM "+s.schema+".executions"+
			" WHERE id = ANY("+list+"))) AND ended_offset = -1 ORDER BY execution, started_offset, task, iteration", a, func(r *record) {
			t := r.task()
			run := runs[id[t.Execution]]
			run.Open = append(run.Open, t)
			runs[id[t.Execution]] = run
		})
	})
	if err != nil {
		return nil, err
	}
	return runs, nil
}

// Workflows implements projections.Store.
func (s *store) Workflows(ctx context.Context, ids []string) (map[string]view.Workflow, error) {
	found := make(map[string]view.Workflow, len(ids))
	if len(ids) == 0 {
		return found, nil
	}
	_, err := s.read(ctx, "load", func(b *batch) {
		clear(found)
		var a args
		list := a.list(ids)
		b.add("SELECT "+workflows.list("")+" FROM "+s.schema+".workflows WHERE id = ANY("+list+")", a, func(r *record) {
			w := r.workflow()
			found[w.ID] = w
		})
	})
	if err != nil {
		return nil, err
	}
	return found, nil
}

// Parked implements projections.Store.
func (s *store) Parked(ctx context.Context, max int) (all []view.Parked, err error) {
	_, err = s.read(ctx, "list parked", func(b *batch) {
		all = nil
		var a args
		limit := a.big(int64(max))
		b.add("SELECT "+parked.list("")+" FROM "+s.schema+".parked ORDER BY position, projector LIMIT "+limit, a, func(r *record) {
			all = append(all, r.park())
		})
	})
	if err != nil {
		return nil, err
	}
	return all, nil
}
