package projections

import (
	"quipu/domain"
)

// CacheRowsMax bounds the rows of unfinished executions and their open tasks that a projection keeps
// in memory; the ones beyond it are loaded again when an event of them comes.
const CacheRowsMax = 50_000

// cache keeps what further events change, so that projecting loads nothing while runs go on.
type cache struct {
	runs map[string]Run
	rows int
}

func newCache() *cache { return &cache{runs: map[string]Run{}} }

// take moves what is known of ids into to and returns the ids it does not know.
func (c *cache) take(ids []string, to map[string]Run) (missing []string) {
	for _, id := range ids {
		if r, ok := c.runs[id]; ok {
			to[id] = r
		} else {
			missing = append(missing, id)
		}
	}
	return missing
}

// put keeps runs as they are after a commit. What has ended is forgotten.
func (c *cache) put(runs map[string]Run) {
	for id, r := range runs {
		c.drop(id)
		if r.Execution.Status.Ended() {
			continue
		}
		// What an execution is born with is stored already, and an input may be large.
		r.Execution.Input = domain.Value{}
		c.runs[id] = r
		c.rows += 1 + len(r.Open)
	}
	for id := range c.runs {
		if c.rows <= CacheRowsMax {
			return
		}
		c.drop(id)
	}
}

func (c *cache) drop(id string) {
	if r, ok := c.runs[id]; ok {
		c.rows -= 1 + len(r.Open)
		delete(c.runs, id)
	}
}
