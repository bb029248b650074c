package memory

import (
	"slices"
	"sync"

	"quipu/commands"
)

// Members are the nodes of one process's tests: they come and go as they are told. Safe for concurrent
// use; make one with NewMembers.
type Members struct {
	mu      sync.Mutex
	nodes   commands.Nodes
	changed chan struct{}
}

// NewMembers has nodes as its owners.
func NewMembers(nodes ...string) *Members {
	m := &Members{changed: make(chan struct{})}
	for _, n := range nodes {
		m.Join(n)
	}
	return m
}

// Live implements commands.Members.
func (m *Members) Live() (commands.Nodes, <-chan struct{}) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.nodes, m.changed
}

// Join makes a node an owner.
func (m *Members) Join(node string) {
	m.change(func(n *commands.Nodes) { n.Owners, n.Alive = with(n.Owners, node), with(n.Alive, node) })
}

// Drain takes a node from the owners; it is still alive.
func (m *Members) Drain(node string) {
	m.change(func(n *commands.Nodes) { n.Owners = without(n.Owners, node) })
}

// Leave takes a node away.
func (m *Members) Leave(node string) {
	m.change(func(n *commands.Nodes) { n.Owners, n.Alive = without(n.Owners, node), without(n.Alive, node) })
}

func (m *Members) change(f func(*commands.Nodes)) {
	m.mu.Lock()
	defer m.mu.Unlock()
	f(&m.nodes)
	close(m.changed)
	m.changed = make(chan struct{})
}

func with(nodes []string, node string) []string {
	if slices.Contains(nodes, node) {
		return nodes
	}
	nodes = append(slices.Clone(nodes), node) // others hold the one there was
	slices.Sort(nodes)
	return nodes
}

func without(nodes []string, node string) []string {
	return slices.DeleteFunc(slices.Clone(nodes), func(n string) bool { return n == node })
}
