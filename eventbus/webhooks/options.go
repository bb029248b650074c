package webhooks

import (
	"errors"
	"fmt"
	"time"
)

// Bounds and defaults.
const (
	AttemptsMaxDefault = 15
	AttemptsMaxMax     = 100
	BackoffMinDefault  = time.Second
	BackoffMaxDefault  = 10 * time.Minute
	TimeoutDefault     = 15 * time.Second
	// ConcurrencyMax is how many requests to one target are under way at once.
	ConcurrencyMax = 8
	// PendingMax is how many events wait for one target in memory; the rest waits in the log.
	PendingMax = 256
	// PendingBytesMax bounds their bytes; one event is always let in.
	PendingBytesMax = 4 << 20
	// HeldMax is how many events may be done beyond the oldest that is not. At this bound the target
	// waits for that one to be taken or given up.
	HeldMax = 10_000
	// SaveEvery is how often a checkpoint is saved at most; a crash delivers again what came since.
	SaveEvery = time.Second
	// PollEvery is how often the log is looked at without being told of news.
	PollEvery = 5 * time.Second
	// answerBytesMax is how much of an answer is read before its connection is closed instead.
	answerBytesMax = 64 << 10
)

// Options of a Sender. The zero value means the defaults.
type Options struct {
	// AttemptsMax is how often an event is posted before it is given up. Default 15, which takes about
	// an hour.
	AttemptsMax int
	// BackoffMin is the wait after the first failure; it doubles up to BackoffMax, each shortened by up
	// to a half at random. Defaults 1 s and 10 min. A receiver's Retry-After lengthens it, up to
	// BackoffMax.
	BackoffMin, BackoffMax time.Duration
	// Timeout bounds one request. Default 15 s.
	Timeout time.Duration
}

func (o Options) withDefaults() Options {
	if o.AttemptsMax == 0 {
		o.AttemptsMax = AttemptsMaxDefault
	}
	if o.BackoffMin == 0 {
		o.BackoffMin = BackoffMinDefault
	}
	if o.BackoffMax == 0 {
		o.BackoffMax = max(BackoffMaxDefault, o.BackoffMin)
	}
	if o.Timeout == 0 {
		o.Timeout = TimeoutDefault
	}
	return o
}

// Validate reports every option out of bounds.
func (o Options) Validate() error {
	o = o.withDefaults()
	var errs []error
	if o.AttemptsMax < 1 || o.AttemptsMax > AttemptsMaxMax {
		errs = append(errs, fmt.Errorf("AttemptsMax is %d, 1..%d are allowed", o.AttemptsMax, AttemptsMaxMax))
	}
	if o.BackoffMin < 0 || o.BackoffMax < o.BackoffMin {
		errs = append(errs, fmt.Errorf("BackoffMin %v and BackoffMax %v are not 0 <= min <= max", o.BackoffMin, o.BackoffMax))
	}
	if o.Timeout < 0 {
		errs = append(errs, fmt.Errorf("the option Timeout is %v, below zero", o.Timeout))
	}
	return errors.Join(errs...)
}

// backoff is the wait after the n-th failure of an event, n >= 1; the receiver asked for asked.
func (o Options) backoff(n int, asked time.Duration, random func() float64) time.Duration {
	d := o.BackoffMax
	if n < 32 {
		d = min(o.BackoffMin<<(n-1), o.BackoffMax)
	}
	d -= time.Duration(random() * float64(d) / 2)
	return max(d, min(asked, o.BackoffMax))
}
