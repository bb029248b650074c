package kurrentport

import (
	"context"
	"sync"

	"quipu/commands"
	"quipu/domain"
)

// watchers wake those that follow a stream when it has grown. One reading of the log serves them all,
// so that thousands of subscriptions to streams that rest cost an append nothing.
type watchers struct {
	log commands.Log

	mu       sync.Mutex
	byStream map[domain.StreamID]map[*watcher]struct{}
	count    int
	reading  *reader // nil while nobody watches
}

// watcher waits for one stream.
type watcher struct {
	wake chan struct{} // holds a token when the stream may have grown, or err is set
	err  error         // why nobody will wake it any more; guarded by watchers.mu
}

// reader is the one reading.
type reader struct {
	stop context.CancelFunc
	done chan struct{}
}

// add registers a watcher of a stream. What is recorded from now on wakes it, so that whoever reads
// the stream after this misses nothing. leave must be called once.
func (w *watchers) add(ctx context.Context, id domain.StreamID) (_ *watcher, leave func(), err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.reading == nil {
		if w.reading, err = w.begin(ctx); err != nil {
			return nil, nil, err
		}
	}
	one := &watcher{wake: make(chan struct{}, 1)}
	if w.byStream[id] == nil {
		w.byStream[id] = map[*watcher]struct{}{}
	}
	w.byStream[id][one] = struct{}{}
	w.count++
	return one, func() { w.leave(id, one) }, nil
}

// begin starts reading at the head; it goes on when the call that began it has ended.
func (w *watchers) begin(ctx context.Context) (*reader, error) {
	head, err := w.log.Head(ctx)
	if err != nil {
		return nil, err
	}
	sub, err := w.log.Subscribe(ctx, head, "")
	if err != nil {
		return nil, err
	}
	ctx, stop := context.WithCancel(context.WithoutCancel(ctx))
	r := &reader{stop: stop, done: make(chan struct{})}
	go func() {
		defer close(r.done)
		defer func() { _ = sub.Close() }() // releases memory only
		for {
			batch, err := sub.Next(ctx)
			if err != nil {
				w.ended(r, err)
				return
			}
			w.tell(batch.Events)
		}
	}()
	return r, nil
}

// tell wakes the watchers of streams that have grown.
func (w *watchers) tell(events []domain.Recorded) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for i := range events {
		for one := range w.byStream[events[i].Stream] {
			one.rouse()
		}
	}
}

// rouse leaves a token unless there is one.
func (o *watcher) rouse() {
	select {
	case o.wake <- struct{}{}:
	default:
	}
}

// ended tells everybody that r reads no more; the next one to come begins anew.
func (w *watchers) ended(r *reader, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.reading != r {
		return // the last watcher left
	}
	w.reading = nil
	for _, ones := range w.byStream {
		for one := range ones {
			one.err = err
			one.rouse()
		}
	}
}

// failed says why a watcher that was woken will not be woken again, nil if it will.
func (w *watchers) failed(one *watcher) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return one.err
}

func (w *watchers) leave(id domain.StreamID, one *watcher) {
	w.mu.Lock()
	delete(w.byStream[id], one)
	if len(w.byStream[id]) == 0 {
		delete(w.byStream, id)
	}
	w.count--
	var last *reader
	if w.count == 0 {
		last, w.reading = w.reading, nil
	}
	w.mu.Unlock()
	if last != nil {
		last.stop()
		<-last.done
	}
}
