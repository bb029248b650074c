package kurrentdb

import (
	"context"
	"sync"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"

	"quipu/domain"
)

// heads remembers how much of $all has been looked at for the newest event of ours.
type heads struct {
	mu   sync.Mutex
	seen cursor          // everything up to here was looked at
	head domain.Position // the newest of ours in it
}

func (h *heads) get() (cursor, domain.Position) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.seen, h.head
}

func (h *heads) note(seen cursor, head domain.Position) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.seen.begun || seen.commit > h.seen.commit {
		h.seen = seen
	}
	h.head = max(h.head, head)
}

// Head implements commands.Log: the position of the newest event of ours. $all is read backwards up to it,
// or up to what was looked at before: beside a busy neighbour the first call takes a while.
func (l *Log) Head(ctx context.Context) (domain.Position, error) {
	if err := l.usable(ctx, "read the head of", "log"); err != nil {
		return 0, err
	}
	known, head := l.heads.get()
	var newest cursor
	var at esdb.AllPosition = esdb.End{}
	for count := uint64(8); ; count = scanEventsMax {
		found, err := l.lookBack(ctx, at, count, known)
		if err != nil {
			return 0, callers(ctx, err, "log")
		}
		if !newest.begun {
			newest = found.first
		}
		if found.done {
			head = max(head, found.head)
			l.heads.note(newest, head)
			return head, nil
		}
		at = esdb.Position{Commit: found.last.commit, Prepare: found.last.commit}
	}
}

// lookedBack is what a reading backwards met.
type lookedBack struct {
	head        domain.Position // of ours, 0 for none
	first, last cursor          // of all
	done        bool            // nothing further back can matter
}

func (l *Log) lookBack(ctx context.Context, at esdb.AllPosition, count uint64, known cursor) (lookedBack, error) {
	ctx, cancel := l.limited(ctx)
	defer cancel()
	return again(ctx, l, "read the head of", "log", func(ctx context.Context, c *esdb.Client) (b lookedBack, err error) {
		reading, err := c.ReadAll(ctx, esdb.ReadAllOptions{Direction: esdb.Backwards, From: at}, count)
		if err != nil {
			return b, err
		}
		seen := uint64(0)
		_, err = drain(reading, func(e *esdb.RecordedEvent) bool {
			seen++
			at := e.Position.Commit
			b.last = cursor{at, true}
			if !b.first.begun {
				b.first = b.last
			}
			r, ours := l.recorded(e)
			if ours {
				b.head = r.Position
			}
			b.done = ours || at <= l.created || known.begun && at <= known.commit
			return !b.done
		})
		b.done = b.done || seen < count
		return b, err
	})
}
