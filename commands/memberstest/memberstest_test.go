package memberstest

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"quipu/commands"
	"quipu/infra/memory"
	"quipu/internal/faultytest"
)

type inMemory struct{ *memory.Members }

func (c inMemory) Join(_ testing.TB, node string) Node {
	c.Members.Join(node)
	leave := func() { c.Leave(node) }
	return Node{Members: c.Members, Drain: func() { c.Drain(node) }, Leave: leave, Kill: leave}
}

func TestMemory(t *testing.T) {
	Run(t, func(testing.TB) Cluster { return inMemory{memory.NewMembers()} }, Capabilities{NodesMax: 64, DeadAfter: time.Second})
}

type alone struct{}

func (alone) Join(_ testing.TB, node string) Node { return Node{Members: commands.Alone(node)} }

func TestAlone(t *testing.T) {
	Run(t, func(testing.TB) Cluster { return alone{} }, Capabilities{NodesMax: 1})
}

// Faulty adapters must fail the case that is there for them.
func TestFindsFaults(t *testing.T) {
	for finds, spoil := range map[string]func(commands.Members) commands.Members{
		"Live_OneNodeOwnsAll":          func(commands.Members) commands.Members { return commands.Alone("other") },
		"Live_ChannelClosesWithTheSet": func(m commands.Members) commands.Members { return closed{m} },
	} {
		t.Run(finds, func(t *testing.T) {
			for _, c := range cases {
				if c.name == finds {
					require.True(t, faultytest.Fails(t, func(tb testing.TB) {
						c.run(tb, func(testing.TB) Cluster { return spoiled{inMemory{memory.NewMembers()}, spoil} }, Capabilities{NodesMax: 64})
					}))
					return
				}
			}
			t.Fatal("no such case")
		})
	}
}

type spoiled struct {
	inMemory
	spoil func(commands.Members) commands.Members
}

func (c spoiled) Join(tb testing.TB, node string) Node {
	n := c.inMemory.Join(tb, node)
	n.Members = c.spoil(n.Members)
	return n
}

// closed says all the time that something changed.
type closed struct{ commands.Members }

func (c closed) Live() (commands.Nodes, <-chan struct{}) {
	nodes, _ := c.Members.Live()
	ch := make(chan struct{})
	close(ch)
	return nodes, ch
}
