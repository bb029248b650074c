package commands

import "quipu/domain/run"

// recentRuns keeps the final states of the runs that ended last, so that whoever asks for a result
// right after the end, as most do, is not served by folding the stream. It is a cache: bounded by
// count and by payload bytes, and never the only place of anything.
type recentRuns struct {
	byID  map[string]*run.State
	order []recentRun // a ring in the order of the ends
	next  int
	bytes int
}

type recentRun struct {
	id    string
	bytes int
}

// The bounds of one shard's cache. A run with more tasks is not worth keeping.
const (
	recentRunsMax  = 256
	recentTasksMax = 100
	recentBytesMax = 2 << 20
)

func newRecentRuns() *recentRuns {
	return &recentRuns{byID: make(map[string]*run.State, recentRunsMax), order: make([]recentRun, recentRunsMax)}
}

func (c *recentRuns) get(id string) *run.State { return c.byID[id] }

func (c *recentRuns) put(s *run.State) {
	size := stateBytes(s)
	if s.Tasks() > recentTasksMax || size > recentBytesMax {
		return
	}
	c.drop(c.next)
	c.order[c.next] = recentRun{id: s.RunID, bytes: size}
	c.byID[s.RunID] = s
	c.bytes += size
	c.next = (c.next + 1) % recentRunsMax
	for i := c.next; c.bytes > recentBytesMax; i = (i + 1) % recentRunsMax {
		c.drop(i)
	}
}

func (c *recentRuns) drop(i int) {
	if c.order[i].id != "" {
		delete(c.byID, c.order[i].id)
		c.bytes -= c.order[i].bytes
		c.order[i] = recentRun{}
	}
}

func stateBytes(s *run.State) int {
	n := 1024 + len(s.Input.JSON)
	for i := range s.Tasks() {
		n += 256 + len(s.Task(i).Output.JSON) + len(s.Graph.Nodes[i].Params.JSON)
	}
	return n
}
