// Package nodes is this process as one of those that may share a log: who it is, who the others are and
// which works are its own, and the keys and blobs, which are all nodes' or, if it is alone, in its folder.
package nodes

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"quipu/app/process"
	"quipu/commands"
	"quipu/domain"
	"quipu/domain/wire"
	"quipu/infra/postgres/cluster"
	"quipu/infra/postgres/keys"
	"quipu/infra/postgres/members"
	"quipu/infra/postgres/snapshots"
	"quipu/infra/vault"

	pgblobs "quipu/infra/postgres/blobs"
)

// leaveTimeout bounds telling the others that this node has left.
const leaveTimeout = 2 * time.Second

// Node is this process among those that share its log. Its stores come first (OpenKeysAndBlobs), since the
// node has to own a log before it can be a member (Join).
type Node struct {
	process.Process
	// ID is this process's incarnation, which began then; of no meaning before Join, as is Members.
	ID    string
	Began time.Time
	// Members are those that share the log; a node that is alone is the only one.
	Members commands.Members
	Vault   *vault.Vault
	Blobs   commands.Blobs
	// DB is the database that nodes share; it and what is below is nil for one that is alone.
	DB      *cluster.DB
	keys    *keys.Table
	blobs   *pgblobs.Store
	members *members.Members
	// snapshots spare a node that starts a reading of the whole log.
	snapshots *snapshots.Table
}

// New is a node that has opened nothing yet.
func New(p process.Process) *Node { return &Node{Process: p} }

// Close closes what was opened.
func (n *Node) Close() error {
	var errs []error
	if n.Vault != nil {
		errs = append(errs, n.Vault.Close())
	}
	if n.members != nil {
		errs = append(errs, n.members.Close())
	}
	if n.snapshots != nil {
		errs = append(errs, n.snapshots.Close())
	}
	if n.blobs != nil {
		errs = append(errs, n.blobs.Close())
	}
	if n.keys != nil {
		errs = append(errs, n.keys.Close())
	}
	if n.DB != nil {
		errs = append(errs, n.DB.Close())
	}
	return errors.Join(errs...)
}

// Shared reports whether there may be other nodes on the log. False before Join.
func (n *Node) Shared() bool { return n.members != nil }

// Join makes this node a member of those that share a log, which it has opened.
func (n *Node) Join(ctx context.Context, log domain.LogID) (err error) {
	n.ID, n.Began = n.Clock.NewID(), n.Clock.Now()
	if !n.Config.Cluster.Shared() {
		n.Members = commands.Alone(n.ID)
		return nil
	}
	if n.snapshots, err = snapshots.Open(ctx, n.DB, log); err != nil {
		return err
	}
	health := n.Health.Part("members")
	n.members, err = members.Join(ctx, n.DB, members.Options{
		Node: n.ID, Log: log, Name: clip(n.name()), Version: clip(n.Version), Level: wire.Level, TTL: n.Config.Cluster.Lease,
		Clock: n.Clock, Logger: n.Logger,
		Hooks: members.Hooks{
			Health:  health.Set,
			Changed: n.Metrics.ClusterNodes,
			Renewed: func(took time.Duration, err error) { n.Metrics.LeaseRenewed(process.Outcome(err), took) },
		},
	})
	if err != nil {
		return fmt.Errorf("join the cluster: %w", err)
	}
	live, _ := n.members.Live()
	n.Metrics.ClusterNodes(len(live.Owners), len(live.Alive))
	n.Members = n.members
	return nil
}

// List tells who shares the log, this node among them, and the feature level in force.
func (n *Node) List(ctx context.Context) (all []members.Node, level int, err error) {
	if n.members == nil {
		self := members.Node{Incarnation: n.ID, Name: n.name(), Version: n.Version, Level: wire.Level, State: members.StateLive, Since: n.Began, Seen: n.Clock.Now()}
		return []members.Node{self}, wire.Level, nil
	}
	if all, err = n.members.List(ctx); err != nil {
		return nil, 0, err
	}
	return all, n.members.Level(), nil
}

// Snapshots is a port, nil for a node that is alone.
func (n *Node) Snapshots() commands.Snapshots {
	if n.snapshots == nil {
		return nil
	}
	return n.snapshots
}

// name is for people.
func (n *Node) name() string {
	if given := n.Config.Cluster.NodeName; given != "" {
		return given
	}
	name, err := os.Hostname()
	if err != nil {
		return "unnamed"
	}
	return name
}

func clip(text string) string { return text[:min(len(text), members.TextBytesMax)] }

// Run keeps this node a member; its end with an error ends the process, since this node was refused.
func (n *Node) Run(_, work context.Context) error {
	if n.members == nil {
		<-work.Done()
		return nil
	}
	return n.members.Run(work)
}

// Disown lets the other nodes take over; what this one began it finishes. That it cannot be told is no
// failure of the stop: the lease ends by itself.
func (n *Node) Disown(ctx context.Context) error {
	if n.members != nil {
		if err := n.members.Drain(ctx); err != nil {
			n.Logger.Warn("the other nodes do not know that this one stops; they notice when its lease has ended", "error", err)
		}
	}
	return nil
}

// Leave tells the other nodes that nothing of this one's goes on.
func (n *Node) Leave(ctx context.Context) error {
	if n.members != nil {
		bounded, cancel := context.WithTimeout(context.WithoutCancel(ctx), leaveTimeout)
		defer cancel()
		if err := n.members.Leave(bounded); err != nil {
			n.Logger.Warn("the other nodes do not know that this one has left; they notice when its lease has ended", "error", err)
		}
	}
	return nil
}
