package members

import (
	"slices"
	"time"

	"quipu/commands"
)

// row is one node as the database has it.
type row struct {
	node     string
	level    int
	draining bool
	left     time.Duration // of its lease; not above 0: it has lapsed
}

// seen is one look at the database.
type seen struct {
	at       time.Duration // monotonic
	rows     []row         // of all nodes that neither left nor lapsed long ago, this one's among them
	troubled bool          // looking has failed or taken long since the last look
}

// settled is which nodes are in force, and how that follows from what was seen. It does no I/O.
//
// Normally a lease that has lapsed ends its node. But when the database was away, all leases have lapsed
// and all nodes are alive; the first to come back would find itself alone and take everybody's work,
// until the others come back, too. So after any trouble what was in force stays so for one TTL more,
// unless it left by itself. Nodes that join count at once.
type settled struct {
	nodes commands.Nodes
	until time.Duration // up to here nobody is dropped for a lapsed lease
	begun bool
}

// next folds a look into what is in force.
func (s settled) next(look seen, self string, ttl time.Duration) settled {
	out := settled{begun: true, until: s.until}
	alone := !slices.ContainsFunc(look.rows, func(r row) bool { return r.node != self && r.left > 0 })
	switch {
	case look.troubled && s.begun:
		out.until = look.at + ttl
	case !s.begun && alone:
		// Are they all dead, or has the database been away? They count until that is clear.
		out.until = look.at + ttl
		for _, r := range look.rows {
			s.nodes.Alive = append(s.nodes.Alive, r.node)
		}
	}
	for _, r := range look.rows {
		if r.left > 0 || look.at < out.until && slices.Contains(s.nodes.Alive, r.node) {
			out.nodes.Alive = append(out.nodes.Alive, r.node)
			if !r.draining {
				out.nodes.Owners = append(out.nodes.Owners, r.node)
			}
		}
	}
	slices.Sort(out.nodes.Alive)
	slices.Sort(out.nodes.Owners)
	return out
}

// wait is how long the next look may wait: until the next renewal is due, or the next lease of another
// node ends, or the time of settling.
func (s settled) wait(look seen, self string, renew time.Duration) time.Duration {
	const margin = 5 * time.Millisecond // so that it has certainly lapsed then
	d := renew
	for _, r := range look.rows {
		if r.node != self && r.left > 0 {
			d = min(d, r.left+margin)
		}
	}
	if rest := s.until - look.at; rest > 0 {
		d = min(d, rest+margin)
	}
	return d
}

func same(a, b commands.Nodes) bool {
	return slices.Equal(a.Owners, b.Owners) && slices.Equal(a.Alive, b.Alive)
}
