package memory

import (
	"context"
	"strings"

	"quipu/commands"
	"quipu/domain"
)

// batchEventsMax bounds the events one Next considers.
const batchEventsMax = 512

type subscription struct {
	log    *Log
	prefix string
	after  domain.Position
	closed chan struct{} // guarded by log.mu for closing
}

// Subscribe implements commands.Log.
func (l *Log) Subscribe(ctx context.Context, after domain.Position, prefix string) (commands.Subscription, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.usable(ctx, "subscribe to", "log"); err != nil {
		return nil, err
	}
	if uint64(after) > uint64(len(l.events)) {
		return nil, domain.E(domain.KindInvalid, "subscribe to", "log", "the position lies beyond the head")
	}
	return &subscription{log: l, prefix: strings.Clone(prefix), after: after, closed: make(chan struct{})}, nil
}

// Next implements commands.Subscription.
func (s *subscription) Next(ctx context.Context) (commands.Batch, error) {
	for {
		b, changed, err := s.step(ctx)
		if err != nil || changed == nil {
			return b, err
		}
		select {
		case <-changed:
		case <-s.closed:
		case <-ctx.Done():
		}
	}
}

// step returns the next batch, or the channel to wait on when there is none.
func (s *subscription) step(ctx context.Context) (commands.Batch, <-chan struct{}, error) {
	l := s.log
	l.mu.Lock()
	defer l.mu.Unlock()
	select {
	case <-s.closed:
		return commands.Batch{}, nil, domain.E(domain.KindUnavailable, "follow", "log", "the subscription is closed")
	default:
	}
	if err := l.usable(ctx, "follow", "log"); err != nil {
		return commands.Batch{}, nil, err
	}
	all := l.after(s.after, batchEventsMax)
	if len(all) == 0 {
		return commands.Batch{}, l.changed, nil
	}
	b := commands.Batch{Position: all[len(all)-1].Position}
	b.CaughtUp = uint64(b.Position) == uint64(len(l.events))
	for _, e := range all {
		if strings.HasPrefix(string(e.Stream), s.prefix) {
			b.Events = append(b.Events, e)
		}
	}
	s.after = b.Position
	return b, nil, nil
}

// Close implements commands.Subscription.
func (s *subscription) Close() error {
	s.log.mu.Lock()
	defer s.log.mu.Unlock()
	select {
	case <-s.closed:
	default:
		close(s.closed)
	}
	return nil
}
