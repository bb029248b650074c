package memory_test

import (
	"testing"
	"time"

	"quipu/commands/memberstest"
	"quipu/infra/memory"
)

// nodes is a cluster in one process. A node that is killed is out at once: nobody has to notice.
type nodes struct{ *memory.Members }

func (n nodes) Join(_ testing.TB, node string) memberstest.Node {
	n.Members.Join(node)
	return memberstest.Node{
		Members: n.Members,
		Drain:   func() { n.Members.Drain(node) },
		Leave:   func() { n.Members.Leave(node) },
		Kill:    func() { n.Members.Leave(node) },
	}
}

func TestMembers_Contract(t *testing.T) {
	memberstest.Run(t, func(testing.TB) memberstest.Cluster { return nodes{memory.NewMembers()} },
		memberstest.Capabilities{NodesMax: 64, DeadAfter: time.Second})
}
