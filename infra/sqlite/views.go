package sqlite

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"sync"

	"quipu/domain"
	"quipu/infra/durable"
	"quipu/projections"
)

// Views keeps the views in a folder. It implements projections.Generations and the queries of
// readapi.
//
// Concurrency: safe, also beside other processes on the same folder.
type Views struct {
	reg  registry
	log  EventLog
	opts Options

	mu     sync.Mutex
	closed bool
	gens   map[int]*generation // open ones
	swept  bool
}

var _ projections.Generations = (*Views)(nil)

// Open returns the views in dir, which is made when missing. It opens no file yet: each call says
// what it meets. Events are read from log. Errors: ErrInvalid for settings out of bounds.
func Open(dir string, log EventLog, o Options) (*Views, error) {
	if err := o.Validate(); err != nil {
		return nil, err
	}
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, durable.Failure("open", "views", err)
	}
	return &Views{reg: registry{dir}, log: log, opts: o.withDefaults(), gens: map[int]*generation{}}, nil
}

// usable says why nothing can be done.
func (v *Views) usable(ctx context.Context, op string) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.closed {
		return errClosed(op)
	}
	return contextError(ctx, op)
}

// pointer says which generations there are. Who only looks is told of a damaged registry; everybody
// else goes on as in a new folder.
func (v *Views) pointer() (pointer, error) {
	if v.opts.ReadOnly {
		return v.reg.read()
	}
	return v.reg.orNone()
}

// change runs f with the registry locked against others, and the pointer as it is.
func (v *Views) change(ctx context.Context, op string, f func(p pointer) error) error {
	if err := v.usable(ctx, op); err != nil {
		return err
	}
	if v.opts.ReadOnly {
		return errReadOnly(op)
	}
	unlock, err := v.reg.lock(ctx)
	if err != nil {
		return err
	}
	defer unlock()
	p, err := v.pointer()
	if err != nil {
		return err
	}
	return f(p)
}

// Current implements projections.Generations.
func (v *Views) Current(ctx context.Context) (projections.Store, error) {
	g, err := v.holdCurrent(ctx, "open")
	if err != nil {
		return nil, err
	}
	defer g.release()
	return &store{v, g.number}, nil
}

// holdCurrent opens the current generation and keeps it open until its release. It makes one in a new
// folder, and in place of a file that is gone or older than this program.
func (v *Views) holdCurrent(ctx context.Context, op string) (g *generation, err error) {
	for attempt := 1; ; attempt++ {
		if err := v.usable(ctx, op); err != nil {
			return nil, err
		}
		p, err := v.pointer()
		if err != nil {
			return nil, err
		}
		if p.Current == 0 || !v.isSwept() && !v.opts.ReadOnly {
			break
		}
		if g, err = v.hold(ctx, p.Current); err == nil {
			return g, nil
		}
		// A promotion may have removed the file between the two looks.
		if now, perr := v.pointer(); perr != nil || now.Current == p.Current || attempt == attemptsMax {
			if replaceable(err) {
				break
			}
			return nil, err
		}
	}
	if v.opts.ReadOnly {
		return nil, domain.E(domain.KindNotFound, op, "views", "there are none that this version can read; start a server on the folder")
	}
	err = v.change(ctx, op, func(p pointer) error {
		next, err := v.reg.sweep(p)
		if err != nil {
			return err
		}
		if p.Current != 0 {
			if g, err = v.hold(ctx, p.Current); !replaceable(err) {
				return err
			}
		}
		if err := v.make(ctx, next); err != nil {
			return err
		}
		if err := v.reg.write(pointer{Current: next, Building: p.Building}); err != nil {
			return err
		}
		g, err = v.hold(ctx, next)
		return err
	})
	if err != nil {
		return nil, err
	}
	v.mu.Lock()
	v.swept = true
	v.mu.Unlock()
	return g, nil
}

// isSwept reports whether leftovers were removed since Open.
func (v *Views) isSwept() bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.swept
}

// replaceable reports whether an empty generation should take the place of one that opened with err:
// views are derived, so a missing file is projected again.
func replaceable(err error) bool { return errors.Is(err, errOlder) || errors.Is(err, os.ErrNotExist) }

// make creates the file of a generation.
func (v *Views) make(ctx context.Context, number int) error {
	v.forget(number, false) // after a lost registry a number may come again
	err := create(ctx, v.reg.path(number), v.opts)
	if err == nil {
		if err := durable.SyncDir(v.reg.dir); err != nil {
			return durable.Failure("open", "views", err)
		}
		return nil
	}
	v.reg.remove(number)
	return translate(ctx, "open", err)
}

// hold returns an open generation, opening it if need be; release it.
func (v *Views) hold(ctx context.Context, number int) (*generation, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.closed {
		return nil, errClosed("open")
	}
	if g := v.gens[number]; g != nil && g.hold() {
		return g, nil
	}
	path := v.reg.path(number)
	if _, err := os.Stat(path); err != nil {
		if errors.Is(err, os.ErrNotExist) {
			return nil, os.ErrNotExist
		}
		return nil, durable.Failure("open", "views", err)
	}
	g, err := openGeneration(number, path, v.opts)
	if err != nil {
		return nil, translate(ctx, "open", err)
	}
	if err := g.check(ctx); err != nil {
		g.close()
		return nil, err
	}
	v.gens[number] = g
	g.hold()
	return g, nil
}

// forget retires a generation; its files go when its last reader left.
func (v *Views) forget(number int, remove bool) {
	v.mu.Lock()
	g := v.gens[number]
	delete(v.gens, number)
	v.mu.Unlock()
	after := func() {}
	if remove {
		after = func() { v.reg.remove(number) }
	}
	if g == nil {
		after()
		return
	}
	g.retire(after)
}

// Begin implements projections.Generations.
func (v *Views) Begin(ctx context.Context) (projections.Store, error) {
	var s *store
	err := v.change(ctx, "begin", func(p pointer) error {
		left := p.Building
		next, err := v.reg.sweep(p)
		if err != nil {
			return err
		}
		if err := v.make(ctx, next); err != nil {
			return err
		}
		p.Building = next
		if err := v.reg.write(p); err != nil {
			v.reg.remove(next)
			return err
		}
		if left != 0 {
			v.forget(left, true)
		}
		s = &store{v, next}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return s, nil
}

// Promote implements projections.Generations.
func (v *Views) Promote(ctx context.Context, ps projections.Store) error {
	s := ps.(*store)
	return v.change(ctx, "promote", func(p pointer) error {
		if p.Building != s.number {
			return errGone("promote")
		}
		if err := v.settle(ctx, s.number); err != nil {
			return err
		}
		if err := v.reg.write(pointer{Current: s.number}); err != nil {
			return err
		}
		if p.Current != 0 {
			v.forget(p.Current, true)
		}
		return nil
	})
}

// settle moves the write-ahead log of a generation into its file and onto the disk, so that losing
// power right after a promotion does not lose what the former generation had.
func (v *Views) settle(ctx context.Context, number int) error {
	g, err := v.hold(ctx, number)
	if err != nil {
		return err
	}
	defer g.release()
	g.commit.Lock()
	defer g.commit.Unlock()
	if g.writer == nil { // nothing was written by this process
		return nil
	}
	return translate(ctx, "promote", execute(context.WithoutCancel(ctx), g.writer.conn, "PRAGMA wal_checkpoint(TRUNCATE)"))
}

// Drop implements projections.Generations.
func (v *Views) Drop(ctx context.Context, ps projections.Store) error {
	s := ps.(*store)
	return v.change(ctx, "drop", func(p pointer) error {
		switch s.number {
		case p.Current:
			return domain.E(domain.KindConflict, "drop", "views", "the generation is the current one")
		case p.Building:
			p.Building = 0
			if err := v.reg.write(p); err != nil {
				return err
			}
			v.forget(s.number, true)
		}
		return nil
	})
}

// Close implements projections.Generations. Readings under way end first, each by itself.
func (v *Views) Close() error {
	v.mu.Lock()
	gens := v.gens
	v.gens, v.closed = nil, true
	v.mu.Unlock()
	for _, g := range gens {
		g.retire(nil)
	}
	return nil
}
