package members

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

const second = time.Second

func live(node string) row   { return row{node: node, left: second} }
func lapsed(node string) row { return row{node: node, left: -second} }

func TestNext_Stories(t *testing.T) {
	const ttl = 3 * second
	look := func(at time.Duration, troubled bool, rows ...row) seen {
		return seen{at: at, rows: rows, troubled: troubled}
	}
	for name, c := range map[string]struct {
		looks []seen
		alive [][]string
	}{
		"a lease that lapses ends its node": {
			[]seen{look(0, false, live("a"), live("b")), look(second, false, live("a"), lapsed("b"))},
			[][]string{{"a", "b"}, {"a"}},
		},
		"after trouble they count for a while": {
			[]seen{look(0, false, live("a"), live("b")), look(9*second, true, live("a"), lapsed("b")), look(11*second, false, live("a"), lapsed("b")), look(12*second, false, live("a"), lapsed("b"))},
			[][]string{{"a", "b"}, {"a", "b"}, {"a", "b"}, {"a"}},
		},
		"whoever left is gone all the same": {
			[]seen{look(0, false, live("a"), live("b")), look(9*second, true, live("a"))},
			[][]string{{"a", "b"}, {"a"}},
		},
		"a new node counts at once": {
			[]seen{look(0, false, live("a")), look(9*second, true, live("a"), live("c"))},
			[][]string{{"a"}, {"a", "c"}},
		},
		"the first after an outage waits for the others": {
			[]seen{look(0, false, live("a"), lapsed("b")), look(2*second, false, live("a"), live("b")), look(4*second, false, live("a"), live("b"))},
			[][]string{{"a", "b"}, {"a", "b"}, {"a", "b"}},
		},
		"the only one left after a crash takes over in the end": {
			[]seen{look(0, false, live("a"), lapsed("b")), look(3*second, false, live("a"), lapsed("b"))},
			[][]string{{"a", "b"}, {"a"}},
		},
		"whoever joins others believes them": {
			[]seen{look(0, false, live("a"), live("b"), lapsed("c"))},
			[][]string{{"a", "b"}},
		},
		"one that was long out of force does not come back by trouble": {
			[]seen{look(0, false, live("a"), live("b"), lapsed("c")), look(9*second, true, live("a"), lapsed("b"), lapsed("c"))},
			[][]string{{"a", "b"}, {"a", "b"}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			var s settled
			for i, l := range c.looks {
				s = s.next(l, "a", ttl)
				require.Equal(t, c.alive[i], s.nodes.Alive, "look %d", i)
				require.Equal(t, c.alive[i], s.nodes.Owners, "look %d", i)
			}
		})
	}
}

// Whatever is seen: live nodes are always in force, those that are gone never, and owners are alive.
func TestNext_Laws(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for range 2000 {
		var s settled
		at := time.Duration(0)
		for range 12 {
			at += time.Duration(random.IntN(4000)) * time.Millisecond
			l := seen{at: at, troubled: random.IntN(4) == 0, rows: []row{live("a")}}
			present := map[string]row{"a": l.rows[0]}
			for _, n := range []string{"b", "c", "d"} {
				r := row{node: n, left: time.Duration(random.IntN(6000)-3000) * time.Millisecond, draining: random.IntN(4) == 0}
				if random.IntN(3) > 0 {
					l.rows = append(l.rows, r)
					present[n] = r
				}
			}
			before := s
			s = s.next(l, "a", 3*second)
			require.IsIncreasing(t, append([]string{""}, s.nodes.Alive...))
			for _, r := range l.rows {
				if r.left > 0 {
					require.Contains(t, s.nodes.Alive, r.node)
				}
			}
			for _, n := range s.nodes.Alive {
				r, ok := present[n]
				require.True(t, ok, "gone")
				if r.left <= 0 && before.begun {
					require.Contains(t, before.nodes.Alive, n, "nobody comes back without a lease")
					require.Less(t, at, s.until)
				}
				require.Equal(t, !r.draining, contains(s.nodes.Owners, n))
			}
			require.Subset(t, s.nodes.Alive, s.nodes.Owners)
			wait := s.wait(l, "a", second)
			require.True(t, wait > 0 && wait <= second, "%v", wait)
		}
	}
}

func contains(all []string, one string) bool {
	for _, s := range all {
		if s == one {
			return true
		}
	}
	return false
}
