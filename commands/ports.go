package commands

import (
	"context"
	"time"

	"quipu/domain"
)

// Clock is the only source of time. Safe for concurrent use.
type Clock interface {
	Now() time.Time
	// AfterFunc calls f once in its own goroutine after d; stop prevents that if it comes in time.
	AfterFunc(d time.Duration, f func()) (stop func() bool)
}

// IDs is the only source of identity and randomness. Safe for concurrent use.
type IDs interface {
	NewID() string   // a UUIDv7
	Jitter() float64 // in [0,1)
}

// Blobs keeps large payloads by content.
type Blobs interface {
	// Put makes content durable before it returns its lower-case hex SHA-256.
	Put(ctx context.Context, content []byte) (string, error)
	// Get returns the content. Errors: ErrNotFound, ErrCorrupt.
	Get(ctx context.Context, sha256 string) ([]byte, error)
}

// Effects runs attempts in a bounded pool.
type Effects interface {
	// Submit queues one attempt and returns at once. do runs under a context derived from ctx that
	// ends after timeout (0 = no limit of its own); done is called exactly once, with do's error, a
	// recovered panic as an error, or the reason why do never ran. metadata are keys and values in
	// turn.
	Submit(ctx context.Context, id string, timeout time.Duration, do func(context.Context) error, done func(error), metadata ...string)
}

// Hooks receive what operators watch. Every field may be nil. They are called from hot paths and
// must not block.
type Hooks struct {
	Appended func(events int, took time.Duration, err error)
	Runs     func(active, pending, quarantined int)
	Sleeping func(runs int)        // how many runs wait for an instant, out of memory
	Started  func(function string) // an effect was handed over; Effect follows exactly once
	Effect   func(function string, took time.Duration, outcome string)
	Command  func(name string, took time.Duration, err error)
	Ended    func(status string)
	// Awaits says that a task of a run waits for an event of that name: once when it begins to, and again
	// whenever the run is taken up; over says that it does so no more, without a task that none of the run's
	// does: its end, or another node is told from now on.
	Awaits      func(runID, task, channel string, over bool)
	Quarantined func(stream domain.StreamID, err error)
	// Delta is told of text as a model says it, in order for each attempt, while it is being said:
	// for live readers only, nothing is stored. Known secrets are masked.
	Delta func(d Delta)
}

// Limits are the executor's bounds; the zero value takes the defaults.
type Limits struct {
	// ActiveRunsMax is how many unfinished runs are held in memory and worked on at once
	// (default 10,000; see SleepingRunsMax for those that only wait). Further starts are durable and wait.
	ActiveRunsMax int
	// PendingRunsMax is how many durable starts may wait (default 100,000; below 0: none); beyond it starts are
	// refused with ErrExhausted.
	PendingRunsMax int
	// SleepingRunsMax is how many runs that only wait for timers and retries may be out of memory
	// (default 1,000,000; below 0: none), each taking about 150 bytes. A run beyond it keeps its
	// place among the active ones while it waits.
	SleepingRunsMax int
	// SleepAfter is how far the nearest timer or retry must be for a run to sleep (default 5s).
	SleepAfter time.Duration
	// MailboxMax is how many outside commands may wait for one run (default 128), beside the slots
	// reserved for its tasks' results; beyond it ErrExhausted.
	MailboxMax int
	// TaskTimeout bounds one attempt whose definition and type say nothing (default 2m).
	TaskTimeout time.Duration
	// AppendRetryMax caps the backoff between repeats of an append (default 5s).
	AppendRetryMax time.Duration
}

func (l Limits) withDefaults() Limits {
	def := func(v *int, d int) {
		if *v <= 0 {
			*v = d
		}
	}
	def(&l.ActiveRunsMax, 10_000)
	if l.PendingRunsMax == 0 {
		l.PendingRunsMax = 100_000
	}
	if l.SleepingRunsMax == 0 {
		l.SleepingRunsMax = 1_000_000
	}
	if l.SleepAfter <= 0 {
		l.SleepAfter = 5 * time.Second
	}
	def(&l.MailboxMax, 128)
	if l.TaskTimeout <= 0 {
		l.TaskTimeout = 2 * time.Minute
	}
	if l.AppendRetryMax <= 0 {
		l.AppendRetryMax = 5 * time.Second
	}
	return l
}
