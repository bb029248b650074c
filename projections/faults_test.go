package projections_test

import (
	"context"
	"sync"

	"quipu/domain"
	"quipu/projections"
)

// faults wraps views so that calls fail as a test says.
type faults struct {
	projections.Generations

	mu     sync.Mutex
	open   func() error                                       // before Current
	state  func() error                                       // before State
	commit func(c projections.Changes, do func() error) error // instead of Commit
}

func (f *faults) set(change func(*faults)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change(f)
}

func (f *faults) Current(ctx context.Context) (projections.Store, error) {
	f.mu.Lock()
	open := f.open
	f.mu.Unlock()
	if open != nil {
		if err := open(); err != nil {
			return nil, err
		}
	}
	s, err := f.Generations.Current(ctx)
	return f.wrap(s), err
}

func (f *faults) Begin(ctx context.Context) (projections.Store, error) {
	s, err := f.Generations.Begin(ctx)
	return f.wrap(s), err
}

func (f *faults) Promote(ctx context.Context, s projections.Store) error {
	return f.Generations.Promote(ctx, s.(*faultyStore).Store)
}

func (f *faults) Drop(ctx context.Context, s projections.Store) error {
	return f.Generations.Drop(ctx, s.(*faultyStore).Store)
}

func (f *faults) wrap(s projections.Store) projections.Store {
	if s == nil {
		return nil
	}
	return &faultyStore{s, f}
}

type faultyStore struct {
	projections.Store
	f *faults
}

func (s *faultyStore) State(ctx context.Context) (projections.State, error) {
	s.f.mu.Lock()
	state := s.f.state
	s.f.mu.Unlock()
	if state != nil {
		if err := state(); err != nil {
			return projections.State{}, err
		}
	}
	return s.Store.State(ctx)
}

func (s *faultyStore) Commit(ctx context.Context, c projections.Changes) error {
	s.f.mu.Lock()
	commit := s.f.commit
	s.f.mu.Unlock()
	do := func() error { return s.Store.Commit(ctx, c) }
	if commit == nil {
		return do()
	}
	return commit(c, do)
}

func fault(kind domain.Kind) error { return domain.E(kind, "commit", "views", "as the test wants") }
