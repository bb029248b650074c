package relay

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/ThreeDotsLabs/watermill/message/router/middleware"

	"quipu/domain"
	"quipu/domain/wire"
	"quipu/eventbus"
	"quipu/eventbus/cloudevent"
	"quipu/eventbus/logsub"
)

// Bounds and defaults.
const (
	InFlightDefault = 256
	// closeGrace is how long a relay that ends waits for acknowledgements under way.
	closeGrace = 3 * time.Second
	retryMin   = 100 * time.Millisecond
	retryMax   = 5 * time.Second
)

// Metadata that a message has beside its body. Publishers make headers of it; the body says all of it too.
const (
	MetadataContentType  = "content-type"
	MetadataType         = "type"         // the CloudEvent's
	MetadataPartitionKey = "partitionkey" // events with the same one keep their order
	MetadataTraceparent  = "traceparent"
)

// Kinds are the kinds of streams that are relayed, each to a topic of its own. Endpoints are left out: their
// events are about keys.
var Kinds = []string{"run", "workflow", "channel", "name"}

// Deps is what a Relay is made of. Owns may be nil: always.
type Deps struct {
	// Log is the log's id, which becomes the source of events.
	Log         domain.LogID
	Open        eventbus.OpenFunc
	Checkpoints eventbus.Checkpoints
	Clock       eventbus.Clock
	// Publisher sends to the target. A call returns once the target has what it was given, or an error, within
	// a bounded time; it is called by many goroutines at once, with one message each.
	Publisher message.Publisher
	// Owns reports whether this process is to relay for id now, and closes changed when that should be
	// asked again; nil for never.
	Owns func(id string) (mine bool, changed <-chan struct{})
}

// Options of a Relay. Target is required; otherwise the zero value means the defaults.
type Options struct {
	// Target names the target; ID, its checkpoint's name, is made of it. Lower-case letters, digits, - and _.
	Target string
	// TopicPrefix starts the names of topics: prefix-kind. Default "quipu".
	TopicPrefix string
	// InFlight bounds the events that are sent and not acknowledged. Default 256.
	InFlight int
	// SaveEvery is the pace of the checkpoint. Default 1 s.
	SaveEvery time.Duration
	// RetryMin and RetryMax bound the wait before an event is sent again, or ownership and checkpoint are asked
	// again after a failure. Defaults 100 ms and 5 s.
	RetryMin, RetryMax time.Duration
	// Random gives numbers in [0, 1) for the jitter. Default none.
	Random func() float64
	Hooks  Hooks
}

// Hooks observe, for metrics and logs. Each may be nil; none may block.
type Hooks struct {
	// Sent is told of each event that the target has acknowledged.
	Sent func(target string)
	// Retried is told of each event that could not be sent and is tried again.
	Retried func(target string)
	// Failed is told of each failure of the log or the checkpoint; it is tried again.
	Failed func(target string, err error)
	// LeftOut is told of an event that cannot be shown, since it is damaged; it is passed over.
	LeftOut func(target string, event *domain.Recorded, err error)
	// Reached is told the position up to which the target has everything, and how many events that adds,
	// those among them that are not relayed.
	Reached func(target string, position domain.Position, events int)
	// Active is told whether this process relays to the target, each time that changes.
	Active func(target string, active bool)
	// Ailing is told what is wrong, nil when all is well again.
	Ailing func(target string, err error)
}

var targetName = regexp.MustCompile(`^[a-z0-9][a-z0-9_-]{0,31}$`)

// TopicPrefix is what the prefix of topics must match: such names suit every target, NATS and Kafka among
// them.
var TopicPrefix = regexp.MustCompile(`^[a-zA-Z0-9][a-zA-Z0-9_-]{0,63}$`)

// Relay sends the events of a log to one target.
type Relay struct {
	deps Deps
	o    Options
	// ailing is what does not work, as bits. The target and what is kept here fail and heal each by itself.
	ailing atomic.Uint32
}

const (
	ailsTarget  uint32 = 1 << iota
	ailsKeeping        // the log, the checkpoint
)

// New makes a Relay. Errors: ErrInvalid for options out of bounds.
func New(deps Deps, o Options) (*Relay, error) {
	if o.TopicPrefix == "" {
		o.TopicPrefix = "quipu"
	}
	if o.InFlight == 0 {
		o.InFlight = InFlightDefault
	}
	if o.RetryMin == 0 {
		o.RetryMin = retryMin
	}
	if o.RetryMax == 0 {
		o.RetryMax = retryMax
	}
	if deps.Owns == nil {
		deps.Owns = func(string) (bool, <-chan struct{}) { return true, nil }
	}
	r := &Relay{deps: deps, o: o}
	var errs []error
	if !targetName.MatchString(o.Target) {
		errs = append(errs, fmt.Errorf("the target %.40q: 1..32 lower-case letters, digits, - and _ are allowed", o.Target))
	}
	if !TopicPrefix.MatchString(o.TopicPrefix) {
		errs = append(errs, fmt.Errorf("the prefix of topics %.80q: 1..64 letters, digits, - and _ are allowed", o.TopicPrefix))
	}
	errs = append(errs, r.subscription().Validate())
	if err := errors.Join(errs...); err != nil {
		return nil, domain.Wrap(domain.KindInvalid, "relay", o.Target, err)
	}
	return r, nil
}

// ID is the relay's name among the things that nodes own, and its checkpoint's.
func (r *Relay) ID() string { return "relay:" + r.o.Target }

// Run relays until ctx ends, while this process owns the relay. It returns nil: every failure is told to
// Hooks and tried again.
func (r *Relay) Run(ctx context.Context) error {
	for n := 1; ctx.Err() == nil; {
		mine, changed := r.deps.Owns(r.ID())
		if !mine {
			n = 1
			r.well(ailsTarget | ailsKeeping)
			select {
			case <-changed:
			case <-ctx.Done():
			}
			continue
		}
		if err := r.own(ctx, changed); err != nil && ctx.Err() == nil {
			r.failed(err)
			r.sleep(ctx, r.subscription().Wait(n))
			n++
		}
	}
	return nil
}

// own relays until ctx ends or the relay is no longer this process's.
func (r *Relay) own(ctx context.Context, changed <-chan struct{}) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	if f := r.o.Hooks.Active; f != nil {
		f(r.o.Target, true)
		defer f(r.o.Target, false)
	}
	sub, err := logsub.New(logsub.Deps{
		Open: r.deps.Open, Checkpoints: r.deps.Checkpoints, Clock: r.deps.Clock, Message: r.message,
	}, r.subscription())
	if err != nil {
		return err
	}
	messages, err := sub.Subscribe(ctx, "")
	if err != nil {
		return errors.Join(err, sub.Close())
	}
	var watch, sending sync.WaitGroup
	watch.Go(func() { r.watch(ctx, changed, cancel) })
	for m := range messages {
		sending.Go(func() { r.send(m) })
	}
	cancel()
	watch.Wait()
	sending.Wait()
	return sub.Close()
}

// watch cancels when the relay is no longer this process's.
func (r *Relay) watch(ctx context.Context, changed <-chan struct{}, cancel context.CancelFunc) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-changed:
		}
		var mine bool
		if mine, changed = r.deps.Owns(r.ID()); !mine {
			cancel()
			return
		}
	}
}

// send publishes one event and says what became of it.
func (r *Relay) send(m *message.Message) {
	_, err := middleware.Recoverer(func(m *message.Message) ([]*message.Message, error) {
		return nil, r.deps.Publisher.Publish(r.topic(m), m)
	})(m)
	if err != nil {
		if p := (middleware.RecoveredPanicError{}); errors.As(err, &p) {
			err = domain.E(domain.KindInternal, "relay", m.UUID, "the publisher panicked: "+p.Stacktrace)
		}
		r.ails(ailsTarget, err)
		if f := r.o.Hooks.Retried; f != nil {
			f(r.o.Target)
		}
		m.Nack()
		return
	}
	r.well(ailsTarget)
	if f := r.o.Hooks.Sent; f != nil {
		f(r.o.Target)
	}
	m.Ack()
}

// message shows an event; nil for one that is not relayed.
func (r *Relay) message(e *domain.Recorded) *message.Message {
	if kindOf(e) == "" {
		return nil
	}
	body, err := cloudevent.Append(make([]byte, 0, len(e.Data)+1024), r.deps.Log, e, nil)
	if err != nil {
		if f := r.o.Hooks.LeftOut; f != nil {
			f(r.o.Target, e, err)
		}
		return nil
	}
	m := message.NewMessage(e.ID.String(), body)
	m.Metadata = message.Metadata{
		MetadataContentType: cloudevent.ContentType, MetadataType: cloudevent.TypePrefix + e.Type,
		MetadataPartitionKey: cloudevent.PartitionKey(e.Stream),
	}
	if about, err := wire.DecodeMetadata(e.Metadata); err == nil && about.Traceparent != "" {
		m.Metadata[MetadataTraceparent] = about.Traceparent
	}
	return m
}

// kindOf is the kind of an event's stream, "" for one that is not relayed: the stream and the type both
// say it, so that what others keep in the log is never taken for ours.
func kindOf(e *domain.Recorded) string {
	for _, kind := range Kinds {
		if len(e.Stream) > len(kind) && string(e.Stream[:len(kind)]) == kind && e.Stream[len(kind)] == '-' && strings.HasPrefix(e.Type, kind+".") {
			return kind
		}
	}
	return ""
}

// topic is where a message goes.
func (r *Relay) topic(m *message.Message) string {
	kind, _, _ := strings.Cut(strings.TrimPrefix(m.Metadata[MetadataType], cloudevent.TypePrefix), ".")
	return r.o.TopicPrefix + "-" + kind
}

// Name is the event's name in a message's type, without aggregate and version: task_started.
func Name(m *message.Message) string {
	parts := strings.Split(m.Metadata[MetadataType], ".")
	if len(parts) != 4 {
		return ""
	}
	return parts[2]
}

func (r *Relay) subscription() logsub.Options {
	return logsub.Options{
		Prefix:     func(string) string { return "" },
		Checkpoint: func(string) string { return r.ID() },
		Key:        func(e *domain.Recorded) string { return string(e.Stream) },
		InFlight:   r.o.InFlight, SaveEvery: r.o.SaveEvery, SaveEvents: 1 << 14, CloseGrace: closeGrace,
		RetryMin: r.o.RetryMin, RetryMax: r.o.RetryMax, Random: r.o.Random,
		Hooks: logsub.Hooks{
			Done:   func(_ string, at domain.Position, n int) { r.reached(at, n) },
			Began:  func(_ string, at domain.Position) { r.reached(at, 0) },
			Failed: func(_ string, err error, _ time.Duration) { r.failed(err) },
			Well:   func(string) { r.well(ailsKeeping) },
		},
	}
}

func (r *Relay) reached(at domain.Position, events int) {
	if f := r.o.Hooks.Reached; f != nil {
		f(r.o.Target, at, events)
	}
}

func (r *Relay) failed(err error) {
	if f := r.o.Hooks.Failed; f != nil {
		f(r.o.Target, err)
	}
	r.ails(ailsKeeping, err)
}

func (r *Relay) ails(what uint32, err error) {
	r.ailing.Or(what)
	if f := r.o.Hooks.Ailing; f != nil {
		f(r.o.Target, err)
	}
}

// well tells that all is well if that is news and nothing else ails.
func (r *Relay) well(what uint32) {
	if r.ailing.Load()&what == 0 {
		return
	}
	if before := r.ailing.And(^what); before&what != 0 && before&^what == 0 {
		if f := r.o.Hooks.Ailing; f != nil {
			f(r.o.Target, nil)
		}
	}
}

func (r *Relay) sleep(ctx context.Context, d time.Duration) {
	done := make(chan struct{})
	defer r.deps.Clock.AfterFunc(d, func() { close(done) })()
	select {
	case <-done:
	case <-ctx.Done():
	}
}
