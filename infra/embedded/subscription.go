package embedded

import (
	"context"
	"slices"
	"strings"
	"sync"

	"quipu/commands"
	"quipu/domain"
)

// Bounds of what one Next considers.
const (
	nextEventsMax   = 512     // events returned from files, about
	nextBytesMax    = 1 << 20 // bytes read from files, about
	nextCommitsMax  = 64      // commits looked at in memory
	nextScannedMax  = 8       // pages of files without a match before progress is reported
	nextReturnAtMin = 256     // matching events from memory after which a batch is returned
)

// subscription pulls: nothing is kept for it, so however slow it is it costs the log nothing. It
// reads memory while what comes next is there, else the files.
type subscription struct {
	log    *Log
	prefix string
	after  domain.Position
	cursor cursor

	once   sync.Once
	closed chan struct{}
}

// Subscribe implements commands.Log.
func (l *Log) Subscribe(ctx context.Context, after domain.Position, prefix string) (commands.Subscription, error) {
	done, err := l.begin(ctx, "subscribe to", "log", 1)
	if err != nil {
		return nil, err
	}
	defer done()
	if after > l.head() {
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
	select {
	case <-s.closed:
		return commands.Batch{}, nil, domain.E(domain.KindUnavailable, "follow", "log", "the subscription is closed")
	default:
	}
	l := s.log
	done, err := l.begin(ctx, "follow", "log", 1)
	if err != nil {
		return commands.Batch{}, nil, err
	}
	defer done()
	for {
		head := l.head()
		if s.after < head {
			b, err := s.read(ctx, head)
			return b, nil, err
		}
		if changed := l.tail.wait(s.after); changed != nil {
			return commands.Batch{}, changed, nil
		}
	}
}

// read returns what is between s.after and head, as much as one batch may hold. On an error
// nothing is skipped.
func (s *subscription) read(ctx context.Context, head domain.Position) (commands.Batch, error) {
	l := s.log
	var events []domain.Recorded
	owned := false // events is ours to append to
	after := s.after
	finish := func() commands.Batch {
		s.after = after
		return commands.Batch{Events: events, Position: after, CaughtUp: after == head}
	}
	for looked := 0; after < head; looked++ {
		if c := l.recent.after(after); c != nil {
			all := c.recorded(l.types)
			matching := s.matching(all[after+1-c.first:])
			after = c.last()
			switch {
			case events == nil:
				events = matching // shared, as the contract says
			case !owned:
				// Others follow: room for as many again, and then for as many as come.
				events, owned = append(slices.Grow(slices.Clone(events), len(events)+len(matching)), matching...), true
			default:
				events = append(events, matching...)
			}
			if len(events) >= nextReturnAtMin || looked >= nextCommitsMax {
				break
			}
			continue
		}
		if len(events) > 0 {
			break
		}
		page, err := l.history(ctx, &s.cursor, after, head, s.prefix, nextEventsMax, nextBytesMax)
		if err != nil {
			return commands.Batch{}, err
		}
		after = s.cursor.last
		if events = page; len(events) > 0 || looked >= nextScannedMax {
			break
		}
	}
	return finish(), nil
}

// matching returns the events whose stream has the prefix, without copying if that is all.
func (s *subscription) matching(events []domain.Recorded) []domain.Recorded {
	if s.prefix == "" {
		return events[:len(events):len(events)]
	}
	var matching []domain.Recorded
	for i := range events {
		if strings.HasPrefix(string(events[i].Stream), s.prefix) {
			matching = append(matching, events[i])
		}
	}
	return matching
}

// Close implements commands.Subscription.
func (s *subscription) Close() error {
	s.once.Do(func() { close(s.closed) })
	return nil
}
