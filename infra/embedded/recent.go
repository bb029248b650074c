package embedded

import (
	"sort"
	"sync"

	"quipu/domain"
)

// recent keeps the newest commits in memory, so that followers of the log and readers of what was
// just written do not touch the files. It drops the oldest commit when it holds too many events or
// bytes; a reader that needs those goes to the files.
type recent struct {
	eventsMax, bytesMax int

	mu      sync.RWMutex
	commits []*commit // by position, without gap; commits[:dropped] are gone
	dropped int
	events  int
	bytes   int
}

// commit is one batch as it was written. Its records are never changed.
type commit struct {
	segment uint32
	first   domain.Position
	events  int
	bytes   int
	appends []committed

	once    sync.Once
	decoded []domain.Recorded
}

// committed is one append of a commit.
type committed struct {
	stream *stream
	record []byte
	offset uint32 // of the record in its segment
	before int    // events of the commit before it
	events int
	last   string // type of its last event
}

func (c *commit) last() domain.Position { return c.first + domain.Position(c.events) - 1 }

// recorded decodes the commit when it is first asked for; the result is shared.
func (c *commit) recorded(types *typeNames) []domain.Recorded {
	c.once.Do(func() {
		all := make([]domain.Recorded, 0, c.events)
		for i := range c.appends {
			a := &c.appends[i]
			r, _ := decodeRecord(a.record) // we encoded it
			all, _ = appendRecorded(all, &r, a.stream.id, 0, types)
		}
		c.decoded = all
	})
	return c.decoded
}

func (r *recent) push(c *commit) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.commits = append(r.commits, c)
	r.events += c.events
	r.bytes += c.bytes
	for (r.events > r.eventsMax || r.bytes > r.bytesMax) && r.dropped < len(r.commits) {
		old := r.commits[r.dropped]
		r.commits[r.dropped] = nil
		r.dropped++
		r.events -= old.events
		r.bytes -= old.bytes
	}
	if r.dropped > 64 && r.dropped > len(r.commits)/2 {
		n := copy(r.commits, r.commits[r.dropped:])
		clear(r.commits[n:])
		r.commits, r.dropped = r.commits[:n], 0
	}
}

// after returns the commit that holds the event after a position, nil if it is not here.
func (r *recent) after(p domain.Position) *commit {
	r.mu.RLock()
	defer r.mu.RUnlock()
	live := r.commits[r.dropped:]
	if len(live) == 0 || p+1 < live[0].first {
		return nil
	}
	i := sort.Search(len(live), func(i int) bool { return live[i].last() > p })
	if i == len(live) {
		return nil
	}
	return live[i]
}

// at returns the events of the append at that place, nil if it is not here.
func (r *recent) at(p place, types *typeNames) []domain.Recorded {
	c := r.commitAt(p)
	if c == nil {
		return nil
	}
	i := sort.Search(len(c.appends), func(i int) bool { return c.appends[i].offset >= p.offset })
	if i == len(c.appends) || c.appends[i].offset != p.offset {
		return nil
	}
	a := &c.appends[i]
	return c.recorded(types)[a.before : a.before+a.events : a.before+a.events]
}

func (r *recent) commitAt(p place) *commit {
	r.mu.RLock()
	defer r.mu.RUnlock()
	live := r.commits[r.dropped:]
	i := sort.Search(len(live), func(i int) bool {
		return p.before(live[i].segment, live[i].appends[0].offset)
	}) - 1
	if i < 0 || live[i].segment != p.segment {
		return nil
	}
	return live[i]
}
