package kurrentdb

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"

	"quipu/commands"
	"quipu/domain"
)

// batchEventsMax bounds the events that one Next looks at.
const batchEventsMax = 1000

// subscription reads the ring, and the server while it is behind the ring.
type subscription struct {
	log    *Log
	prefix string
	after  domain.Position
	at     cursor // the place in $all that after has come to, or beyond through what others wrote
	count  int    // how many events to read at once: more while they are of others
	closed chan struct{}
	once   sync.Once
}

// Subscribe implements commands.Log.
func (l *Log) Subscribe(ctx context.Context, after domain.Position, prefix string) (commands.Subscription, error) {
	head, err := l.Head(ctx)
	if err != nil {
		return nil, err
	}
	if after > head {
		return nil, domain.E(domain.KindInvalid, "subscribe to", "log", "the position lies beyond the head")
	}
	l.feed.start(head)
	if l.closed() {
		return nil, closedError("subscribe to", "log")
	}
	return &subscription{log: l, prefix: strings.Clone(prefix), after: after, at: l.cursorAt(after), count: wanted(batchEventsMax), closed: make(chan struct{})}, nil
}

// Close implements commands.Subscription.
func (s *subscription) Close() error {
	s.once.Do(func() { close(s.closed) })
	return nil
}

// Next implements commands.Subscription. While the server is away it waits.
func (s *subscription) Next(ctx context.Context) (commands.Batch, error) {
	for failures := 0; ; {
		if err := s.usable(ctx); err != nil {
			return commands.Batch{}, err
		}
		b, changed, behind := s.fromRing()
		if !behind && changed == nil {
			return b, nil
		}
		if !behind {
			select {
			case <-changed:
			case <-s.closed:
			case <-s.log.stop:
			case <-ctx.Done():
			}
			continue
		}
		b, err := s.fromServer(ctx)
		switch {
		case err == nil && b.Position > 0:
			return b, nil
		case err == nil:
			failures = 0 // it looked through what others wrote
		case errors.Is(err, domain.ErrCorrupt):
			return commands.Batch{}, err
		default:
			failures++
			s.wait(ctx, failures)
		}
	}
}

func (s *subscription) usable(ctx context.Context) error {
	select {
	case <-s.closed:
		return domain.E(domain.KindUnavailable, "follow", "log", "the subscription is closed")
	default:
		return s.log.usable(ctx, "follow", "log")
	}
}

// wait passes the time after a failure.
func (s *subscription) wait(ctx context.Context, failures int) {
	ctx, cancel := context.WithTimeout(ctx, s.log.options.backoff(failures))
	defer cancel()
	select {
	case <-ctx.Done():
	case <-s.closed:
	case <-s.log.stop:
	}
}

// fromRing takes the next batch from the ring, or the channel to wait on; behind says that the ring no
// longer holds it.
func (s *subscription) fromRing() (b commands.Batch, changed <-chan struct{}, behind bool) {
	f := s.log.feed
	f.mu.Lock()
	defer f.mu.Unlock()
	if s.after < f.low {
		return b, nil, true
	}
	i, _ := slices.BinarySearchFunc(f.ring, s.after+1, func(r domain.Recorded, p domain.Position) int {
		if r.Position < p {
			return -1
		}
		return 1
	})
	if i == len(f.ring) {
		return b, f.changed, false
	}
	var p page
	for ; i < len(f.ring) && p.add(f.ring[i], batchEventsMax); i++ { //nolint:revive // add says when to stop
	}
	b = s.batch(p.events)
	b.CaughtUp = b.Position >= f.known
	s.after, s.at = b.Position, cursor{commit(b.Position), true}
	return b, nil, false
}

// fromServer reads the next batch from the server. A batch without position says that it came no further
// than through events of others.
func (s *subscription) fromServer(ctx context.Context) (commands.Batch, error) {
	select {
	case s.log.history <- struct{}{}:
		defer func() { <-s.log.history }()
	case <-ctx.Done():
		return commands.Batch{}, overdue(ctx, "follow", "log")
	case <-s.closed:
		return commands.Batch{}, nil
	case <-s.log.stop:
		return commands.Batch{}, nil
	}
	var p page
	done, err := s.log.scan(ctx, s.at, &p, batchEventsMax, s.count)
	if err != nil {
		return commands.Batch{}, err
	}
	s.at = done.next
	if len(p.events) == 0 {
		if done.end {
			// The ring is ahead of what this read found, so a reading that lags answered it.
			return commands.Batch{}, domain.E(domain.KindUnavailable, "follow", "log", "the server shows less than it did before")
		}
		s.count = min(2*s.count, scanEventsMax+1)
		return commands.Batch{}, nil
	}
	s.count = wanted(batchEventsMax)
	b := s.batch(p.events)
	f := s.log.feed
	f.mu.Lock()
	b.CaughtUp = b.Position >= f.known // what the ring brought counts as known
	f.mu.Unlock()
	s.after = b.Position
	return b, nil
}

// batch keeps what the subscription is for.
func (s *subscription) batch(events []domain.Recorded) commands.Batch {
	b := commands.Batch{Position: events[len(events)-1].Position}
	for i := range events {
		if strings.HasPrefix(string(events[i].Stream), s.prefix) {
			b.Events = append(b.Events, events[i])
		}
	}
	return b
}
