// Package faulty wraps the ports of the write side so that they delay, fail, repeat and cut, driven
// by a seed. Only tests and the simulator import it.
//
// A fault is drawn per call, in the order of the calls: one goroutine and one seed give one history.
// What a wrapper answers is always true: after Unavailable nothing is stored, after Indeterminate it
// is or is not.
package faulty

import (
	"context"
	"math/rand/v2"
	"sync"

	"quipu/commands"
	"quipu/domain"
)

// Rates say how many of 100 calls meet a fault; the zero value is harmless.
type Rates struct {
	Refused    int // append: ErrUnavailable, not stored
	Lost       int // append: ErrIndeterminate, not stored
	Unanswered int // append: ErrIndeterminate, stored
	Overtaken  int // append: Overtake is called first
	Repeated   int // append: sent twice, as a network does
	Unread     int // reads: ErrUnavailable
	Cut        int // subscriptions: closed with ErrUnavailable before a batch
}

// Options of a Log.
type Options struct {
	Seed  uint64
	Rates Rates
	// Overtake is another process that writes to the log just before an append does.
	Overtake func(ctx context.Context, log commands.Log, stream domain.StreamID, expected domain.Revision)
	// Delay is called before each call is carried out and may wait for something.
	Delay func(ctx context.Context, op string)
}

// Log is a commands.Log with faults. Safe for concurrent use.
type Log struct {
	commands.Log // the one behind it, without faults
	options      Options
	dice         dice
}

var _ commands.Log = (*Log)(nil)

// NewLog wraps log.
func NewLog(log commands.Log, o Options) *Log {
	return &Log{Log: log, options: o, dice: newDice(o.Seed)}
}

// SetRates changes the faults from the next call on; Rates{} heals the log.
func (l *Log) SetRates(r Rates) {
	l.dice.mu.Lock()
	defer l.dice.mu.Unlock()
	l.options.Rates = r
}

func (l *Log) rates() Rates {
	l.dice.mu.Lock()
	defer l.dice.mu.Unlock()
	return l.options.Rates
}

func (l *Log) delay(ctx context.Context, op string) {
	if l.options.Delay != nil {
		l.options.Delay(ctx, op)
	}
}

// Append implements commands.Log.
func (l *Log) Append(ctx context.Context, stream domain.StreamID, expected domain.Revision, events []domain.Pending) (commands.Appended, error) {
	l.delay(ctx, "append")
	r := l.rates()
	switch n := l.dice.roll(r.Refused, r.Lost, r.Unanswered, r.Overtaken, r.Repeated); n {
	case 0:
		return commands.Appended{}, fault(domain.KindUnavailable, "append to", stream)
	case 1:
		return commands.Appended{}, fault(domain.KindIndeterminate, "append to", stream)
	case 2:
		if _, err := l.Log.Append(ctx, stream, expected, events); err != nil {
			return commands.Appended{}, err
		}
		return commands.Appended{}, fault(domain.KindIndeterminate, "append to", stream)
	case 3:
		if l.options.Overtake != nil {
			l.options.Overtake(ctx, l.Log, stream, expected)
		}
	case 4:
		if a, err := l.Log.Append(ctx, stream, expected, events); err != nil {
			return a, err
		}
	}
	return l.Log.Append(ctx, stream, expected, events)
}

func (l *Log) unread(ctx context.Context, stream domain.StreamID) error {
	l.delay(ctx, "read")
	if l.dice.roll(l.rates().Unread) == 0 {
		return fault(domain.KindUnavailable, "read", stream)
	}
	return nil
}

// ReadStream implements commands.Log.
func (l *Log) ReadStream(ctx context.Context, stream domain.StreamID, from domain.Revision, max int) ([]domain.Recorded, error) {
	if err := l.unread(ctx, stream); err != nil {
		return nil, err
	}
	return l.Log.ReadStream(ctx, stream, from, max)
}

// ReadStreamBackward implements commands.Log.
func (l *Log) ReadStreamBackward(ctx context.Context, stream domain.StreamID, from domain.Revision, max int) ([]domain.Recorded, error) {
	if err := l.unread(ctx, stream); err != nil {
		return nil, err
	}
	return l.Log.ReadStreamBackward(ctx, stream, from, max)
}

// ReadAll implements commands.Log.
func (l *Log) ReadAll(ctx context.Context, after domain.Position, max int) ([]domain.Recorded, error) {
	if err := l.unread(ctx, "log"); err != nil {
		return nil, err
	}
	return l.Log.ReadAll(ctx, after, max)
}

// Head implements commands.Log.
func (l *Log) Head(ctx context.Context) (domain.Position, error) {
	if err := l.unread(ctx, "log"); err != nil {
		return 0, err
	}
	return l.Log.Head(ctx)
}

// Subscribe implements commands.Log.
func (l *Log) Subscribe(ctx context.Context, after domain.Position, prefix string) (commands.Subscription, error) {
	if err := l.unread(ctx, "log"); err != nil {
		return nil, err
	}
	s, err := l.Log.Subscribe(ctx, after, prefix)
	if err != nil {
		return nil, err
	}
	return &subscription{Subscription: s, log: l}, nil
}

type subscription struct {
	commands.Subscription
	log *Log
}

// Next implements commands.Subscription.
func (s *subscription) Next(ctx context.Context) (commands.Batch, error) {
	s.log.delay(ctx, "next")
	if s.log.dice.roll(s.log.rates().Cut) == 0 {
		_ = s.Close()
	}
	return s.Subscription.Next(ctx)
}

// Blobs are commands.Blobs of which some calls in 100 fail with ErrUnavailable.
type Blobs struct {
	commands.Blobs
	put, get int
	dice     dice
}

// NewBlobs wraps blobs.
func NewBlobs(blobs commands.Blobs, seed uint64, put, get int) *Blobs {
	return &Blobs{Blobs: blobs, put: put, get: get, dice: newDice(seed)}
}

// Put implements commands.Blobs.
func (b *Blobs) Put(ctx context.Context, content []byte) (string, error) {
	if b.dice.roll(b.put) == 0 {
		return "", fault(domain.KindUnavailable, "put", "blob")
	}
	return b.Blobs.Put(ctx, content)
}

// Get implements commands.Blobs.
func (b *Blobs) Get(ctx context.Context, sha256 string) ([]byte, error) {
	if b.dice.roll(b.get) == 0 {
		return nil, fault(domain.KindUnavailable, "get", "blob")
	}
	return b.Blobs.Get(ctx, sha256)
}

func fault(kind domain.Kind, op string, subject domain.StreamID) error {
	return domain.E(kind, op, string(subject), "injected fault")
}

// dice is a seeded source shared by many callers.
type dice struct {
	mu     *sync.Mutex
	random *rand.Rand
}

func newDice(seed uint64) dice {
	return dice{mu: new(sync.Mutex), random: rand.New(rand.NewPCG(seed, 1))}
}

// roll returns which of the rates, in percent and together at most 100, was hit; -1 if none.
func (d dice) roll(rates ...int) int {
	d.mu.Lock()
	defer d.mu.Unlock()
	n := d.random.IntN(100)
	for i, r := range rates {
		if n -= r; n < 0 {
			return i
		}
	}
	return -1
}
