// Package intake takes messages from a Watermill subscriber and has them handled: in order for each key,
// many keys at once, each until it is done or is put aside as a dead letter.
//
// A message is acknowledged only when its handling is over: done durably, or durably put aside. What a
// process leaves behind when it stops or dies comes again. A message that may succeed later is tried
// again where it is, so that those of its key behind it keep their order; one that never will goes to the
// dead letters with the reason, and holds up nobody.
package intake

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/ThreeDotsLabs/watermill/message/router/middleware"

	"quipu/domain"
)

// Bounds and defaults.
const (
	// InFlightMaxDefault is how many messages are held at once; further ones stay with the transport.
	InFlightMaxDefault = 128
	BackoffMinDefault  = 100 * time.Millisecond
	BackoffMaxDefault  = 10 * time.Second
	// RetryForDefault is how long a message is tried again that may yet succeed; then it is put aside.
	RetryForDefault = time.Hour
	// triesInternalMax is how often what failed by a fault of this program is tried.
	triesInternalMax = 3
	// reasonBytesMax bounds the reason in a dead letter.
	reasonBytesMax = 1024
)

// Metadata of a dead letter, beside that of the message itself.
const (
	MetaReason  = "Quipu-Reason"
	MetaCode    = "Quipu-Code"
	MetaField   = "Quipu-Field"
	MetaSubject = "Quipu-Subject" // the topic it came by
)

// Command is a message, understood.
type Command struct {
	Name string // for metrics: of a fixed set
	Key  string // order holds among equal ones
	Do   func(ctx context.Context) error
}

// Clock wakes up and tells the time.
type Clock interface {
	Now() time.Time
	AfterFunc(d time.Duration, f func()) (stop func() bool)
}

// Deps are the collaborators of an Intake. All but Owns, Logger and Hooks are required.
type Deps struct {
	// Subscribe begins to take messages; the channel is closed when ctx ends or the transport fails. It
	// hands several messages out before the first is acknowledged, in the order of the topic.
	Subscribe func(ctx context.Context) (<-chan *message.Message, error)
	// DeadLetters takes what cannot be carried out, durably before Publish returns.
	DeadLetters message.Publisher
	DeadTopic   string
	// Parse reads a message; id is its UUID, "" if its publisher gave it none. Errors: what is wrong with it,
	// which time does not mend.
	Parse func(id string, header map[string]string, body []byte) (Command, error)
	// Passing reports whether a command that failed with err may succeed later.
	Passing func(err error) bool
	// Owns reports whether this process is the one that takes messages, and closes changed when that
	// should be asked again. Nil: always.
	Owns   func() (mine bool, changed <-chan struct{})
	Clock  Clock
	Random func() float64
	Logger *slog.Logger
	Hooks  Hooks
}

// Hooks observe. Each may be nil; none may block.
type Hooks struct {
	// Handled is told of each message that is over: outcome is done or dead_letter.
	Handled func(command, outcome string)
	// Retried is told of each try that failed and will be repeated.
	Retried func(command string)
	// Ailing is told what keeps messages from being taken, nil when that is over.
	Ailing func(err error)
}

// Options of an Intake. The zero value means the defaults.
type Options struct {
	InFlightMax            int
	BackoffMin, BackoffMax time.Duration
	RetryFor               time.Duration
}

// Intake handles the messages of one topic. Lifetime: New, Run (once), then ctx ends.
type Intake struct {
	deps   Deps
	o      Options
	places chan struct{}

	mu    sync.Mutex
	lanes map[string][]*job // first is at work
	wg    sync.WaitGroup
}

type job struct {
	message *message.Message
	command Command
	err     error // of parsing
}

// New makes an intake. It panics without a required collaborator.
func New(deps Deps, o Options) *Intake {
	if deps.Subscribe == nil || deps.DeadLetters == nil || deps.DeadTopic == "" || deps.Parse == nil || deps.Passing == nil || deps.Clock == nil || deps.Random == nil {
		panic("intake: New needs Subscribe, DeadLetters, DeadTopic, Parse, Passing, a clock and Random")
	}
	if deps.Logger == nil {
		deps.Logger = slog.New(slog.DiscardHandler)
	}
	if deps.Owns == nil {
		deps.Owns = func() (bool, <-chan struct{}) { return true, nil }
	}
	if o.InFlightMax <= 0 {
		o.InFlightMax = InFlightMaxDefault
	}
	if o.BackoffMin <= 0 {
		o.BackoffMin = BackoffMinDefault
	}
	o.BackoffMax = max(o.BackoffMax, o.BackoffMin)
	if o.BackoffMax == o.BackoffMin {
		o.BackoffMax = max(BackoffMaxDefault, o.BackoffMin)
	}
	if o.RetryFor <= 0 {
		o.RetryFor = RetryForDefault
	}
	return &Intake{deps: deps, o: o, places: make(chan struct{}, o.InFlightMax), lanes: map[string][]*job{}}
}

// Run takes messages until intake ends; what is at work may go on until work does. It returns nil.
func (n *Intake) Run(intake, work context.Context) error {
	defer n.wg.Wait()
	failures := 0
	for intake.Err() == nil {
		mine, changed := n.deps.Owns()
		if !mine {
			select {
			case <-changed:
			case <-intake.Done():
			}
			continue
		}
		took, err := n.take(intake, work, changed)
		if took {
			failures = 0
		}
		if err == nil || intake.Err() != nil {
			continue
		}
		failures++
		n.ails(err)
		wait := n.backoff(failures)
		n.deps.Logger.Warn("intake cannot take messages", "error", err, "retry_in", wait)
		n.pause(intake, wait)
	}
	return nil
}

// take reads from one subscription until it ends or somebody else is to read. What is at work then is
// finished before it returns: the next owner begins with what is left.
func (n *Intake) take(intake, work context.Context, changed <-chan struct{}) (took bool, err error) {
	ctx, cancel := context.WithCancel(intake)
	defer n.wg.Wait()
	defer cancel()
	messages, err := n.deps.Subscribe(ctx)
	if err != nil {
		return false, err
	}
	n.ails(nil)
	defer func() {
		cancel()
		for range messages { //nolint:revive // until the transport has let go; what is left comes again
		}
	}()
	for {
		select {
		case n.places <- struct{}{}:
		case <-ctx.Done():
			return took, nil
		}
		select {
		case m, open := <-messages:
			if !open {
				<-n.places
				return took, errors.New("the subscription ended")
			}
			took = true
			n.admit(ctx, work, m)
		case <-changed:
			<-n.places
			var mine bool
			if mine, changed = n.deps.Owns(); !mine {
				return took, nil
			}
		case <-ctx.Done():
			<-n.places
			return took, nil
		}
	}
}

// admit puts a message into its lane.
func (n *Intake) admit(ctx, work context.Context, m *message.Message) {
	j := &job{message: m}
	j.command, j.err = n.parse(m)
	n.mu.Lock()
	defer n.mu.Unlock()
	lane, busy := n.lanes[j.command.Key]
	n.lanes[j.command.Key] = append(lane, j)
	if !busy {
		n.wg.Go(func() { n.lane(ctx, work, j.command.Key) })
	}
}

// lane handles the messages of one key one after the other, as long as there are any.
func (n *Intake) lane(ctx, work context.Context, key string) {
	for {
		n.mu.Lock()
		lane := n.lanes[key]
		if len(lane) == 0 {
			delete(n.lanes, key)
			n.mu.Unlock()
			return
		}
		j := lane[0]
		n.lanes[key] = lane[1:]
		n.mu.Unlock()
		n.handle(ctx, work, j)
		<-n.places
	}
}

// handle is over when the message is acknowledged, or the process stops: ctx ends the waits between tries,
// work the tries themselves.
func (n *Intake) handle(ctx, work context.Context, j *job) {
	began := n.deps.Clock.Now()
	for try := 1; ctx.Err() == nil; try++ {
		err := j.err
		if err == nil {
			err = n.do(work, j)
		}
		switch {
		case err == nil:
			n.over(j, "done")
			return
		case j.err == nil && n.again(err, try, began):
		default:
			if err = n.bury(j, err); err == nil {
				n.over(j, "dead_letter")
				return
			}
			n.deps.Logger.Warn("dead letter cannot be stored", "error", err)
		}
		if f := n.deps.Hooks.Retried; f != nil {
			f(j.command.Name)
		}
		n.pause(ctx, n.backoff(try))
	}
	j.message.Nack()
}

// again reports whether a command that failed is to be tried again.
func (n *Intake) again(err error, try int, began time.Time) bool {
	if domain.KindOf(err) == domain.KindInternal {
		return try < triesInternalMax
	}
	return n.deps.Passing(err) && n.deps.Clock.Now().Sub(began) < n.o.RetryFor
}

// parse reads a message; one that makes the reader panic is a bad message.
func (n *Intake) parse(m *message.Message) (c Command, err error) {
	_, err = middleware.Recoverer(func(m *message.Message) ([]*message.Message, error) {
		var err error
		c, err = n.deps.Parse(m.UUID, m.Metadata, m.Payload)
		return nil, err
	})(m)
	return c, n.plain(m, err)
}

func (n *Intake) do(ctx context.Context, j *job) error {
	_, err := middleware.Recoverer(func(*message.Message) ([]*message.Message, error) {
		return nil, j.command.Do(ctx)
	})(j.message)
	return n.plain(j.message, err)
}

// plain makes a panic an error without what was panicked with, which may hold a payload.
func (n *Intake) plain(m *message.Message, err error) error {
	if p, ok := errors.AsType[middleware.RecoveredPanicError](err); ok {
		n.deps.Logger.Error("command panicked", "message", m.UUID, "stack", p.Stacktrace)
		return domain.E(domain.KindInternal, "", "", "a fault of this server's, see its log")
	}
	return err
}

// bury puts a message aside, durably, with the reason.
func (n *Intake) bury(j *job, cause error) error {
	dead := message.NewMessage(j.message.UUID, j.message.Payload)
	for k, v := range j.message.Metadata {
		dead.Metadata.Set(k, v)
	}
	reason := cause.Error()
	if len(reason) > reasonBytesMax {
		reason = reason[:reasonBytesMax]
	}
	// Headers of transports take no line ends and, by some, plain text only.
	dead.Metadata.Set(MetaReason, strings.Map(plainRune, reason))
	if e, ok := errors.AsType[*domain.Error](cause); ok {
		dead.Metadata.Set(MetaCode, e.Code)
		dead.Metadata.Set(MetaField, strings.Map(plainRune, e.Field))
	}
	n.deps.Logger.Warn("message put aside", "message", j.message.UUID, "command", j.command.Name, "reason", cause.Error())
	if err := n.deps.DeadLetters.Publish(n.deps.DeadTopic, dead); err != nil {
		return fmt.Errorf("store dead letter: %w", err)
	}
	return nil
}

func plainRune(r rune) rune {
	if r < ' ' || r > '~' {
		return '?'
	}
	return r
}

func (n *Intake) over(j *job, outcome string) {
	j.message.Ack()
	if f := n.deps.Hooks.Handled; f != nil {
		f(j.command.Name, outcome)
	}
}

func (n *Intake) ails(err error) {
	if f := n.deps.Hooks.Ailing; f != nil {
		f(err)
	}
}

func (n *Intake) backoff(failures int) time.Duration {
	d := n.o.BackoffMax
	if failures < 32 {
		d = min(n.o.BackoffMin<<(failures-1), n.o.BackoffMax)
	}
	return d - time.Duration(n.deps.Random()*float64(d)/2)
}

func (n *Intake) pause(ctx context.Context, d time.Duration) {
	over := make(chan struct{})
	stop := n.deps.Clock.AfterFunc(d, func() { close(over) })
	defer stop()
	select {
	case <-over:
	case <-ctx.Done():
	}
}
