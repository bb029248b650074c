package commands

import (
	"container/heap"
	"sync"
	"sync/atomic"
	"time"
)

// sleepers are the runs that only wait, for an instant, a decision, a message or to be resumed, and are
// not held in memory: of each only its id and the instant are kept. One timer stands for the earliest.
//
// They are no truth: recovery opens every unfinished run, and those that may sleep again do.
type sleepers struct {
	max   int64
	count atomic.Int64 // entries, and places promised to runs that are about to become one

	mu    sync.Mutex
	byID  map[string]*sleeper
	queue sleeperQueue
	stop  func() bool // of the timer; nil if none is set
	rings time.Time   // when it does
}

type sleeper struct {
	id    string
	due   int64 // Unix milliseconds
	index int   // in the queue
}

// reserve promises a place among the sleepers; false if all are taken.
func (s *sleepers) reserve() bool {
	if s.count.Add(1) > s.max {
		s.count.Add(-1)
		return false
	}
	return true
}

// add makes a run that has a promised place sleep.
func (s *sleepers) add(id string, due time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if old := s.byID[id]; old != nil {
		// It was opened by another way than its timer, and sleeps again.
		s.count.Add(-1)
		old.due = due.UnixMilli()
		heap.Fix(&s.queue, old.index)
		return
	}
	if s.byID == nil {
		s.byID = map[string]*sleeper{}
	}
	e := &sleeper{id: id, due: due.UnixMilli()}
	s.byID[id] = e
	heap.Push(&s.queue, e)
}

// change sets when a run is due, if it still sleeps.
func (s *sleepers) change(id string, due time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if e := s.byID[id]; e != nil {
		e.due = due.UnixMilli()
		heap.Fix(&s.queue, e.index)
	}
}

// remove forgets a run, as one that has ended; false if it did not sleep.
func (s *sleepers) remove(id string) bool {
	if s.count.Load() == 0 {
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.byID[id]
	if e == nil {
		return false
	}
	heap.Remove(&s.queue, e.index)
	s.forget(e)
	return true
}

// take returns a run that is due, "" if none is.
func (s *sleepers) take(now time.Time) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.queue) == 0 || s.queue[0].due > now.UnixMilli() {
		return ""
	}
	e := heap.Pop(&s.queue).(*sleeper)
	s.forget(e)
	return e.id
}

func (s *sleepers) forget(e *sleeper) {
	delete(s.byID, e.id)
	s.count.Add(-1)
	if len(s.byID) == 0 {
		s.byID, s.queue = nil, nil // maps do not shrink
	}
}

// next is when the earliest is due.
func (s *sleepers) next() (time.Time, bool) {
	if len(s.queue) == 0 || s.queue[0].due == never.UnixMilli() {
		return time.Time{}, false
	}
	return time.UnixMilli(s.queue[0].due), true
}

// sleeperQueue is a heap by due.
type sleeperQueue []*sleeper

func (q sleeperQueue) Len() int           { return len(q) }
func (q sleeperQueue) Less(i, j int) bool { return q[i].due < q[j].due }
func (q sleeperQueue) Swap(i, j int) {
	q[i], q[j] = q[j], q[i]
	q[i].index, q[j].index = i, j
}

func (q *sleeperQueue) Push(x any) {
	e := x.(*sleeper)
	e.index = len(*q)
	*q = append(*q, e)
}

func (q *sleeperQueue) Pop() any {
	last := len(*q) - 1
	e := (*q)[last]
	(*q)[last] = nil
	*q = (*q)[:last]
	return e
}

// sleepStepMax is how long the sleepers' timer runs before it looks at the wall clock again.
const sleepStepMax = time.Minute

// never is when a run is due that only a command can bring on.
var never = time.UnixMilli(1<<62 - 1)

// sleep drops a run until it is due; the zero time stands for never.
func (e *Executor) sleep(runID string, due time.Time) {
	if due.IsZero() {
		due = never
	}
	e.sleepers.add(runID, due)
	e.countSleepers()
	e.alarm()
}

// alarm sets the sleepers' timer for the earliest of them. Once the executor stops it sets none.
func (e *Executor) alarm() {
	s := &e.sleepers
	s.mu.Lock()
	defer s.mu.Unlock()
	at, ok := s.next()
	if e.work.Err() != nil {
		ok = false
	}
	if s.stop != nil {
		if ok && !s.rings.After(at) {
			return // early enough; it looks again then
		}
		if s.stop() {
			e.wg.Done()
		}
		s.stop = nil
	}
	if !ok {
		return
	}
	now := e.deps.Clock.Now()
	wait := min(max(at.Sub(now), 0), sleepStepMax)
	s.rings = now.Add(wait)
	e.wg.Add(1)
	s.stop = e.deps.Clock.AfterFunc(wait, e.ring)
}

// ring opens the runs that are due, in the order they are; those that find no place wait in line.
func (e *Executor) ring() {
	defer e.wg.Done()
	e.sleepers.mu.Lock()
	e.sleepers.stop = nil
	e.sleepers.mu.Unlock()
	for e.work.Err() == nil {
		id := e.sleepers.take(e.deps.Clock.Now())
		if id == "" {
			break
		}
		_ = e.admitOpen(e.work, id)
	}
	e.countSleepers()
	e.alarm()
}

func (e *Executor) countSleepers() {
	if e.deps.Hooks.Sleeping != nil {
		e.deps.Hooks.Sleeping(e.sleeping())
	}
}

func (e *Executor) sleeping() int {
	e.sleepers.mu.Lock()
	defer e.sleepers.mu.Unlock()
	return len(e.sleepers.queue)
}
