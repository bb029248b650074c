package commands

import (
	"crypto/sha256"
	"encoding/binary"
)

// Members tells which nodes work on this log. A node is one process: its incarnation, new at each start.
// All methods are safe for concurrent use.
type Members interface {
	// Live returns the nodes in force and a channel that is closed when they change; nil if they never
	// do. Should whoever keeps them be away, those last known stay in force.
	Live() (Nodes, <-chan struct{})
}

// Nodes are the nodes in force at one moment, each list sorted and never written to.
type Nodes struct {
	// Owners share the work: runs, projectors, relays.
	Owners []string
	// Alive are the owners and those that drain: they own nothing any more, and finish what they
	// began. What a node that is not alive began is lost, and is begun anew.
	Alive []string
}

// Alone is the Members of a process that shares its log with no other.
func Alone(node string) Members { return alone{Nodes{Owners: []string{node}, Alive: []string{node}}} }

type alone struct{ nodes Nodes }

func (a alone) Live() (Nodes, <-chan struct{}) { return a.nodes, nil }

// Owner is the node that works on id: the one with the highest hash of the two together (rendezvous
// hashing). Every process that knows the same nodes says the same, and a node that comes or goes moves only
// what becomes or was its own. "" without nodes.
func Owner(nodes []string, id string) string {
	if len(nodes) == 1 {
		return nodes[0] // most servers are alone, and ask for each event
	}
	owner, most := "", uint64(0)
	key := make([]byte, 0, 128)
	for _, n := range nodes {
		// Neither holds a NUL byte: no two pairs have the same text.
		sum := sha256.Sum256(append(append(append(key[:0], n...), 0), id...))
		if w := binary.BigEndian.Uint64(sum[:8]); owner == "" || w > most {
			owner, most = n, w
		}
	}
	return owner
}
