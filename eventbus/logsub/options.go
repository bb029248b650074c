package logsub

import (
	"errors"
	"fmt"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"

	"quipu/domain"
	"quipu/eventbus"
)

// Bounds and defaults of Options.
const (
	InFlightDefault   = 1
	InFlightMax       = 1 << 14
	SaveEventsDefault = 1000
	SaveEveryDefault  = time.Second
	RetryMinDefault   = 100 * time.Millisecond
	RetryMaxDefault   = 10 * time.Second

	// windowMax is how many events may be read beyond the oldest that is not done, and one batch
	// of the log more.
	windowMax = 1 << 14
	// saveTimeout bounds the last save of a subscription that ends.
	saveTimeout = 5 * time.Second
)

// Deps is what a Subscriber is made of. All but Checkpoints are required; that one only with
// Options.Checkpoint.
type Deps struct {
	Open        eventbus.OpenFunc
	Checkpoints eventbus.Checkpoints
	Clock       eventbus.Clock
	// Message makes the message of an event; nil passes the event over. Its UUID should be the event's
	// id, so that receivers know what they have seen. The event is shared: never written to.
	Message func(event *domain.Recorded) *message.Message
}

// Options of a Subscriber. The zero value means the defaults.
type Options struct {
	// Prefix says which streams a topic stands for: those whose id starts with it. Default: the
	// topic itself.
	Prefix func(topic string) string
	// Checkpoint names the checkpoint of a topic. Default none: a subscription begins at the start of the
	// log and remembers nothing.
	Checkpoint func(topic string) string
	// Key says which events keep their order among each other. Default: all of the topic.
	Key func(event *domain.Recorded) string
	// InFlight bounds the messages that are out and neither acknowledged nor refused. More than one makes sense
	// with Key only. Default 1.
	InFlight int
	// SaveEvents and SaveEvery say when the checkpoint is saved: after so many events, or so long
	// after the first that is not covered yet. Defaults 1000 and 1 s.
	SaveEvents int
	SaveEvery  time.Duration
	// RetryMin and RetryMax bound the wait before a refused message comes again, and before the log or
	// the checkpoint is asked again after a failure; it doubles each time and is shortened by up to
	// a half at random. Defaults 100 ms and 10 s.
	RetryMin, RetryMax time.Duration
	// CloseGrace is how long the end of a subscription waits for messages that are out. Default 0: they come
	// again.
	CloseGrace time.Duration
	// Random gives numbers in [0, 1) for the jitter. Default none: the full wait.
	Random func() float64
	// Hooks observe the subscriptions.
	Hooks Hooks
}

// Hooks observe subscriptions, for metrics and logs. Each may be nil; none may block.
type Hooks struct {
	// Done is told the position up to which everything is acknowledged, and how many events that
	// adds.
	Done func(topic string, position domain.Position, events int)
	// Refused is told of each refusal of a message, and after what wait it comes again.
	Refused func(topic string, event *domain.Recorded, attempt int, retryIn time.Duration)
	// Failed is told of each failure of the log or the checkpoint, and when it is tried again.
	Failed func(topic string, err error, retryIn time.Duration)
	// Well is told once log and checkpoint answer again after Failed, also if nothing is recorded meanwhile.
	Well func(topic string)
	// Began is told where a subscription begins: after this position.
	Began func(topic string, after domain.Position)
}

func (o Options) withDefaults() Options {
	if o.Prefix == nil {
		o.Prefix = func(topic string) string { return topic }
	}
	if o.Key == nil {
		o.Key = func(*domain.Recorded) string { return "" }
	}
	if o.InFlight == 0 {
		o.InFlight = InFlightDefault
	}
	if o.SaveEvents == 0 {
		o.SaveEvents = SaveEventsDefault
	}
	if o.SaveEvery == 0 {
		o.SaveEvery = SaveEveryDefault
	}
	if o.RetryMin == 0 {
		o.RetryMin = RetryMinDefault
	}
	if o.RetryMax == 0 {
		o.RetryMax = RetryMaxDefault
	}
	if o.Random == nil {
		o.Random = func() float64 { return 0 }
	}
	return o
}

// Validate reports every option out of bounds.
func (o Options) Validate() error {
	o = o.withDefaults()
	var errs []error
	if o.InFlight < 1 || o.InFlight > InFlightMax {
		errs = append(errs, fmt.Errorf("InFlight is %d, 1..%d are allowed", o.InFlight, InFlightMax))
	}
	if o.SaveEvents < 1 || o.SaveEvery < 0 {
		errs = append(errs, fmt.Errorf("SaveEvents %d and SaveEvery %v must be positive", o.SaveEvents, o.SaveEvery))
	}
	if o.RetryMin < 0 || o.RetryMax < o.RetryMin {
		errs = append(errs, fmt.Errorf("RetryMin %v and RetryMax %v are not 0 <= min <= max", o.RetryMin, o.RetryMax))
	}
	if o.CloseGrace < 0 {
		errs = append(errs, fmt.Errorf("CloseGrace %v is negative", o.CloseGrace))
	}
	return errors.Join(errs...)
}

// Wait is the wait after the n-th failure in a row, n >= 1.
func (o Options) Wait(n int) time.Duration {
	o = o.withDefaults()
	d := o.RetryMax
	if n < 32 {
		d = min(o.RetryMin<<(n-1), o.RetryMax)
	}
	return d - time.Duration(o.Random()*float64(d)/2)
}
