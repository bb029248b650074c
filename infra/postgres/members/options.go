package members

import (
	"errors"
	"fmt"
	"log/slog"
	"time"

	"quipu/domain"
)

// Bounds and defaults of Options.
const (
	TTLDefault   = 3 * time.Second
	TTLMin       = 300 * time.Millisecond
	TTLMax       = 5 * time.Minute
	RenewDefault = time.Second
	// NodesMax is how many nodes share one log; a further one is refused until another has left.
	NodesMax = 64
	// TextBytesMax bounds names and versions.
	TextBytesMax = 256
)

// Clock is what membership needs of a clock: only how much time passes, since leases are judged by the
// database's.
type Clock interface {
	Monotonic() time.Duration
	AfterFunc(d time.Duration, f func()) (stop func() bool)
}

// Options of a membership. Node, Log, Level and Clock are needed.
type Options struct {
	Node    string       // this process's incarnation, new at each start
	Log     domain.LogID // nodes of one log are members of each other
	Name    string       // for people: of the machine
	Version string       // for people: of the program
	Level   int          // the highest feature level this program knows, at least 1
	// TTL is how long a lease lasts: the time in which a node that died is noticed. Default 3 s.
	TTL time.Duration
	// Renew is how often it is renewed. Default 1 s; at most half of TTL.
	Renew time.Duration
	Clock Clock
	// Logger gets a line for each change. Default: none.
	Logger *slog.Logger
	Hooks  Hooks
}

// Hooks observe a membership. Each may be nil. They must not block.
type Hooks struct {
	// Health is told after each renewal how the membership is: nil, or what is wrong.
	Health func(error)
	// Changed is told the number of owners and of nodes alive whenever the set changes.
	Changed func(owners, alive int)
	// Renewed is told how long each renewal took, and its error.
	Renewed func(took time.Duration, err error)
}

func (o Options) withDefaults() Options {
	if o.TTL == 0 {
		o.TTL = TTLDefault
	}
	if o.Renew == 0 {
		o.Renew = min(RenewDefault, o.TTL/3)
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Hooks.Health == nil {
		o.Hooks.Health = func(error) {}
	}
	if o.Hooks.Changed == nil {
		o.Hooks.Changed = func(int, int) {}
	}
	if o.Hooks.Renewed == nil {
		o.Hooks.Renewed = func(time.Duration, error) {}
	}
	return o
}

// Validate reports every field that is out of bounds, by name.
func (o Options) Validate() error {
	o = o.withDefaults()
	var errs []error
	check := func(ok bool, format string, args ...any) {
		if !ok {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	check(o.Node != "" && len(o.Node) <= TextBytesMax, "Node has %d bytes, 1 to %d are allowed", len(o.Node), TextBytesMax)
	check(len(o.Name) <= TextBytesMax && len(o.Version) <= TextBytesMax, "Name and Version have at most %d bytes", TextBytesMax)
	check(o.Log != "", "Log is empty")
	check(o.Level >= 1, "Level %d: at least 1", o.Level)
	check(o.Clock != nil, "Clock is missing")
	check(o.TTL >= TTLMin && o.TTL <= TTLMax, "TTL %v: %v to %v are allowed", o.TTL, TTLMin, TTLMax)
	check(o.Renew > 0 && o.Renew <= o.TTL/2, "Renew %v: at most half of TTL, which is %v", o.Renew, o.TTL)
	return errors.Join(errs...)
}
