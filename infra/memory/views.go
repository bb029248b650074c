package memory

import (
	"context"
	"sync"

	"quipu/domain"
	"quipu/projections"
)

// Views keeps the read models on the heap, in plain maps and with linear scans: the reference that
// every other store of views is compared with. It implements projections.Generations and the
// queries of readapi.
//
// Concurrency: safe. It starts no goroutine.
type Views struct {
	db *viewsDB

	mu     sync.Mutex
	closed bool
}

var _ projections.Generations = (*Views)(nil)

// viewsDB is what handles share, as processes share a database.
type viewsDB struct {
	mu       sync.Mutex
	current  *generation
	building *generation
}

// NewViews returns an empty database.
func NewViews() *Views { return &Views{db: &viewsDB{}} }

// Again returns another handle on the same database, as another process has.
func (v *Views) Again() *Views { return &Views{db: v.db} }

// lock gives the database to the caller until unlock, unless nothing can be done.
func (v *Views) lock(ctx context.Context, op string) (unlock func(), err error) {
	v.mu.Lock()
	closed := v.closed
	v.mu.Unlock()
	if closed {
		return nil, domain.E(domain.KindUnavailable, op, "views", "the views are closed")
	}
	if err := contextError(ctx, op, "views"); err != nil {
		return nil, err
	}
	v.db.mu.Lock()
	return v.db.mu.Unlock, nil
}

// Current implements projections.Generations.
func (v *Views) Current(ctx context.Context) (projections.Store, error) {
	unlock, err := v.lock(ctx, "open")
	if err != nil {
		return nil, err
	}
	defer unlock()
	if v.db.current == nil {
		v.db.current = newGeneration()
	}
	return &viewsStore{v, v.db.current}, nil
}

// Begin implements projections.Generations.
func (v *Views) Begin(ctx context.Context) (projections.Store, error) {
	unlock, err := v.lock(ctx, "begin")
	if err != nil {
		return nil, err
	}
	defer unlock()
	v.db.building = newGeneration()
	return &viewsStore{v, v.db.building}, nil
}

// Promote implements projections.Generations.
func (v *Views) Promote(ctx context.Context, s projections.Store) error {
	unlock, err := v.lock(ctx, "promote")
	if err != nil {
		return err
	}
	defer unlock()
	g := s.(*viewsStore).gen
	if g != v.db.building {
		return gone("promote")
	}
	v.db.current, v.db.building = g, nil
	return nil
}

// Drop implements projections.Generations.
func (v *Views) Drop(ctx context.Context, s projections.Store) error {
	unlock, err := v.lock(ctx, "drop")
	if err != nil {
		return err
	}
	defer unlock()
	switch s.(*viewsStore).gen {
	case v.db.current:
		return domain.E(domain.KindConflict, "drop", "views", "the generation is the current one")
	case v.db.building:
		v.db.building = nil
	}
	return nil
}

// Close implements projections.Generations.
func (v *Views) Close() error {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.closed = true
	return nil
}

func gone(op string) error {
	return domain.E(domain.KindConflict, op, "views", "the generation was dropped or replaced")
}
