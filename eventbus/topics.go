package eventbus

import (
	"context"
	"slices"
	"sort"
	"sync"

	"quipu/domain"
)

// Bounds of what is held for the feeds of workflows.
const (
	// FeedEventsMax and FeedBytesMax bound the newest events held per followed workflow; a feed
	// further behind reads the log.
	FeedEventsMax = 256
	FeedBytesMax  = 256 << 10
	// FeedsBytesMax bounds what is held for all of them; at it the events of some are let go.
	FeedsBytesMax = 32 << 20
)

// topics hold the newest events of each followed workflow, once for all its feeds. Each feed goes
// through them with a cursor of its own, so that a slow one costs nothing and is never waited for.
//
// For each topic: every event of its workflow after `since`, up to `position`, is in events.
type topics struct {
	mu       sync.Mutex
	started  bool            // position means something
	position domain.Position // up to which all events have been handed on
	byID     map[string]*topic
	bytes    int
}

type topic struct {
	feeds  []*Feed
	since  domain.Position
	events []Shared // in order
	bytes  int
}

func newTopics() *topics { return &topics{byID: map[string]*topic{}} }

func (t *topics) add(id string, f *Feed) {
	t.mu.Lock()
	defer t.mu.Unlock()
	p := t.byID[id]
	if p == nil {
		p = &topic{since: t.position}
		t.byID[id] = p
	}
	p.feeds = append(p.feeds, f)
}

func (t *topics) remove(id string, f *Feed) {
	t.mu.Lock()
	defer t.mu.Unlock()
	p := t.byID[id]
	if p == nil {
		return
	}
	if i := slices.Index(p.feeds, f); i >= 0 {
		p.feeds = slices.Delete(p.feeds, i, i+1)
	}
	if len(p.feeds) == 0 {
		t.bytes -= p.bytes
		delete(t.byID, id)
	}
}

// begin says that the log is followed from position on: what came before is in the log alone.
func (t *topics) begin(position domain.Position) {
	t.mu.Lock()
	t.started = true
	told := t.forget(position)
	t.mu.Unlock()
	wakeAll(told)
}

// forget lets go of everything up to position, and returns whom to tell. The caller holds mu.
func (t *topics) forget(position domain.Position) (told []*Feed) {
	t.position, t.bytes = position, 0
	for _, p := range t.byID {
		p.since, p.events, p.bytes = position, nil, 0
		told = append(told, p.feeds...)
	}
	return told
}

// publish hands on all events up to position, in the order of the log. One goroutine calls it.
func (t *topics) publish(ctx context.Context, o *owners, events []domain.Recorded, position domain.Position) {
	t.mu.Lock()
	if len(t.byID) == 0 {
		t.position = max(t.position, position)
		t.mu.Unlock()
		return
	}
	t.mu.Unlock()

	// Without the lock, since the log may be asked. A topic that is added meanwhile begins before
	// these events and is given them.
	var ids []string
	for i := range events {
		id, err := o.of(ctx, &events[i])
		if err != nil {
			// Whose events these are is not known: all feeds go to the log for them.
			t.mu.Lock()
			told := t.forget(max(t.position, position))
			t.mu.Unlock()
			wakeAll(told)
			return
		}
		ids = append(ids, id)
	}

	t.mu.Lock()
	var told []*Feed
	for i, id := range ids {
		p := t.byID[id]
		if p == nil {
			continue
		}
		if len(p.events) == 0 || p.events[len(p.events)-1].Recorded().Position <= t.position {
			told = append(told, p.feeds...) // the first of this batch
		}
		t.keep(p, &event{recorded: events[i], live: true})
	}
	t.position = max(t.position, position)
	if t.bytes > FeedsBytesMax {
		t.relieve()
	}
	t.mu.Unlock()
	wakeAll(told)
}

func (t *topics) keep(p *topic, e *event) {
	p.events = append(p.events, e)
	p.bytes += size(e)
	t.bytes += size(e)
	if len(p.events) <= FeedEventsMax && p.bytes <= FeedBytesMax {
		return
	}
	// A quarter at once, so that the copy below is paid for by many events.
	drop := 0
	for len(p.events)-drop > FeedEventsMax*3/4 || p.bytes > FeedBytesMax*3/4 && drop < len(p.events) {
		gone := p.events[drop]
		p.since = gone.Recorded().Position
		p.bytes -= size(gone)
		t.bytes -= size(gone)
		drop++
	}
	// A copy: feeds may still hold parts of the old one.
	p.events = append(make([]Shared, 0, FeedEventsMax/2), p.events[drop:]...)
}

// relieve lets go of some topics' events until half the bound is free. The caller holds mu.
func (t *topics) relieve() {
	for _, p := range t.byID {
		if len(p.events) == 0 {
			continue
		}
		t.bytes -= p.bytes
		p.since, p.events, p.bytes = p.events[len(p.events)-1].Recorded().Position, nil, 0
		if t.bytes <= FeedsBytesMax/2 {
			return
		}
	}
}

// lookup returns what is held of a workflow after a position, at most max events, and the position up
// to which that is all there is. ok is false if something after the position is not held; since then
// says from where on it is, and is no more than the log's head.
func (t *topics) lookup(id string, after domain.Position, max int) (events []Shared, upTo, since domain.Position, ok bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	p := t.byID[id]
	if p == nil || !t.started || after < p.since {
		if p != nil {
			since = p.since
		}
		return nil, 0, since, false
	}
	i := sort.Search(len(p.events), func(i int) bool { return p.events[i].Recorded().Position > after })
	events = p.events[i:min(i+max, len(p.events))]
	if i+len(events) < len(p.events) {
		return events[:len(events):len(events)], events[len(events)-1].Recorded().Position, p.since, true
	}
	return events[:len(events):len(events)], t.position, p.since, true
}

func wakeAll(feeds []*Feed) {
	for _, f := range feeds {
		f.notify()
	}
}
