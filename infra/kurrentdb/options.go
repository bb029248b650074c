package kurrentdb

import (
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"
)

// Bounds and defaults.
const (
	// PrefixDefault stands before the names of Quipu's streams on the server.
	PrefixDefault = "quipu."
	// PrefixBytesMax is the longest prefix.
	PrefixBytesMax = 64
	// CallsMax is how many calls one connection has open at once. Servers allow 100 and let the next
	// wait until its deadline, without a word.
	CallsMax = 90
	// historyMax is how many subscriptions read history at once, so that other reads find a place.
	historyMax = 16
	// callAttemptsMax is how often one call is sent in all when its outcome is unknown.
	callAttemptsMax = 3
	// strikesMax is how many calls in a row may find no answer before the connection is given up.
	strikesMax = 3

	// searchWindow is how many events of others the server looks at between two checkpoints.
	searchWindow       = 2000
	checkpointInterval = 1
)

// Options of Open. URL is required; zero values mean the defaults.
type Options struct {
	// URL is the connection string: esdb://, esdb+discover://, kurrentdb:// or kurrentdb+discover://,
	// then [user:password@]host[:port][,host…][?key=value&…].
	URL string
	// Prefix stands before the names of Quipu's streams, 1..PrefixBytesMax bytes, not starting with "$".
	// Two Quipus on one server have prefixes of which neither starts with the other. Default PrefixDefault.
	Prefix string
	// CallTimeout is how long one call may take, waiting for a connection included; then it fails.
	// Default 10 s.
	CallTimeout time.Duration
	// ConnectWait is how long after the loss of a connection calls wait for the next one; later they fail
	// at once. Default 2 s.
	ConnectWait time.Duration
	// OpenTimeout is how long Open waits for a server that answers. Default 30 s.
	OpenTimeout time.Duration
	// Liveness is how long the subscription may stay behind what is known to be in the log without
	// receiving anything; then it is opened anew. Default 3 s.
	Liveness time.Duration
	// BackoffMin and BackoffMax are the first and the longest wait between two tries to connect or
	// subscribe, before jitter. Defaults 50 ms and 5 s.
	BackoffMin, BackoffMax time.Duration
	// RingEvents and RingBytes bound what is kept for the subscriptions of this process; one that falls
	// further behind reads from the server. Defaults 16,384 and 64 MiB.
	RingEvents, RingBytes int
	// Random gives numbers in [0, 1) for jitter. Default 0.5 always, so that there is none.
	Random func() float64
	// NewID makes the id of a new log. Default a random UUID.
	NewID func() string
	// Logger is told of connections lost and found. Default: discard.
	Logger *slog.Logger
	// Hooks are told for metrics; each may be nil and must not block.
	Hooks Hooks
}

// Hooks tell what happens inside.
type Hooks struct {
	// Connected and Lost tell of the connection of a role ("writes", "reads", "follow").
	Connected func(role string)
	Lost      func(role string, err error)
	// Resubscribing tells that the subscription ended and is opened anew after a wait.
	Resubscribing func(err error, wait time.Duration)
	// LeftBehind is the number of calls that the client has not returned from although nobody waits for
	// them any more; at most CallsMax for each role.
	LeftBehind func(n int64)
}

func (o Options) withDefaults() (Options, error) {
	def := func(d *time.Duration, to time.Duration) {
		if *d == 0 {
			*d = to
		}
	}
	def(&o.CallTimeout, 10*time.Second)
	def(&o.ConnectWait, 2*time.Second)
	def(&o.OpenTimeout, 30*time.Second)
	def(&o.Liveness, 3*time.Second)
	def(&o.BackoffMin, 50*time.Millisecond)
	def(&o.BackoffMax, 5*time.Second)
	if o.Prefix == "" {
		o.Prefix = PrefixDefault
	}
	if o.RingEvents == 0 {
		o.RingEvents = 16 << 10
	}
	if o.RingBytes == 0 {
		o.RingBytes = 64 << 20
	}
	if o.Random == nil {
		o.Random = func() float64 { return 0.5 }
	}
	if o.NewID == nil {
		o.NewID = uuid.NewString
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	var errs []error
	for name, d := range map[string]time.Duration{
		"CallTimeout": o.CallTimeout, "ConnectWait": o.ConnectWait, "OpenTimeout": o.OpenTimeout,
		"Liveness": o.Liveness, "BackoffMin": o.BackoffMin, "BackoffMax": o.BackoffMax - o.BackoffMin + 1,
	} {
		if d <= 0 {
			errs = append(errs, fmt.Errorf("%s is out of bounds", name))
		}
	}
	if o.RingEvents < 1 || o.RingBytes < 1 {
		errs = append(errs, errors.New("RingEvents and RingBytes must be at least 1"))
	}
	if fault := CheckPrefix(o.Prefix); fault != "" {
		errs = append(errs, fmt.Errorf("option Prefix %s", fault))
	}
	return o, errors.Join(errs...)
}

// CheckPrefix says what is wrong with a prefix, or "".
func CheckPrefix(prefix string) string {
	switch {
	case prefix == "" || len(prefix) > PrefixBytesMax:
		return fmt.Sprintf("has %d bytes, 1..%d are allowed", len(prefix), PrefixBytesMax)
	case strings.HasPrefix(prefix, "$"):
		return `starts with "$", which marks the server's own streams`
	case !utf8.ValidString(prefix) || strings.ContainsFunc(prefix, func(r rune) bool { return r < ' ' || r == 0x7f }):
		return "holds a control character, or is not UTF-8"
	}
	return ""
}

// backoff is the wait before try n (1, 2, …): doubled each time, and between half of that and all of it.
func (o *Options) backoff(n int) time.Duration {
	d := o.BackoffMin
	for range n - 1 {
		if d *= 2; d >= o.BackoffMax {
			d = o.BackoffMax
			break
		}
	}
	return d/2 + time.Duration(o.Random()*float64(d/2))
}
