package webhooks

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"quipu/domain"
)

// courier delivers to one target. run is one goroutine, which alone touches the window; requests have
// goroutines of their own and hand back what became of them.
type courier struct {
	sender  *Sender
	target  *Target
	deps    *Deps
	options Options
	poster  *poster

	mu    sync.Mutex
	shown Status // what status tells
}

// errGone ends a tour: the receiver answered 410.
var errGone = errors.New("the receiver answered 410 and is left alone; remove the webhook, or mend its URL and restart")

// resumeWaitMax bounds the wait for the log, the checkpoints or the poison list to come back.
const resumeWaitMax = 10 * time.Second

// run makes tours while this process owns the target, until intake ends.
func (c *courier) run(intake, work context.Context) {
	failures := 0
	for intake.Err() == nil {
		mine, changed := c.deps.Owns(c.target.owned())
		if !mine {
			c.await(intake, changed)
			continue
		}
		err := c.owned(intake, work, changed)
		switch {
		case err == nil:
			failures = 0 // moved to another node, or stopped
		case errors.Is(err, errGone):
			c.ails(err.Error())
			c.deps.Logger.Error("webhook disabled", "webhook", c.target.Name, "place", c.target.Place(), "reason", err.Error())
			c.await(intake, changed)
		default:
			failures++
			wait := min(c.options.backoff(failures, 0, c.deps.Random), resumeWaitMax)
			c.ails(err.Error())
			c.deps.Logger.Warn("webhook cannot go on", "webhook", c.target.Name, "error", err, "retry_in", wait)
			c.pause(intake, wait)
		}
	}
}

// owned makes a tour that ends when ownership may have changed.
func (c *courier) owned(intake, work context.Context, changed <-chan struct{}) error {
	work, cancel := context.WithCancel(work)
	defer cancel()
	intake, stop := context.WithCancel(intake)
	defer stop()
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		for {
			select {
			case <-changed:
				var mine bool
				if mine, changed = c.deps.Owns(c.target.owned()); !mine {
					cancel() // the new owner begins at once: what it posts must not be met by older events
					stop()
					return
				}
			case <-intake.Done():
				return
			}
		}
	}()
	defer func() { stop(); <-watched }()
	c.show(func(s *Status) { s.Active = true })
	defer c.show(func(s *Status) { s.Active, s.Pending = false, 0 })
	saved, err := c.begin(intake)
	if err != nil {
		return stopped(intake, err)
	}
	c.show(func(s *Status) { s.Position = saved })
	t := &tour{
		courier: c, window: newWindow(saved), saved: saved, results: make(chan result, ConcurrencyMax), due: make(chan domain.StreamID),
		more: true,
	}
	err = t.deliver(intake, work)
	return stopped(intake, errors.Join(err, t.end(work)))
}

// stopped is nil if it was the end of ctx that made err.
func stopped(ctx context.Context, err error) error {
	if ctx.Err() != nil && !errors.Is(err, errGone) {
		return nil
	}
	return err
}

// begin gives the position to go on from. A new target gets its first checkpoint, so that a restart
// does not skip what came in between.
func (c *courier) begin(ctx context.Context) (domain.Position, error) {
	at, err := c.deps.Checkpoints.Load(ctx, c.target.id())
	if err != nil || at > 0 || c.target.FromStart {
		return at, err
	}
	if at, err = c.deps.Log.Head(ctx); err != nil || at == 0 {
		return at, err
	}
	if err := c.deps.Checkpoints.Save(ctx, c.target.id(), 0, at); err != nil {
		return 0, fmt.Errorf("save the first checkpoint: %w", err)
	}
	return at, nil
}

// wants tells whether an event is for the target. Errors: those of WorkflowOf.
func (c *courier) wants(ctx context.Context, e *domain.Recorded) (bool, error) {
	if !c.target.wantsType(e) {
		return false, nil
	}
	if len(c.target.Workflows) == 0 {
		return true, nil
	}
	id, err := c.deps.WorkflowOf(ctx, e)
	return err == nil && slices.Contains(c.target.Workflows, id), err
}

// await waits until ownership may have changed.
func (c *courier) await(ctx context.Context, changed <-chan struct{}) {
	select {
	case <-changed:
	case <-ctx.Done():
	}
}

func (c *courier) pause(ctx context.Context, d time.Duration) {
	over := make(chan struct{})
	stop := c.deps.Clock.AfterFunc(d, func() { close(over) })
	defer stop()
	select {
	case <-over:
	case <-ctx.Done():
	}
}

func (c *courier) show(change func(*Status)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	change(&c.shown)
}

func (c *courier) status() Status {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.shown
	s.Name, s.Place = c.target.Name, c.target.Place()
	return s
}

// ails says what is wrong with the target, "" for nothing any more.
func (c *courier) ails(what string) {
	c.mu.Lock()
	same := c.shown.Ailing == what
	c.shown.Ailing = what
	c.mu.Unlock()
	if f := c.deps.Hooks.Ailing; f != nil && !same {
		f(c.target.Name, what)
	}
}
