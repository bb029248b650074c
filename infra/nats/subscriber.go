package nats

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	wmnats "github.com/ThreeDotsLabs/watermill-nats/v2/pkg/nats"
	"github.com/ThreeDotsLabs/watermill/message"
	natsgo "github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"quipu/domain"
)

// Bounds and defaults of SubscriberOptions.
const (
	AckWaitDefault     = 30 * time.Second
	AckWaitMin         = 100 * time.Millisecond
	InFlightMax        = 4096
	retryMinDefault    = 100 * time.Millisecond
	retryMaxDefault    = 10 * time.Second
	fetchWait          = 5 * time.Second // of one question for a message
	ephemeralIdleLimit = 5 * time.Minute // of a consumer that nobody asks any more
)

// SubscriberOptions of a Subscriber. The zero value means the defaults.
type SubscriberOptions struct {
	// Group names those who share the messages of a topic: each is handed to one of them, and the server
	// remembers what they acknowledged. Letters, digits, - and _. Default none: every subscription sees all
	// that the stream has, from its beginning.
	Group string
	// InFlight bounds the messages of a group that are out at once. Default 1, which keeps their order.
	InFlight int
	// KeepOrder is for a group with one receiver at a time and several messages in flight: whoever takes over
	// is handed first, in order, what the one before left unsettled. It takes up to AckWait.
	KeepOrder bool
	// AckWait is after what time the server hands a message to somebody else because its receiver is not heard of
	// any more; while a handler works it is kept. Default 30 s.
	AckWait time.Duration
	// RetryMin and RetryMax bound the wait before a refused message comes again. Defaults 100 ms and 10 s.
	RetryMin, RetryMax time.Duration
	// Streams says how a stream is made that is not there yet.
	Streams StreamOptions
	// Random gives numbers in [0, 1) for the jitter. Default none.
	Random func() float64
	// AfterFunc is the clock that waits. Default the system's.
	AfterFunc func(d time.Duration, f func()) (stop func() bool)
	// Logger is told of failures, each of which is tried again. Default none.
	Logger *slog.Logger
}

// Subscriber is a Watermill subscriber to JetStream: durable if it has a group, each message acknowledged by
// itself, and as long as it takes. Safe for concurrent use.
type Subscriber struct {
	js      jetstream.JetStream
	o       SubscriberOptions
	streams *streams

	mu      sync.Mutex
	closed  bool
	closing chan struct{}
	running sync.WaitGroup
}

var (
	_ message.Subscriber           = (*Subscriber)(nil)
	_ message.SubscribeInitializer = (*Subscriber)(nil)
)

// NewSubscriber subscribes over conn, which stays its owner's. Errors: ErrInvalid for options out of bounds.
func NewSubscriber(conn *natsgo.Conn, o SubscriberOptions) (*Subscriber, error) {
	if o.InFlight == 0 {
		o.InFlight = 1
	}
	if o.AckWait == 0 {
		o.AckWait = AckWaitDefault
	}
	if o.RetryMin == 0 {
		o.RetryMin = retryMinDefault
	}
	if o.RetryMax == 0 {
		o.RetryMax = retryMaxDefault
	}
	if o.Random == nil {
		o.Random = func() float64 { return 0 }
	}
	if o.AfterFunc == nil {
		o.AfterFunc = func(d time.Duration, f func()) func() bool { return time.AfterFunc(d, f).Stop }
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	err := o.Streams.Validate()
	if o.Group != "" {
		err = errors.Join(err, CheckTopic(o.Group))
	}
	if o.InFlight < 1 || o.InFlight > InFlightMax || o.AckWait < AckWaitMin || o.RetryMin < 0 || o.RetryMax < o.RetryMin {
		err = errors.Join(err, fmt.Errorf("InFlight %d (1..%d), AckWait %v (at least %v), RetryMin %v or RetryMax %v is out of bounds",
			o.InFlight, InFlightMax, o.AckWait, AckWaitMin, o.RetryMin, o.RetryMax))
	}
	if err != nil {
		return nil, domain.Wrap(domain.KindInvalid, "subscribe to NATS", "", err)
	}
	js, err := jetstream.New(conn)
	if err != nil {
		return nil, domain.Wrap(domain.KindInvalid, "subscribe to NATS", "", err)
	}
	return &Subscriber{
		js: js, o: o, closing: make(chan struct{}),
		streams: &streams{js: js, o: o.Streams.withDefaults(), known: map[string]*ensured{}},
	}, nil
}

// SubscribeInitialize makes the stream of a topic if it is not there.
func (s *Subscriber) SubscribeInitialize(topic string) error {
	return s.streams.ensure(message.NewMessage("", nil).Context(), topic)
}

// Subscribe hands over the messages of a topic until ctx ends or the Subscriber is closed; then it closes the
// channel. It returns at once, also while the server is away: it is tried again for ever.
// Errors: ErrInvalid for a topic that cannot be; ErrUnavailable after Close.
func (s *Subscriber) Subscribe(ctx context.Context, topic string) (<-chan *message.Message, error) {
	if err := CheckTopic(topic); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, domain.E(domain.KindUnavailable, "subscribe to NATS", topic, "the subscriber is closed")
	}
	out := make(chan *message.Message)
	ctx, cancel := context.WithCancel(ctx)
	s.running.Go(func() {
		select {
		case <-s.closing:
			cancel()
		case <-ctx.Done():
		}
	})
	s.running.Go(func() {
		defer close(out)
		defer cancel()
		s.run(ctx, topic, out)
	})
	return out, nil
}

// Close ends all subscriptions and waits for that; messages without an outcome come again. Idempotent.
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

// run consumes until ctx ends, anew after each failure.
func (s *Subscriber) run(ctx context.Context, topic string, out chan<- *message.Message) {
	from := uint64(1) // of the stream: where one without a group goes on
	for n := 1; ctx.Err() == nil; n++ {
		before := from
		err := s.consume(ctx, topic, &from, out)
		if from > before {
			n = 1
		}
		if err != nil && ctx.Err() == nil {
			wait := s.wait(n)
			s.o.Logger.Warn("NATS subscription failed", "topic", topic, "group", s.o.Group, "error", translate("subscribe to", topic, err), "retry_in", wait)
			s.sleep(ctx, wait)
		}
	}
}

func (s *Subscriber) consume(ctx context.Context, topic string, from *uint64, out chan<- *message.Message) error {
	if err := s.streams.ensure(ctx, topic); err != nil {
		return err
	}
	c := jetstream.ConsumerConfig{
		AckPolicy: jetstream.AckExplicitPolicy, AckWait: s.o.AckWait, MaxAckPending: s.o.InFlight, DeliverPolicy: jetstream.DeliverAllPolicy,
	}
	if s.o.Group != "" {
		c.Durable = s.o.Group
	} else {
		c.DeliverPolicy, c.OptStartSeq, c.InactiveThreshold = jetstream.DeliverByStartSequencePolicy, *from, ephemeralIdleLimit
	}
	call, cancel := context.WithTimeout(ctx, callTimeout)
	consumer, err := s.js.CreateOrUpdateConsumer(call, topic, c)
	cancel()
	if err != nil {
		s.streams.forget(topic)
		return err
	}
	var handlers sync.WaitGroup
	defer handlers.Wait()
	free := make(chan struct{}, s.o.InFlight)
	if s.keepsOrder() {
		err := s.restore(ctx, consumer, func(m jetstream.Msg) bool {
			free <- struct{}{} // no more than InFlight are ever out
			if s.handOver(ctx, m, from, out, &handlers, free) {
				return true
			}
			<-free
			return false
		})
		if err != nil {
			return err
		}
	}
	for ctx.Err() == nil {
		// No more is fetched than is handed over at once: what waits here would be kept from the others.
		select {
		case free <- struct{}{}:
		case <-ctx.Done():
			return nil
		}
		call, cancel := context.WithTimeout(ctx, fetchWait)
		m, err := consumer.Next(jetstream.FetchContext(call))
		cancel()
		switch {
		case errors.Is(err, natsgo.ErrTimeout), errors.Is(err, context.DeadlineExceeded):
			<-free
			continue // there was none
		case err != nil:
			return err
		}
		if ctx.Err() != nil || !s.handOver(ctx, m, from, out, &handlers, free) {
			<-free
			_ = m.Nak()
		}
	}
	return nil
}

// handOver hands a message to the handlers and sees to its outcome.
func (s *Subscriber) handOver(ctx context.Context, m jetstream.Msg, from *uint64, out chan<- *message.Message, handlers *sync.WaitGroup, free <-chan struct{}) bool {
	about, err := m.Metadata()
	if err != nil {
		return false
	}
	msg, err := (&wmnats.NATSMarshaler{}).Unmarshal(&natsgo.Msg{Subject: m.Subject(), Data: m.Data(), Header: firsts(m.Headers())})
	if err != nil {
		return false
	}
	if msg.UUID == "" { // not published by Watermill
		msg.UUID = m.Headers().Get(natsgo.MsgIdHdr)
	}
	mctx, cancel := context.WithCancel(ctx)
	msg.SetContext(mctx)
	select {
	case out <- msg:
	case <-ctx.Done():
		cancel()
		return false
	}
	*from = about.Sequence.Stream + 1
	handlers.Go(func() {
		defer func() { <-free }()
		defer cancel()
		s.settle(ctx, m, msg, int(about.NumDelivered))
	})
	return true
}

// settle waits for the outcome and tells the server; while it waits, the server is told that it is worked on.
func (s *Subscriber) settle(ctx context.Context, m jetstream.Msg, msg *message.Message, delivered int) {
	still := time.NewTicker(s.o.AckWait / 3)
	defer still.Stop()
	var err error
	for settled := false; !settled; {
		select {
		case <-msg.Acked():
			// Without waiting for its receipt: one that is lost brings the message again, as a crash would.
			err, settled = m.Ack(), true
		case <-msg.Nacked():
			err, settled = m.NakWithDelay(s.wait(delivered)), true
		case <-still.C:
			err = m.InProgress()
		case <-ctx.Done():
			err, settled = m.Nak(), true
		}
	}
	if err != nil {
		s.o.Logger.Debug("NATS was not told what became of a message", "subject", m.Subject(), "error", Plain(err))
	}
}

// firsts keeps the first of several values of a header: Watermill's metadata holds one.
func firsts(h natsgo.Header) natsgo.Header {
	out := make(natsgo.Header, len(h))
	for k, v := range h {
		if len(v) > 0 {
			out[k] = v[:1]
		}
	}
	return out
}

func (s *Subscriber) wait(n int) time.Duration {
	return Options{ReconnectMin: s.o.RetryMin, ReconnectMax: s.o.RetryMax, Random: s.o.Random}.delay(n)
}

func (s *Subscriber) sleep(ctx context.Context, d time.Duration) {
	done := make(chan struct{})
	defer s.o.AfterFunc(d, func() { close(done) })()
	select {
	case <-done:
	case <-ctx.Done():
	}
}
