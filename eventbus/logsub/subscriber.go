package logsub

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"

	"quipu/domain"
)

// Subscriber is a message.Subscriber on the log. Safe for concurrent use.
type Subscriber struct {
	deps Deps
	o    Options

	mu      sync.Mutex
	closed  bool
	closing chan struct{} // closed by Close
	running sync.WaitGroup
}

var _ message.Subscriber = (*Subscriber)(nil)

// New makes a Subscriber. Errors: ErrInvalid for options out of bounds.
func New(deps Deps, o Options) (*Subscriber, error) {
	err := o.Validate()
	if o.Checkpoint != nil && deps.Checkpoints == nil {
		err = errors.Join(err, errors.New("Options.Checkpoint needs Deps.Checkpoints"))
	}
	if err != nil {
		return nil, domain.Wrap(domain.KindInvalid, "subscribe to the log", "", err)
	}
	return &Subscriber{deps: deps, o: o.withDefaults(), closing: make(chan struct{})}, nil
}

// Subscribe hands over the events of a topic until ctx ends or the Subscriber is closed; then it closes the
// channel. Each message must be acknowledged or refused; its context carries the Delivery and ends with that.
//
// Errors: ErrUnavailable after Close; those of Checkpoints.Load that no waiting mends (LOG_CHANGED, ErrCorrupt,
// ErrInvalid). Any other failure, now or later, is told to Hooks.Failed and tried again.
func (s *Subscriber) Subscribe(ctx context.Context, topic string) (<-chan *message.Message, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, domain.E(domain.KindUnavailable, "subscribe to the log", topic, "the subscriber is closed")
	}
	sub := &subscription{Subscriber: s, topic: topic, out: make(chan *message.Message)}
	if f := s.o.Hooks.Well; f != nil {
		sub.health.well = func() { f(topic) }
	}
	if s.o.Checkpoint != nil {
		sub.checkpoint = s.o.Checkpoint(topic)
		after, err := s.deps.Checkpoints.Load(ctx, sub.checkpoint)
		if err != nil && !mends(err) {
			return nil, err
		}
		sub.loaded, sub.after = err == nil, after
	}
	ctx, cancel := context.WithCancel(ctx)
	s.running.Go(func() {
		select {
		case <-s.closing:
			cancel()
		case <-ctx.Done():
		}
	})
	s.running.Go(func() {
		defer close(sub.out)
		defer cancel()
		sub.run(ctx)
	})
	return sub.out, nil
}

// Close ends all subscriptions and waits for that: for messages that are out as long as Options.CloseGrace
// says. Idempotent.
func (s *Subscriber) Close() error {
	s.mu.Lock()
	if !s.closed {
		s.closed = true
		close(s.closing)
	}
	s.mu.Unlock()
	s.running.Wait()
	return nil
}

// Delivery is what a message's context says beside the message.
type Delivery struct {
	Event   *domain.Recorded // shared: never written to
	Attempt int              // 1 for the first time, counted within this subscription
}

type deliveryKey struct{}

// Of returns the delivery of a message that a Subscriber handed over, and of copies that keep its context.
func Of(m *message.Message) (Delivery, bool) {
	d, ok := m.Context().Value(deliveryKey{}).(Delivery)
	return d, ok
}

// mends reports whether the same call may succeed later by itself.
func mends(err error) bool {
	switch domain.KindOf(err) {
	case domain.KindUnavailable, domain.KindIndeterminate, domain.KindExhausted, domain.KindCanceled, domain.KindDeadline:
		return true
	}
	return false
}

// failed tells of a failure, waits its wait, and reports false if ctx ended meanwhile.
func (s *subscription) failed(ctx context.Context, err error, n int) bool {
	wait := s.o.Wait(n)
	s.health.fail(failedRead)
	if f := s.o.Hooks.Failed; f != nil && ctx.Err() == nil {
		f(s.topic, err, wait)
	}
	return s.sleep(ctx, wait)
}

func (s *subscription) sleep(ctx context.Context, d time.Duration) bool {
	done := make(chan struct{})
	stop := s.deps.Clock.AfterFunc(d, func() { close(done) })
	defer stop()
	select {
	case <-done:
		return true
	case <-ctx.Done():
		return false
	}
}
