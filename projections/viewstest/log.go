package viewstest

import (
	"context"
	"sync"

	"quipu/domain"
	"quipu/projections/view"
)

// Log holds the events of a world for adapters that keep no copy of their bytes.
type Log struct {
	mu      sync.Mutex
	streams map[domain.StreamID][]domain.Recorded
}

// NewLog returns an empty log.
func NewLog() *Log { return &Log{streams: map[domain.StreamID][]domain.Recorded{}} }

// Add appends events of consecutive revisions.
func (l *Log) Add(events ...view.Event) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, e := range events {
		l.streams[e.Stream] = append(l.streams[e.Stream], e.Recorded)
	}
}

// ReadStream returns at most max events of a stream from a revision on, as commands.Log does.
func (l *Log) ReadStream(ctx context.Context, stream domain.StreamID, from domain.Revision, max int) ([]domain.Recorded, error) {
	if err := ctx.Err(); err != nil {
		return nil, domain.Wrap(domain.KindCanceled, "read", string(stream), err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	events, ok := l.streams[stream]
	if !ok {
		return nil, domain.E(domain.KindNotFound, "read", string(stream), "no such stream")
	}
	events = events[min(max0(from), len(events)):]
	return events[:min(max, len(events))], nil
}

func max0(r domain.Revision) int { return int(max(r, 0)) }

// next is the revision of the next event of a stream.
func (l *Log) next(stream domain.StreamID) domain.Revision {
	l.mu.Lock()
	defer l.mu.Unlock()
	return domain.Revision(len(l.streams[stream]))
}
