package memory

import (
	"bytes"
	"context"
	"sync"

	"quipu/commands"
	"quipu/domain"
)

// Snapshots implements commands.Snapshots. The zero value is empty and ready; safe for concurrent use.
type Snapshots struct {
	mu     sync.Mutex
	byName map[string]snapshot
}

type snapshot struct {
	at   domain.Position
	data []byte
}

// Load implements commands.Snapshots.
func (s *Snapshots) Load(_ context.Context, name string) (domain.Position, []byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	have := s.byName[name]
	return have.at, have.data, nil
}

// Save implements commands.Snapshots.
func (s *Snapshots) Save(_ context.Context, name string, at domain.Position, data []byte) error {
	if err := commands.CheckSnapshot(name, data); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.byName == nil {
		s.byName = map[string]snapshot{}
	}
	if at > s.byName[name].at {
		s.byName[name] = snapshot{at: at, data: bytes.Clone(data)}
	}
	return nil
}
