// Package clocktest is a clock for tests: time stands still until the test moves it, ids and
// jitter follow from the seed.
package clocktest

import (
	"container/heap"
	"encoding/binary"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/google/uuid"
)

// Start is where a virtual clock begins if nothing else is asked for.
var Start = time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)

// Virtual is a clock that a test moves. It offers what clock.System offers. Safe for concurrent
// use; make one with New.
type Virtual struct {
	mu     sync.Mutex
	now    time.Time
	passed time.Duration
	ids    uint64
	random *rand.Rand
	timers timers
	set    uint64
}

// New returns a clock that shows at (Start if zero). Equal seeds give equal ids and jitter.
func New(at time.Time, seed uint64) *Virtual {
	if at.IsZero() {
		at = Start
	}
	return &Virtual{now: at.UTC(), random: rand.New(rand.NewPCG(seed, 0))}
}

// Now returns the time the test has set, in UTC.
func (v *Virtual) Now() time.Time {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.now
}

// Monotonic returns by how much the clock has been moved forward; moving it back changes nothing.
func (v *Virtual) Monotonic() time.Duration {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.passed
}

// move sets the time. v.mu is held.
func (v *Virtual) move(at time.Time) {
	v.passed += max(at.Sub(v.now), 0)
	v.now = at
}

// NewID returns a UUIDv7 of the virtual time and a counter: ids sort in the order they were made
// while the clock does not go back.
func (v *Virtual) NewID() string {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.ids++
	var id uuid.UUID
	binary.BigEndian.PutUint64(id[:8], uint64(v.now.UnixMilli())<<16)
	binary.BigEndian.PutUint64(id[8:], v.ids)
	id[6] = 0x70
	id[8] = id[8]&0x3f | 0x80
	return id.String()
}

// Jitter returns the seed's next number in [0, 1).
func (v *Virtual) Jitter() float64 {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.random.Float64()
}

// AfterFunc calls f once the clock has been moved by d. f runs on the goroutine that moves the
// clock, so what it does has been done when Advance returns; d <= 0 waits for the next move too.
func (v *Virtual) AfterFunc(d time.Duration, f func()) (stop func() bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.set++
	t := &timer{at: v.now.Add(max(d, 0)), order: v.set, f: f}
	heap.Push(&v.timers, t)
	return func() bool {
		v.mu.Lock()
		defer v.mu.Unlock()
		if t.f == nil {
			return false
		}
		t.f = nil // left in the heap, skipped when due
		return true
	}
}

// Advance moves the clock forward by d, calling what falls due on the way, in order of time, then
// of setting; each call sees its own due time. Timers set by those calls count. A negative d panics: use Set.
func (v *Virtual) Advance(d time.Duration) {
	if d < 0 {
		panic("clocktest: Advance by a negative duration; use Set to go back")
	}
	v.Set(v.Now().Add(d))
}

// Set moves the clock to at. Forward it behaves as Advance; backward it only changes the time, as
// a wall clock that is corrected, and no timer fires early for it.
func (v *Virtual) Set(at time.Time) {
	at = at.UTC()
	for {
		v.mu.Lock()
		if len(v.timers) == 0 || v.timers[0].at.After(at) {
			v.move(at)
			v.mu.Unlock()
			return
		}
		t := heap.Pop(&v.timers).(*timer)
		if t.at.After(v.now) {
			v.move(t.at)
		}
		f := t.f
		t.f = nil
		v.mu.Unlock()
		if f != nil {
			f()
		}
	}
}

// Next returns when the earliest timer is due, false if none is set.
func (v *Virtual) Next() (time.Time, bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	for len(v.timers) > 0 && v.timers[0].f == nil {
		heap.Pop(&v.timers)
	}
	if len(v.timers) == 0 {
		return time.Time{}, false
	}
	return v.timers[0].at, true
}

type timer struct {
	at    time.Time
	order uint64
	f     func() // nil once called or stopped
}

type timers []*timer

func (t timers) Len() int { return len(t) }

func (t timers) Less(i, j int) bool {
	if t[i].at.Equal(t[j].at) {
		return t[i].order < t[j].order
	}
	return t[i].at.Before(t[j].at)
}

func (t timers) Swap(i, j int) { t[i], t[j] = t[j], t[i] }

func (t *timers) Push(x any) { *t = append(*t, x.(*timer)) }

func (t *timers) Pop() any {
	last := len(*t) - 1
	x := (*t)[last]
	(*t)[last] = nil
	*t = (*t)[:last]
	return x
}
