// Package memberstest states the contract of commands.Members in tests that run over every adapter.
package memberstest

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"quipu/commands"
)

// Node is one node of a cluster under test. Drain, Leave and Kill may be nil if the adapter has no such
// thing; what needs them is left out then.
type Node struct {
	commands.Members
	Drain func() // it owns nothing any more
	Leave func() // it goes, and says so
	Kill  func() // it goes without a word
}

// Cluster starts nodes that share a log. Nodes are stopped with the test.
type Cluster interface {
	Join(tb testing.TB, node string) Node
}

// Factory makes a new cluster without nodes.
type Factory func(tb testing.TB) Cluster

// Capabilities say what an adapter promises beyond the common contract.
type Capabilities struct {
	// NodesMax is how many nodes there may be; 1 for one that stands alone.
	NodesMax int
	// DeadAfter is within what time a killed node is out of everybody's set.
	DeadAfter time.Duration
}

// soon is within what time a change that was told is seen; seen at once, but machines are slow.
const soon = 10 * time.Second

// Run runs the suite.
func Run(t *testing.T, open Factory, caps Capabilities) {
	for _, c := range cases {
		if c.nodes > caps.NodesMax {
			continue // the adapter stands alone
		}
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			c.run(t, open, caps)
		})
	}
}

type suiteCase struct {
	name  string
	nodes int
	run   func(testing.TB, Factory, Capabilities)
}

var cases = []suiteCase{
	{"Live_OneNodeOwnsAll", 1, oneNode},
	{"Live_TheSameForEverybody", 3, sameForAll},
	{"Live_WhatWasGivenStaysAsItIs", 3, kept},
	{"Live_ChannelClosesWithTheSet", 2, channels},
	{"Drain_AliveAndNoOwner", 2, drains},
	{"Leave_GoneForEverybodyAtOnce", 3, leaves},
	{"Kill_GoneWhenTheLeaseEnds", 3, killed},
	{"Live_ManyNodes", 16, many},
}

// await waits until a node sees these nodes.
func await(tb testing.TB, within time.Duration, n Node, owners, alive []string) {
	tb.Helper()
	end := time.NewTimer(within)
	defer end.Stop()
	for {
		nodes, changed := n.Live()
		if slices.Equal(nodes.Owners, owners) && slices.Equal(nodes.Alive, alive) {
			return
		}
		select {
		case <-changed:
		case <-end.C:
			require.FailNow(tb, "not seen in time", "owners %v and alive %v, seen are %v and %v", owners, alive, nodes.Owners, nodes.Alive)
		}
	}
}

func oneNode(tb testing.TB, open Factory, _ Capabilities) {
	n := open(tb).Join(tb, "node-1")
	nodes, _ := n.Live()
	require.Equal(tb, commands.Nodes{Owners: []string{"node-1"}, Alive: []string{"node-1"}}, nodes)
	require.Equal(tb, "node-1", commands.Owner(nodes.Owners, "run-1"))
}

func sameForAll(tb testing.TB, open Factory, _ Capabilities) {
	c := open(tb)
	var all []Node
	for _, name := range []string{"node-b", "node-c", "node-a"} {
		all = append(all, c.Join(tb, name))
		nodes, _ := all[len(all)-1].Live()
		require.Contains(tb, nodes.Owners, name, "a node sees itself from the first moment on")
	}
	want := []string{"node-a", "node-b", "node-c"}
	for _, n := range all {
		await(tb, soon, n, want, want)
	}
}

func kept(tb testing.TB, open Factory, _ Capabilities) {
	c := open(tb)
	a := c.Join(tb, "a")
	before, _ := a.Live()
	c.Join(tb, "b")
	await(tb, soon, a, []string{"a", "b"}, []string{"a", "b"})
	require.Equal(tb, []string{"a"}, before.Owners)
	require.Equal(tb, []string{"a"}, before.Alive)
}

func channels(tb testing.TB, open Factory, _ Capabilities) {
	c := open(tb)
	a := c.Join(tb, "a")
	_, first := a.Live()
	select {
	case <-first:
		require.FailNow(tb, "closed although nothing changed")
	default:
	}
	c.Join(tb, "b")
	end := time.NewTimer(soon)
	defer end.Stop()
	select {
	case <-first:
	case <-end.C:
		require.FailNow(tb, "not closed although a node joined")
	}
	nodes, second := a.Live()
	require.Equal(tb, []string{"a", "b"}, nodes.Owners)
	require.NotEqual(tb, first, second)
}

func drains(tb testing.TB, open Factory, _ Capabilities) {
	c := open(tb)
	a, b := c.Join(tb, "a"), c.Join(tb, "b")
	await(tb, soon, a, []string{"a", "b"}, []string{"a", "b"})
	b.Drain()
	await(tb, soon, a, []string{"a"}, []string{"a", "b"})
	await(tb, soon, b, []string{"a"}, []string{"a", "b"})
	b.Leave()
	await(tb, soon, a, []string{"a"}, []string{"a"})
}

func leaves(tb testing.TB, open Factory, _ Capabilities) {
	c := open(tb)
	a, b, d := c.Join(tb, "a"), c.Join(tb, "b"), c.Join(tb, "d")
	await(tb, soon, a, []string{"a", "b", "d"}, []string{"a", "b", "d"})
	b.Leave()
	for _, n := range []Node{a, b, d} {
		await(tb, soon, n, []string{"a", "d"}, []string{"a", "d"})
	}
}

func killed(tb testing.TB, open Factory, caps Capabilities) {
	c := open(tb)
	a, b, d := c.Join(tb, "a"), c.Join(tb, "b"), c.Join(tb, "d")
	if b.Kill == nil {
		return // nothing dies without a word in memory
	}
	for _, n := range []Node{a, b, d} {
		await(tb, soon, n, []string{"a", "b", "d"}, []string{"a", "b", "d"})
	}
	b.Kill()
	await(tb, caps.DeadAfter, a, []string{"a", "d"}, []string{"a", "d"})
	await(tb, caps.DeadAfter, d, []string{"a", "d"}, []string{"a", "d"})
	// Its successor is another node.
	again := c.Join(tb, "b2")
	for _, n := range []Node{a, d, again} {
		await(tb, soon, n, []string{"a", "b2", "d"}, []string{"a", "b2", "d"})
	}
}

func many(tb testing.TB, open Factory, _ Capabilities) {
	c := open(tb)
	var all []Node
	var names []string
	for i := range 16 {
		names = append(names, fmt.Sprintf("n%02d", i))
		all = append(all, c.Join(tb, names[i]))
	}
	for _, n := range all {
		await(tb, soon, n, names, names)
	}
	for i, n := range all[:15] {
		n.Leave()
		await(tb, soon, all[15], names[i+1:], names[i+1:])
	}
}
