package logcopy

import (
	"context"
	"fmt"
	"time"

	"quipu/commands"
	"quipu/domain"
)

// Source is what is read of a log that is copied.
type Source interface {
	ID() domain.LogID
	Head(ctx context.Context) (domain.Position, error)
	ReadAll(ctx context.Context, after domain.Position, max int) ([]domain.Recorded, error)
	ReadStream(ctx context.Context, stream domain.StreamID, from domain.Revision, max int) ([]domain.Recorded, error)
}

// Target is the log that is filled. Nobody else may append to it meanwhile; if it is commands.Batches too,
// that is used.
type Target interface {
	Source
	Append(ctx context.Context, stream domain.StreamID, expected domain.Revision, events []domain.Pending) (commands.Appended, error)
}

// The phases of a copy, in their order.
const (
	PhaseCompare = "comparing" // what the target holds already
	PhaseCopy    = "copying"
	PhaseVerify  = "verifying" // what was copied, read back
)

// Progress is how far a copy has come.
type Progress struct {
	Phase    string
	Events   int             // of this phase so far
	Position domain.Position // of the source
	Goal     domain.Position // of the source, where the phase ends
}

// Result says what a copy did.
type Result struct {
	Source, Target domain.LogID
	Events         int // in the target now, all of them compared with the source
	Found          int // of those, in the target before
	Copied         int
	Streams        int // begun by the events that were copied
	Chained        int // copied events that are part of a hash chain
	Appends        int // to the target
	SourceHead     domain.Position
	TargetHead     domain.Position
}

// Options of Copy. The zero value is right for most.
type Options struct {
	// Progress, if set, is told after every page; it must be quick.
	Progress func(Progress)
	// LeaveOut, if set, names streams that are no part of a copy; neither log is looked at there.
	LeaveOut func(domain.StreamID) bool
	// RetryFor bounds how long one read or append is tried again while its log is away. Default a minute.
	RetryFor time.Duration
	// PageEventsMax are the most events of one page. Default 4096.
	PageEventsMax int
	// ChainsMax are the most ends of streams kept in memory; for one beyond them the source is asked.
	// Default 262,144, about 50 MB.
	ChainsMax int
}

const (
	retryForDefault   = time.Minute
	pageEventsDefault = 4096
	chainsDefault     = 1 << 18
)

func (o Options) withDefaults() Options {
	if o.Progress == nil {
		o.Progress = func(Progress) {}
	}
	if o.RetryFor == 0 {
		o.RetryFor = retryForDefault
	}
	if o.PageEventsMax == 0 {
		o.PageEventsMax = pageEventsDefault
	}
	if o.ChainsMax == 0 {
		o.ChainsMax = chainsDefault
	}
	return o
}

// Copy brings target to what source held when Copy began. Calling it again goes on where an interrupted
// one stopped, and later adds what has been recorded since.
//
// Errors: ErrInvalid, code SAME_LOG, if both are one log; ErrRefused, code TARGET_DIFFERS, with the place, if
// the target holds something that the source does not hold at that place: nothing was written; ErrCorrupt,
// with the place, for an event of the source that does not fit its chain: everything before it is copied;
// else those of the two logs. The result counts what was done before the error.
func Copy(ctx context.Context, source Source, target Target, o Options) (Result, error) {
	c := &copier{source: source, target: target, o: o.withDefaults()}
	c.done.Source, c.done.Target = source.ID(), target.ID()
	if c.done.Source == c.done.Target {
		return c.done, domain.E(domain.KindInvalid, "copy", "log "+string(c.done.Source), "source and target are the same log").WithCode("SAME_LOG")
	}
	return c.run(ctx)
}

type copier struct {
	source Source
	target Target
	o      Options
	chains *chains
	goal   domain.Position // the source's head at the beginning
	from   domain.Position // the source's position of the last event that the target held
	done   Result
}

func (c *copier) run(ctx context.Context) (Result, error) {
	var err error
	if c.goal, err = c.source.Head(ctx); err != nil {
		return c.done, err
	}
	c.done.SourceHead = c.goal
	c.chains = newChains(c.source, c.o.ChainsMax)
	if err := c.compareFound(ctx); err != nil {
		return c.done, err
	}
	before := c.done.TargetHead
	if err := c.copyRest(ctx); err != nil {
		return c.done, err
	}
	return c.done, c.verifyCopied(ctx, before)
}

// compareFound compares what the target holds with the beginning of the source.
func (c *copier) compareFound(ctx context.Context) error {
	source := c.reader(ctx, c.source, 0, c.goal)
	defer source.close()
	target := c.reader(ctx, c.target, 0, unlimited)
	defer target.close()
	for {
		has, err := target.next()
		if err != nil {
			return err
		}
		if has == nil {
			c.done.Events = c.done.Found
			return nil
		}
		want, err := source.next()
		if err != nil {
			return err
		}
		if err := c.same(want, has); err != nil {
			return err
		}
		if _, err := c.chains.check(ctx, want); err != nil {
			return err
		}
		c.from, c.done.TargetHead = want.Position, has.Position
		if c.done.Found++; c.done.Found%c.o.PageEventsMax == 0 {
			c.o.Progress(Progress{PhaseCompare, c.done.Found, want.Position, c.goal})
		}
	}
}

// same reports where an event of the target is not the one that the source has at that place. want is nil
// behind the source's last.
func (c *copier) same(want, has *domain.Recorded) error {
	differ := func(what string) error {
		return domain.E(domain.KindRefused, "copy to", fmt.Sprintf("log %s, stream %q revision %d position %d", c.target.ID(), has.Stream, has.Revision, has.Position), what).
			WithCode("TARGET_DIFFERS")
	}
	switch {
	case want == nil:
		return differ("the target holds more than the source: it is another log, or the source was set back; copy into an empty one")
	case want.Stream != has.Stream || want.Revision != has.Revision:
		return differ(fmt.Sprintf("the source holds stream %q revision %d here: the target is no copy of it; copy into an empty one", want.Stream, want.Revision))
	case want.ID != has.ID:
		return differ(fmt.Sprintf("the event's id is %s, at the source it is %s: the target is no copy of it; copy into an empty one", has.ID, want.ID))
	case want.Type != has.Type || string(want.Metadata) != string(has.Metadata) || string(want.Data) != string(has.Data):
		return differ("the event has the id but not the bytes that it has at the source; verify both logs")
	}
	return nil
}

// copyRest appends what the source holds behind c.from.
func (c *copier) copyRest(ctx context.Context) error {
	source := c.reader(ctx, c.source, c.from, c.goal)
	defer source.close()
	w := c.writer(ctx)
	for {
		e, err := source.next()
		if err == nil && e != nil {
			var chained bool
			if chained, err = c.chains.check(ctx, e); chained {
				c.done.Chained++
			}
		}
		if err != nil || e == nil {
			return firstError(w.flush(), err) // what came before is good
		}
		if err := w.add(e); err != nil {
			return err
		}
	}
}

// verifyCopied compares what was appended behind the target's position `before` with the source.
func (c *copier) verifyCopied(ctx context.Context, before domain.Position) error {
	source := c.reader(ctx, c.source, c.from, c.goal)
	defer source.close()
	target := c.reader(ctx, c.target, before, unlimited)
	defer target.close()
	verified := 0
	for {
		want, err := source.next()
		if err != nil {
			return err
		}
		has, err := target.next()
		if err != nil {
			return err
		}
		if has == nil && want == nil {
			c.done.Events = c.done.Found + verified
			c.o.Progress(Progress{PhaseVerify, verified, c.goal, c.goal})
			return nil
		}
		if has == nil {
			return domain.E(domain.KindCorrupt, "copy to", fmt.Sprintf("log %s, stream %q revision %d", c.target.ID(), want.Stream, want.Revision),
				"the target does not hold an event that it has acknowledged")
		}
		if err := c.same(want, has); err != nil {
			return err
		}
		if verified++; verified%c.o.PageEventsMax == 0 {
			c.o.Progress(Progress{PhaseVerify, verified, want.Position, c.goal})
		}
	}
}

func firstError(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}
