package eventbus

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"time"
)

// Bounds and defaults of Options.
const (
	QueueEventsDefault   = 64
	QueueEventsMax       = 1 << 16
	HistoryEventsDefault = 128
	BackoffMinDefault    = 100 * time.Millisecond
	BackoffMaxDefault    = 10 * time.Second
)

// Options of a Hub. The zero value means the defaults.
type Options struct {
	// QueueEvents bounds the events that wait for one follower; when one more comes, the queue is
	// dropped and the follower goes back to the log. Default 64.
	QueueEvents int
	// HistoryEvents is the most events a Reader takes from the log at once. Default 128.
	HistoryEvents int
	// Prefix restricts the subscription to streams whose id starts with it. Default "": all.
	Prefix string
	// BackoffMin and BackoffMax bound the wait before the log is subscribed to again; it doubles
	// with each failure in a row and is shortened by up to a half at random, so that many
	// processes do not come back at once. Defaults 100 ms and 10 s.
	BackoffMin, BackoffMax time.Duration
	// Random gives numbers in [0, 1) for the jitter. Default math/rand/v2.
	Random func() float64
	// Hooks observe the hub.
	Hooks Hooks
}

func (o Options) withDefaults() Options {
	if o.QueueEvents == 0 {
		o.QueueEvents = QueueEventsDefault
	}
	if o.HistoryEvents == 0 {
		o.HistoryEvents = HistoryEventsDefault
	}
	if o.BackoffMin == 0 {
		o.BackoffMin = BackoffMinDefault
	}
	if o.BackoffMax == 0 {
		o.BackoffMax = BackoffMaxDefault
	}
	if o.Random == nil {
		o.Random = rand.Float64
	}
	return o
}

// Validate reports every option out of bounds.
func (o Options) Validate() error {
	o = o.withDefaults()
	var errs []error
	if o.QueueEvents < 1 || o.QueueEvents > QueueEventsMax {
		errs = append(errs, fmt.Errorf("QueueEvents is %d, 1..%d are allowed", o.QueueEvents, QueueEventsMax))
	}
	if o.HistoryEvents < 1 {
		errs = append(errs, fmt.Errorf("HistoryEvents is %d, at least 1 is needed", o.HistoryEvents))
	}
	if o.BackoffMin < 0 || o.BackoffMax < o.BackoffMin {
		errs = append(errs, fmt.Errorf("BackoffMin %v and BackoffMax %v are not 0 <= min <= max", o.BackoffMin, o.BackoffMax))
	}
	return errors.Join(errs...)
}

// backoff is the wait after the n-th failure in a row, n >= 1.
func (o Options) backoff(n int) time.Duration {
	d := o.BackoffMax
	if n < 32 {
		d = min(o.BackoffMin<<(n-1), o.BackoffMax)
	}
	return d - time.Duration(o.Random()*float64(d)/2)
}
