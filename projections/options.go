package projections

import (
	"errors"
	"fmt"
	"log/slog"
	"time"

	"quipu/domain"
	"quipu/projections/view"
)

// While events keep coming, projecting takes at most one part in lingerShare of the time, so that it
// leaves the machine to what makes the events: what waits meanwhile goes in fewer, bigger and so
// cheaper commits. lingerBusyMax bounds the wait, and with it how far the views fall behind.
const (
	lingerShare   = 12
	lingerBusyMax = 100 * time.Millisecond
)

// Bounds and defaults of Options.
const (
	LingerDefault      = 20 * time.Millisecond
	LingerMax          = 10 * time.Second
	BatchEventsDefault = 5000
	BatchEventsMax     = 100_000
	BackoffMinDefault  = 100 * time.Millisecond
	BackoffMaxDefault  = 10 * time.Second
	DifferencesDefault = 100
)

// Bounds that no option changes.
const (
	// BatchBytesMax is the most bytes of events read ahead and stored by one commit; one event larger
	// than this still goes, alone.
	BatchBytesMax = 8 << 20
	// WaitersMax is how many readers wait for the views at once; beyond it ErrExhausted.
	WaitersMax = 100_000
	// StillAfter is how long opening or committing may take before the views count as standing still;
	// on a sound database either takes well under a second.
	StillAfter = 5 * time.Second
)

const (
	progressEvery       = time.Second
	rebuildRetriesAfter = time.Minute
)

// Options of a Runner. The zero value means the defaults.
type Options struct {
	// Linger is the least pace of commits while the views are caught up: events that come within it share
	// one. A reader that waits cuts it short. Default 20 ms; below 0: none.
	Linger time.Duration
	// BatchEvents bounds the events of one commit. Default 5,000.
	BatchEvents int
	// BackoffMin and BackoffMax bound the wait after a failure; it doubles with each in a row and is
	// shortened by up to a half at random. Defaults 100 ms and 10 s.
	BackoffMin, BackoffMax time.Duration
	// Differences bounds the differences that Verify and Rebuild report one by one; all are counted.
	// Default 100.
	Differences int
	// Owner tells whether this process projects or follows another one that does. Default: it projects.
	Owner Owner
	// FollowEvery is how often a runner that follows looks where the rows are. Default 250 ms.
	FollowEvery time.Duration
	// Random gives numbers in [0, 1) for the jitter. Default: no jitter.
	Random func() float64
	// Logger gets a line for each change of state and each parked event. Default: none.
	Logger *slog.Logger
	// Hooks observe the runner.
	Hooks Hooks
}

// Hooks observe a runner, for metrics. Each may be nil. They must not block.
type Hooks struct {
	// Committed is told of each commit to the generation that is served.
	Committed func(events, rows int, took time.Duration)
	// Projected is told of the events of each of those commits. They are shared and not kept.
	Projected func(events []domain.Recorded, took time.Duration)
	// Parked is told of each event that was parked there.
	Parked func(view.Parked)
	// Failed is told of each failure.
	Failed func(err error)
	// Rebuilt is told of each generation that was built and promoted.
	Rebuilt func(took time.Duration)
}

func (o Options) withDefaults() Options {
	if o.Linger == 0 {
		o.Linger = LingerDefault
	}
	if o.BatchEvents == 0 {
		o.BatchEvents = BatchEventsDefault
	}
	if o.BackoffMin == 0 {
		o.BackoffMin = BackoffMinDefault
	}
	if o.BackoffMax == 0 {
		o.BackoffMax = BackoffMaxDefault
	}
	if o.FollowEvery == 0 {
		o.FollowEvery = followEveryDefault
	}
	if o.Differences == 0 {
		o.Differences = DifferencesDefault
	}
	if o.Random == nil {
		o.Random = func() float64 { return 0 }
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return o
}

// Validate reports every option out of bounds.
func (o Options) Validate() error {
	o = o.withDefaults()
	var errs []error
	if o.Linger > LingerMax {
		errs = append(errs, fmt.Errorf("option Linger is %v, at most %v is allowed", o.Linger, LingerMax))
	}
	if o.BatchEvents < 1 || o.BatchEvents > BatchEventsMax {
		errs = append(errs, fmt.Errorf("BatchEvents is %d, 1..%d are allowed", o.BatchEvents, BatchEventsMax))
	}
	if o.BackoffMin < 0 || o.BackoffMax < o.BackoffMin {
		errs = append(errs, fmt.Errorf("BackoffMin %v and BackoffMax %v are not 0 <= min <= max", o.BackoffMin, o.BackoffMax))
	}
	if o.FollowEvery < 0 {
		errs = append(errs, fmt.Errorf("option FollowEvery is %v: must be positive", o.FollowEvery))
	}
	if o.Differences < 0 {
		errs = append(errs, fmt.Errorf("option Differences is %d, at least 0 is needed", o.Differences))
	}
	return errors.Join(errs...)
}

// linger is the wait after a commit that took so long.
func (o Options) linger(took time.Duration) time.Duration {
	if o.Linger < 0 {
		return 0
	}
	return max(o.Linger, min((lingerShare-1)*took, lingerBusyMax))
}

// backoff is the wait after the n-th failure in a row, n >= 1.
func (o Options) backoff(n int) time.Duration {
	d := o.BackoffMax
	if n < 32 {
		d = min(o.BackoffMin<<(n-1), o.BackoffMax)
	}
	return d - time.Duration(o.Random()*float64(d)/2)
}
