package sqlite

import (
	"context"
	"database/sql"
	"errors"

	"quipu/domain"
	"quipu/projections"
	"quipu/projections/view"
)

// store is a generation as projectors write it. It opens the file only while it is used.
type store struct {
	v      *Views
	number int
}

// enter opens the generation until its release, unless it was dropped or replaced.
func (s *store) enter(ctx context.Context, op string) (*generation, error) {
	if err := s.v.usable(ctx, op); err != nil {
		return nil, err
	}
	p, err := s.v.pointer()
	if err != nil {
		return nil, err
	}
	if !s.wanted(p) {
		return nil, errGone(op)
	}
	g, err := s.v.hold(ctx, s.number)
	if err != nil {
		if p, perr := s.v.pointer(); replaceable(err) || perr == nil && !s.wanted(p) {
			return nil, errGone(op)
		}
	}
	return g, err
}

func (s *store) read(ctx context.Context, op string, f func(r *reading) error) error {
	g, err := s.enter(ctx, op)
	if err != nil {
		return err
	}
	defer g.release()
	err = s.v.readOn(ctx, g, g.readers, s.wanted, f)
	if err == errReplaced { //nolint:errorlint // never wrapped
		return errGone(op)
	}
	return translate(ctx, op, err)
}

// wanted reports whether the generation is still there.
func (s *store) wanted(p pointer) bool { return s.number == p.Current || s.number == p.Building }

// State implements projections.Store.
func (s *store) State(ctx context.Context) (state projections.State, err error) {
	err = s.read(ctx, "state of", func(r *reading) error { state = r.state; return nil })
	return state, err
}

// Runs implements projections.Store.
func (s *store) Runs(ctx context.Context, ids []string) (map[string]projections.Run, error) {
	found := map[string]projections.Run{}
	err := s.read(ctx, "load", func(r *reading) error {
		row, err := r.tx.PrepareContext(ctx, "SELECT "+executionColumns+" FROM "+executionTables+" WHERE e.id = ?")
		if err != nil {
			return err
		}
		for _, id := range ids {
			if _, ok := found[id]; ok {
				continue
			}
			e, ok, err := one(ctx, row, func(rows *sql.Rows) (view.Execution, error) { return r.scanExecution(ctx, rows) }, idOf(id))
			if err != nil {
				return err
			}
			if !ok {
				continue
			}
			open, err := gather(ctx, r, taskSelect+" WHERE execution = ? AND ended_offset = -1", r.scanTask, at64(e.Position))
			if err != nil {
				return err
			}
			sortTasks(open)
			found[id] = projections.Run{Execution: e, Open: open}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return found, nil
}

// Workflows implements projections.Store.
func (s *store) Workflows(ctx context.Context, ids []string) (map[string]view.Workflow, error) {
	found := map[string]view.Workflow{}
	err := s.read(ctx, "load", func(r *reading) error {
		row, err := r.tx.PrepareContext(ctx, "SELECT "+workflowSelected+" FROM workflows w WHERE w.id = ?")
		if err != nil {
			return err
		}
		for _, id := range ids {
			f, ok, err := one(ctx, row, func(rows *sql.Rows) (view.Workflow, error) { return scanWorkflow(ctx, rows) }, idOf(id))
			if err != nil {
				return err
			}
			if ok {
				found[id] = f
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return found, nil
}

// Parked implements projections.Store.
func (s *store) Parked(ctx context.Context, max int) (all []view.Parked, err error) {
	err = s.read(ctx, "list parked", func(r *reading) error {
		all, err = gather(ctx, r, "SELECT position, projector, stream, revision, type, reason FROM parked ORDER BY position, projector LIMIT ?",
			func(_ context.Context, rows *sql.Rows) (p view.Parked, err error) {
				var position int64
				err = rows.Scan(&position, &p.Projector, &p.Stream, &p.Revision, &p.Type, &p.Reason)
				p.Position = domain.Position(position)
				return p, err
			}, max)
		return err
	})
	return all, err
}

// Commit implements projections.Store.
func (s *store) Commit(ctx context.Context, c projections.Changes) error {
	if c.To <= c.After {
		return domain.E(domain.KindInvalid, "commit", "views", "the batch does not move the checkpoint")
	}
	if s.v.opts.ReadOnly {
		return errReadOnly("commit")
	}
	g, err := s.enter(ctx, "commit")
	if err != nil {
		return err
	}
	defer g.release()
	g.commit.Lock()
	defer g.commit.Unlock()
	if g.writer == nil {
		if g.writer, err = openWriter(ctx, g); err != nil {
			return translate(ctx, "commit", err)
		}
	}
	broken, err := g.writer.commit(ctx, c)
	if broken {
		// A new connection begins with what is on disk.
		err = errors.Join(err)
		_ = g.writer.close()
		g.writer = nil
	}
	return err
}
