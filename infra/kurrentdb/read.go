package kurrentdb

import (
	"context"
	"errors"
	"fmt"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"

	"quipu/commands"
	"quipu/domain"
)

const (
	// scanEventsMax bounds the events, of others too, that one reading of $all asks for.
	scanEventsMax = 2048
	// endRevision is above any revision of ours: a reading from there begins at the end, whatever a server
	// makes of numbers that large.
	endRevision = 1 << 31
)

// ReadStream implements commands.Log.
func (l *Log) ReadStream(ctx context.Context, stream domain.StreamID, from domain.Revision, max int) ([]domain.Recorded, error) {
	if err := l.checkRead(ctx, string(stream), max); err != nil {
		return nil, err
	}
	limited, cancel := l.limited(ctx)
	defer cancel()
	page, err := l.page(limited, stream, from, max)
	return page, callers(ctx, err, string(stream))
}

// ReadStreamBackward implements commands.Log.
func (l *Log) ReadStreamBackward(ctx context.Context, stream domain.StreamID, from domain.Revision, max int) ([]domain.Recorded, error) {
	if err := l.checkRead(ctx, string(stream), max); err != nil {
		return nil, err
	}
	limited, cancel := l.limited(ctx)
	defer cancel()
	if from < 0 {
		// Only whether it exists is to be told.
		_, err := l.page(limited, stream, 0, 1)
		return nil, callers(ctx, err, string(stream))
	}
	o := esdb.ReadStreamOptions{Direction: esdb.Backwards, From: esdb.Revision(uint64(from))}
	if from >= endRevision {
		o.From = esdb.End{}
	}
	page, err := l.read(limited, stream, o, max)
	return page, callers(ctx, err, string(stream))
}

// page is ReadStream with a ctx that has its time limit.
func (l *Log) page(ctx context.Context, stream domain.StreamID, from domain.Revision, max int) ([]domain.Recorded, error) {
	from = clampRevision(from)
	page, err := l.read(ctx, stream, esdb.ReadStreamOptions{From: esdb.Revision(uint64(from))}, max)
	if err == nil && len(page) > 0 && page[0].Revision != from {
		return nil, domain.E(domain.KindCorrupt, "read", string(stream),
			fmt.Sprintf("events %d to %d are gone from the server; was the stream truncated there?", from, page[0].Revision-1))
	}
	return page, err
}

func clampRevision(r domain.Revision) domain.Revision { return max(r, 0) }

// read reads one page of a stream in either direction, again if the connection fails under it.
func (l *Log) read(ctx context.Context, stream domain.StreamID, o esdb.ReadStreamOptions, max int) ([]domain.Recorded, error) {
	if stream == IDStream {
		return nil, domain.E(domain.KindNotFound, "read", string(stream), "no such stream")
	}
	return again(ctx, l, "read", string(stream), func(ctx context.Context, c *esdb.Client) ([]domain.Recorded, error) {
		var p page
		step := domain.Revision(1)
		if o.Direction == esdb.Backwards {
			step = -1
		}
		var gap error
		_, err := readStream(ctx, c, l.name(stream), o, uint64(max), func(e *esdb.RecordedEvent) bool {
			r, ok := l.recorded(e)
			if n := len(p.events); !ok || r.Stream != stream || n > 0 && r.Revision != p.events[n-1].Revision+step {
				gap = domain.E(domain.KindCorrupt, "read", string(stream),
					fmt.Sprintf("the server answered with event %d of stream %s out of its order", e.EventNumber, e.StreamID))
				return false
			}
			p.add(r, max)
			return len(p.events) < max && !p.full
		})
		return p.events, errors.Join(err, gap)
	})
}

// again calls f on the reading client until it succeeds, fails for good, or has been tried often enough.
func again[T any](ctx context.Context, l *Log, op, subject string, f func(context.Context, *esdb.Client) (T, error)) (T, error) {
	for try := 1; ; try++ {
		result, sent, err := call(ctx, l.reads, f)
		if err == nil {
			return result, nil
		}
		known := classify(err)
		if !sent {
			return result, domain.Wrap(domain.KindUnavailable, op, subject, plain(err))
		}
		if !known.again || ctx.Err() != nil || try == callAttemptsMax || !pause(ctx.Done(), l.options.backoff(try)) {
			return result, known.wrap(known.kind, op, subject, err)
		}
	}
}

// callers turns what failed because the caller's ctx ended into that.
func callers(ctx context.Context, err error, subject string) error {
	if err == nil || errors.Is(err, domain.ErrNotFound) || errors.Is(err, domain.ErrCorrupt) {
		return err
	}
	if over := overdue(ctx, "read", subject); over != nil {
		return over
	}
	return err
}

func (l *Log) checkRead(ctx context.Context, subject string, max int) error {
	if err := l.usable(ctx, "read", subject); err != nil {
		return err
	}
	if max < 1 {
		return domain.E(domain.KindInvalid, "read", subject, "max must be at least 1")
	}
	return nil
}

// ReadAll implements commands.Log. What others wrote in between is read and dropped.
func (l *Log) ReadAll(ctx context.Context, after domain.Position, max int) ([]domain.Recorded, error) {
	if err := l.checkRead(ctx, "log", max); err != nil {
		return nil, err
	}
	from := l.cursorAt(after)
	var p page
	for count := wanted(max); ; count = min(2*count, scanEventsMax+1) {
		s, err := l.scan(ctx, from, &p, max, count)
		if errors.Is(err, domain.ErrRefused) {
			// A server may take a position that it never gave out for a mistake, as it does beyond the end.
			if head, headErr := l.Head(ctx); headErr == nil && after >= head {
				return nil, nil
			}
		}
		if err != nil {
			return nil, callers(ctx, err, "log")
		}
		if s.end || p.full || len(p.events) == max {
			return p.events, nil
		}
		from = s.next
	}
}

// cursor is a place between two events of $all.
type cursor struct {
	commit uint64 // of the event before
	begun  bool   // there is one
}

// cursorAt is the place after a position. Nothing of ours stands before the log's id.
func (l *Log) cursorAt(after domain.Position) cursor {
	if after == 0 || commit(after) < l.created {
		return cursor{l.created, true}
	}
	return cursor{commit(after), true}
}

// scanned says how far a scan came.
type scanned struct {
	next cursor
	end  bool // there was nothing more
}

// wanted is how many events a reading asks for that is to find n of ours: the one at its beginning is not
// among them. The server sends ahead what is never taken, so that more is asked for only beside others.
func wanted(n int) int { return min(n, scanEventsMax) + 1 }

// scan reads on from a place in $all and adds what is ours to p: one reading of at most count events.
func (l *Log) scan(ctx context.Context, from cursor, p *page, max, count int) (scanned, error) {
	ctx, cancel := l.limited(ctx)
	defer cancel()
	count = min(count, scanEventsMax+1)
	type found struct {
		scanned
		page
	}
	result, err := again(ctx, l, "read", "log", func(ctx context.Context, c *esdb.Client) (found, error) {
		f := found{scanned: scanned{next: from}, page: page{events: p.events[:len(p.events):len(p.events)], bytes: p.bytes}}
		o := esdb.ReadAllOptions{From: esdb.Start{}}
		if from.begun {
			o.From = esdb.Position{Commit: from.commit, Prepare: from.commit}
		}
		reading, err := c.ReadAll(ctx, o, uint64(count))
		if err != nil {
			return f, err
		}
		seen, more := 0, true
		_, err = drain(reading, func(e *esdb.RecordedEvent) bool {
			seen++
			if from.begun && e.Position.Commit <= from.commit {
				return true // readings of $all include the event at their beginning
			}
			if r, ok := l.recorded(e); ok && !f.add(r, max) {
				more = false
				return false
			}
			f.next = cursor{e.Position.Commit, true}
			more = len(f.events) < max
			return more
		})
		f.end = more && seen < count
		return f, err
	})
	if err == nil {
		*p = result.page
	}
	return result.scanned, err
}

// page collects events within the bounds of one read.
type page struct {
	events []domain.Recorded
	bytes  int
	full   bool // of bytes
}

// add takes r unless the page is full, and reports whether it did.
func (p *page) add(r domain.Recorded, max int) bool {
	n := len(r.Data) + len(r.Metadata)
	if len(p.events) > 0 && p.bytes+n > commands.ReadBytesMax {
		p.full = true
	}
	if p.full || len(p.events) >= max {
		return false
	}
	p.events = append(p.events, r)
	p.bytes += n
	return true
}
