package memory

import (
	"context"
	"sync"

	"quipu/domain"
	"quipu/eventbus"
)

// Checkpoints is the reference eventbus.Checkpoints. For serves one log each; all share what is kept.
type Checkpoints struct {
	mu *sync.Mutex
	at map[string]checkpoint
	// log is the one that this view is for.
	log domain.LogID
}

type checkpoint struct {
	log      domain.LogID
	position domain.Position
}

var _ eventbus.Checkpoints = (*Checkpoints)(nil)

// NewCheckpoints returns empty checkpoints for a log.
func NewCheckpoints(log domain.LogID) *Checkpoints {
	return &Checkpoints{mu: new(sync.Mutex), at: map[string]checkpoint{}, log: log}
}

// For returns the same checkpoints as they appear to a process with another log.
func (c *Checkpoints) For(log domain.LogID) *Checkpoints {
	return &Checkpoints{mu: c.mu, at: c.at, log: log}
}

// Load implements eventbus.Checkpoints.
func (c *Checkpoints) Load(ctx context.Context, name string) (domain.Position, error) {
	if err := eventbus.CheckCheckpoint(name, 0, 0); err != nil {
		return 0, err
	}
	if err := ctx.Err(); err != nil {
		return 0, domain.Wrap(domain.KindCanceled, "load checkpoint", name, err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	found, ok := c.at[name]
	if !ok {
		return 0, nil
	}
	return found.position, eventbus.CheckpointOfLog(name, found.log, c.log)
}

// Save implements eventbus.Checkpoints.
func (c *Checkpoints) Save(ctx context.Context, name string, from, to domain.Position) error {
	if err := eventbus.CheckCheckpoint(name, from, to); err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return domain.Wrap(domain.KindCanceled, "save checkpoint", name, err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	found, ok := c.at[name]
	if !ok {
		found.log = c.log
	}
	if err := eventbus.CheckpointOfLog(name, found.log, c.log); err != nil {
		return err
	}
	if found.position != from && found.position != to {
		return eventbus.CheckpointMoved(name, from, found.position)
	}
	c.at[name] = checkpoint{log: c.log, position: to}
	return nil
}
