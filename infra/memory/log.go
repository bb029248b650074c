package memory

import (
	"bytes"
	"context"
	"strings"
	"sync"

	"github.com/google/uuid"

	"quipu/commands"
	"quipu/domain"
)

// Log is commands.Log on the heap: the reference that every other log is compared with, and the
// log of tests and simulations. Nothing survives Close.
//
// Concurrency: safe. It starts no goroutine.
type Log struct {
	id domain.LogID

	mu      sync.Mutex
	closed  bool
	events  []domain.Recorded // position p is events[p-1]
	streams map[domain.StreamID][]int
	changed chan struct{} // closed and replaced by every append and by Close
}

var _ commands.Log = (*Log)(nil)

// LogOption changes how NewLog builds a Log.
type LogOption func(*Log)

// WithID fixes the log's id; without it the id is a random UUID.
func WithID(id domain.LogID) LogOption { return func(l *Log) { l.id = id } }

// NewLog returns an empty log.
func NewLog(opts ...LogOption) *Log {
	l := &Log{
		id:      domain.LogID(uuid.NewString()),
		streams: map[domain.StreamID][]int{},
		changed: make(chan struct{}),
	}
	for _, o := range opts {
		o(l)
	}
	return l
}

// ID implements commands.Log.
func (l *Log) ID() domain.LogID { return l.id }

// Append implements commands.Log.
func (l *Log) Append(ctx context.Context, stream domain.StreamID, expected domain.Revision, events []domain.Pending) (commands.Appended, error) {
	if err := domain.CheckAppend(stream, expected, events); err != nil {
		return commands.Appended{}, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.usable(ctx, "append to", string(stream)); err != nil {
		return commands.Appended{}, err
	}
	places := l.streams[stream]
	head := domain.Revision(len(places)) - 1
	if head != expected {
		return l.repeat(stream, expected, head, events)
	}
	stream = domain.StreamID(strings.Clone(string(stream)))
	for i := range events {
		e := &events[i]
		places = append(places, len(l.events))
		l.events = append(l.events, domain.Recorded{
			Stream:   stream,
			Revision: expected + 1 + domain.Revision(i),
			Position: domain.Position(len(l.events) + 1),
			ID:       e.ID,
			Type:     strings.Clone(e.Type),
			Metadata: bytes.Clone(e.Metadata),
			Data:     bytes.Clone(e.Data),
		})
	}
	l.streams[stream] = places
	l.broadcast()
	return commands.Appended{Revision: domain.Revision(len(places)) - 1, Position: domain.Position(len(l.events))}, nil
}

// repeat answers an append whose expected revision is not the head: with the earlier outcome if
// the stored events carry these ids, else with a conflict.
func (l *Log) repeat(stream domain.StreamID, expected, head domain.Revision, events []domain.Pending) (commands.Appended, error) {
	places := l.streams[stream]
	last := expected + domain.Revision(len(events))
	same := last <= head
	for i := 0; same && i < len(events); i++ {
		same = l.events[places[int(expected)+1+i]].ID == events[i].ID
	}
	if !same {
		return commands.Appended{}, domain.E(domain.KindConflict, "append to", string(stream), "is not at the expected revision").
			WithDetails(map[string]any{"expected": int64(expected), "head": int64(head)})
	}
	return commands.Appended{Revision: last, Position: l.events[places[last]].Position}, nil
}

// ReadStream implements commands.Log.
func (l *Log) ReadStream(ctx context.Context, stream domain.StreamID, from domain.Revision, max int) ([]domain.Recorded, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	places, err := l.stream(ctx, stream, max)
	if err != nil {
		return nil, err
	}
	var p page
	for i := int(clamp(from, 0, domain.Revision(len(places)))); i < len(places); i++ {
		if !p.add(l.events[places[i]], max) {
			break
		}
	}
	return p.events, nil
}

// ReadStreamBackward implements commands.Log.
func (l *Log) ReadStreamBackward(ctx context.Context, stream domain.StreamID, from domain.Revision, max int) ([]domain.Recorded, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	places, err := l.stream(ctx, stream, max)
	if err != nil {
		return nil, err
	}
	var p page
	for i := int(clamp(from, -1, domain.Revision(len(places))-1)); i >= 0; i-- {
		if !p.add(l.events[places[i]], max) {
			break
		}
	}
	return p.events, nil
}

func (l *Log) stream(ctx context.Context, stream domain.StreamID, max int) ([]int, error) {
	if err := l.usable(ctx, "read", string(stream)); err != nil {
		return nil, err
	}
	if err := checkMax("read", string(stream), max); err != nil {
		return nil, err
	}
	places := l.streams[stream]
	if len(places) == 0 {
		return nil, domain.E(domain.KindNotFound, "read", string(stream), "no such stream")
	}
	return places, nil
}

// ReadAll implements commands.Log.
func (l *Log) ReadAll(ctx context.Context, after domain.Position, max int) ([]domain.Recorded, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.usable(ctx, "read", "log"); err != nil {
		return nil, err
	}
	if err := checkMax("read", "log", max); err != nil {
		return nil, err
	}
	return l.after(after, max), nil
}

func (l *Log) after(after domain.Position, max int) []domain.Recorded {
	var p page
	for i := uint64(after); i < uint64(len(l.events)); i++ {
		if !p.add(l.events[i], max) {
			break
		}
	}
	return p.events
}

// Head implements commands.Log.
func (l *Log) Head(ctx context.Context) (domain.Position, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.usable(ctx, "head of", "log"); err != nil {
		return 0, err
	}
	return domain.Position(len(l.events)), nil
}

// Close implements commands.Log.
func (l *Log) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.closed {
		l.closed = true
		l.broadcast()
	}
	return nil
}

func (l *Log) broadcast() {
	close(l.changed)
	l.changed = make(chan struct{})
}

// usable reports why nothing can be done: the log is closed or ctx is over. The caller holds mu.
func (l *Log) usable(ctx context.Context, op, subject string) error {
	if l.closed {
		return domain.E(domain.KindUnavailable, op, subject, "the log is closed")
	}
	return contextError(ctx, op, subject)
}

func contextError(ctx context.Context, op, subject string) error {
	switch err := ctx.Err(); err {
	case nil:
		return nil
	case context.DeadlineExceeded:
		return domain.Wrap(domain.KindDeadline, op, subject, err)
	default:
		return domain.Wrap(domain.KindCanceled, op, subject, err)
	}
}

func checkMax(op, subject string, max int) error {
	if max < 1 {
		return domain.E(domain.KindInvalid, op, subject, "max must be at least 1")
	}
	return nil
}

func clamp(r, low, high domain.Revision) domain.Revision { return min(max(r, low), high) }

// page collects events within the bounds of one read.
type page struct {
	events []domain.Recorded
	bytes  int
}

// add takes e unless the page is full, and reports whether it did.
func (p *page) add(e domain.Recorded, max int) bool {
	n := len(e.Data) + len(e.Metadata)
	if len(p.events) == max || len(p.events) > 0 && p.bytes+n > commands.ReadBytesMax {
		return false
	}
	p.events = append(p.events, e)
	p.bytes += n
	return true
}
