package eventbus

import (
	"context"
	"fmt"

	"quipu/domain"
)

// Reader yields the events of one stream from a revision on: history, then live, in exact order,
// without gap or duplicate. A stream that does not exist yet is waited for.
//
// It subscribes first and reads history then, so nothing can fall between the two; where they
// overlap, events are told apart by revision. After an overflow or a gap it goes back to history.
//
// It belongs to one goroutine; Close may come from any.
type Reader struct {
	sub    *Subscriber
	stream domain.StreamID
	next   domain.Revision // the first not yielded
	behind bool            // the log may hold something that the queue does not
	wake   chan struct{}   // only for Next
}

// Reader opens a reading of stream from revision from on (below 0: from the start). notify is
// called when Poll may have something new; it must not block. With a nil notify use Next.
func (h *Hub) Reader(stream domain.StreamID, from domain.Revision, notify func()) *Reader {
	r := &Reader{stream: stream, next: max(from, 0), behind: true}
	if notify == nil {
		r.wake = make(chan struct{}, 1)
		notify = func() {
			select {
			case r.wake <- struct{}{}:
			default:
			}
		}
	}
	r.sub = h.Subscribe(notify, stream)
	return r
}

// Position is the revision that comes next: one more than that of the last event yielded.
func (r *Reader) Position() domain.Revision { return r.next }

// Poll returns the events that can be had without waiting, at most Options.HistoryEvents or
// QueueEvents, the larger; none means that notify will be called when there are.
// Errors: those of the log, after which Poll may be called again and nothing is skipped.
func (r *Reader) Poll(ctx context.Context) ([]Shared, error) {
	for {
		if r.behind {
			events, err := r.history(ctx)
			if err != nil || len(events) > 0 {
				return events, err
			}
		}
		queue, lagging := r.sub.Take()
		if lagging {
			r.behind = true
			continue
		}
		events := r.accept(queue)
		if len(events) > 0 || !r.behind {
			return events, nil
		}
	}
}

// Refresh makes the next Poll look at the log, whatever the hub said: a floor for the case that
// the subscription is silently dead.
func (r *Reader) Refresh() { r.behind = true }

// Next waits for the next events; at least one is returned. Only for a Reader without notify.
// Errors: ctx's when it ends; those of the log.
func (r *Reader) Next(ctx context.Context) ([]Shared, error) {
	for {
		events, err := r.Poll(ctx)
		if err != nil || len(events) > 0 {
			return events, err
		}
		select {
		case <-r.wake:
		case <-ctx.Done():
			return nil, domain.Wrap(domain.KindCanceled, "follow", string(r.stream), ctx.Err())
		}
	}
}

// Close leaves the hub. Idempotent.
func (r *Reader) Close() { r.sub.Close() }

// history reads the log from the cursor. An empty result means that the end was reached, and what
// was recorded since the read began is, or will be, in the queue.
func (r *Reader) history(ctx context.Context) ([]Shared, error) {
	if shared := r.sub.hub.shards.lookup(r.stream, r.next, r.sub.hub.options.HistoryEvents); len(shared) > 0 {
		r.next += domain.Revision(len(shared))
		return shared, nil
	}
	page, err := r.sub.hub.log.ReadStream(ctx, r.stream, r.next, r.sub.hub.options.HistoryEvents)
	if err != nil && domain.KindOf(err) != domain.KindNotFound {
		return nil, err
	}
	if len(page) == 0 {
		r.behind = false
		return nil, nil
	}
	out := make([]Shared, 0, len(page))
	block := make([]event, len(page))
	for i := range page {
		switch rev := page[i].Revision; {
		case rev < r.next:
		case rev == r.next:
			block[i].recorded = page[i]
			out = append(out, &block[i])
			r.next++
		default:
			return nil, domain.E(domain.KindCorrupt, "follow", string(r.stream),
				fmt.Sprintf("the log gave revision %d where %d was due", rev, r.next))
		}
	}
	return out, nil
}

// accept takes what continues the sequence, drops what was yielded before, and at a gap goes back
// to the log: what stands behind the gap is there too.
func (r *Reader) accept(queue []Shared) []Shared {
	out := queue[:0]
	for _, e := range queue {
		switch rev := e.Recorded().Revision; {
		case rev < r.next:
		case rev == r.next:
			out = append(out, e)
			r.next++
		default:
			r.behind = true
			return out
		}
	}
	return out
}
