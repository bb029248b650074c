package eventbus

import (
	"context"
	"fmt"
	"sync"

	"quipu/domain"
)

// feedScansMax is how many feeds read the log at once; the others wait their turn for a page each.
const feedScansMax = 4

// feedScanEvents is the most events of one page of the log.
const feedScanEvents = 512

// Feed yields the events of one workflow and of all its runs from a position on, in the order of the
// log: history, then live, without gap or duplicate, while runs begin and end.
//
// History is one pass over the log from the position, which keeps no order of events by workflow. A
// feed that is caught up, or little behind, reads what is held for all feeds of the workflow.
//
// Live it sees what the hub does: with Options.Prefix set, only those streams.
//
// It belongs to one goroutine; Close may come from any.
type Feed struct {
	hub     *Hub
	id      string
	after   domain.Position
	refresh bool
	caught  bool // it was served from what is held
	notify  func()
	close   sync.Once

	mu   sync.Mutex // of what was said beside the events
	from []domain.StreamID
	said []any
}

// Feed opens a feed of a workflow after a position. notify is called when Poll may have something
// new; it must neither block nor call the hub.
func (h *Hub) Feed(workflowID string, after domain.Position, notify func()) *Feed {
	f := &Feed{hub: h, id: workflowID, after: after, notify: notify}
	h.topics.add(workflowID, f)
	return f
}

// Position is the position up to which everything has been yielded.
func (f *Feed) Position() domain.Position { return f.after }

// Refresh makes the next Poll look at the log, whatever the hub said.
func (f *Feed) Refresh() { f.refresh = true }

// Close leaves the hub. Idempotent.
func (f *Feed) Close() { f.close.Do(func() { f.hub.topics.remove(f.id, f) }) }

// Poll returns what can be had without waiting for events, at most Options.HistoryEvents from what is
// held or one page of the log. more says that it should be called again at once, also if there are
// no events: a page of the log may hold none of this workflow. Otherwise notify will be called.
// Errors: those of the log, after which Poll may be called again and nothing is skipped.
func (f *Feed) Poll(ctx context.Context) (events []Shared, more bool, err error) {
	events, upTo, since, held := f.hub.topics.lookup(f.id, f.after, f.hub.options.HistoryEvents)
	if held {
		f.caught = true
		f.after = max(f.after, upTo)
		if len(events) > 0 || !f.refresh {
			return events, len(events) > 0, nil
		}
	} else if f.caught {
		f.caught = false
		if lagged := f.hub.options.Hooks.Lagged; lagged != nil {
			lagged()
		}
	}
	page, err := f.scan(ctx)
	if err != nil {
		return nil, false, err
	}
	if len(page) > 0 {
		return f.own(ctx, page)
	}
	// The end of the log. Whatever came since is, or will be, held; before the hub's first
	// connection it tells everyone when that is there.
	f.refresh = false
	f.after = max(f.after, since)
	_, _, _, held = f.hub.topics.lookup(f.id, f.after, 1)
	return nil, held, nil
}

func (f *Feed) scan(ctx context.Context) ([]domain.Recorded, error) {
	select {
	case f.hub.scans <- struct{}{}:
		defer func() { <-f.hub.scans }()
	case <-ctx.Done():
		return nil, domain.Wrap(domain.KindCanceled, "follow", f.id, ctx.Err())
	}
	return f.hub.log.ReadAll(ctx, f.after, feedScanEvents)
}

// own picks what is of this workflow, and moves on only when all is known.
func (f *Feed) own(ctx context.Context, page []domain.Recorded) ([]Shared, bool, error) {
	var out []Shared
	last := f.after
	for i := range page {
		if page[i].Position <= last {
			return nil, false, domain.E(domain.KindCorrupt, "follow", f.id,
				fmt.Sprintf("the log gave position %d after %d", page[i].Position, last))
		}
		last = page[i].Position
		id, err := f.hub.owners.of(ctx, &page[i])
		if err != nil {
			return nil, false, err
		}
		if id == f.id {
			out = append(out, &event{recorded: page[i]})
		}
	}
	f.after = last
	return out, true, nil
}
