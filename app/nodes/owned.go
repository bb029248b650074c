package nodes

import "quipu/commands"

// Owns reports whether this node is to do what id names, and when that should be asked again.
func (n *Node) Owns(id string) (mine bool, changed <-chan struct{}) {
	live, changed := n.Members.Live()
	return commands.Owner(live.Owners, id) == n.ID, changed
}

// Work tells whether this node owns a thing that exactly one node is to do, and that does no harm when two
// do it for a moment. While all nodes drain, one of them still does it.
type Work struct {
	members commands.Members
	node    string
	id      string
}

// Work is the work with that id, as this node sees it.
func (n *Node) Work(id string) Work { return Work{n.Members, n.ID, id} }

// Owns implements projections.Owner.
func (w Work) Owns() (bool, <-chan struct{}) {
	nodes, changed := w.members.Live()
	among := nodes.Owners
	if len(among) == 0 {
		among = nodes.Alive
	}
	return commands.Owner(among, w.id) == w.node, changed
}
