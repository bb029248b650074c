package app

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"quipu/app/process"
	"quipu/app/stores"
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

const (
	// clusterStartWait is how long a node that starts waits for the database that nodes share: it may be
	// starting, too.
	clusterStartWait = 30 * time.Second
	clusterStartPoll = 500 * time.Millisecond
	leaveTimeout     = 2 * time.Second
)

// shared is what this node has in common with others; all of it is nil for one that is alone.
type shared struct {
	db      *cluster.DB
	keys    *keys.Table
	blobs   *pgblobs.Store
	members *members.Members
	// checkpoints is the pool of eventbus.Checkpoints.
	checkpoints *cluster.Pool
	// snapshots spare a node that starts a reading of the whole log.
	snapshots *snapshots.Table
}

func (s *shared) close() (errs []error) {
	if s.members != nil {
		errs = append(errs, s.members.Close())
	}
	if s.checkpoints != nil {
		s.checkpoints.Close()
	}
	if s.snapshots != nil {
		errs = append(errs, s.snapshots.Close())
	}
	if s.blobs != nil {
		errs = append(errs, s.blobs.Close())
	}
	if s.keys != nil {
		errs = append(errs, s.keys.Close())
	}
	if s.db != nil {
		errs = append(errs, s.db.Close())
	}
	return errs
}

// openKeysAndBlobs opens them where this node's are: in the data folder, or where all nodes' are.
func (s *server) openKeysAndBlobs(ctx context.Context) (err error) {
	c := s.Config
	dir := stores.KeysDir(c.Storage.Data)
	if !c.Cluster.Shared() {
		if s.vault, err = vault.Open(dir, vault.Options{MasterFile: c.Keys.MasterFile}); err != nil {
			return fmt.Errorf("open keys: %w", err)
		}
		if s.blobs, err = stores.OpenBlobs(c.Storage.Data); err != nil {
			return fmt.Errorf("open blobs: %w", err)
		}
		return nil
	}
	o := cluster.Options{DirectURL: c.Cluster.Direct.Reveal()}
	if s.shared.db, err = cluster.Open(ctx, c.Cluster.URL.Reveal(), o); err != nil {
		return err
	}
	if err := s.awaitCluster(ctx); err != nil {
		return fmt.Errorf("the database that --cluster names: %w", err)
	}
	if s.shared.keys, err = keys.Open(ctx, s.shared.db, keys.Options{ConnectionsMax: c.Cluster.KeysConnections}); err != nil {
		return err
	}
	if s.shared.blobs, err = pgblobs.Open(ctx, s.shared.db, pgblobs.Options{ConnectionsMax: c.Cluster.BlobsConnections}); err != nil {
		return err
	}
	s.blobs = s.shared.blobs
	used, err := s.shared.keys.Used(ctx)
	if err != nil {
		return err
	}
	master, err := vault.LoadMaster(dir, c.Keys.MasterFile, used)
	if err != nil {
		return fmt.Errorf("open keys: %w", err)
	}
	if err := s.shared.keys.Claim(ctx, master.ID()); err != nil {
		return err
	}
	s.vault, err = vault.New(master, s.shared.keys, vault.Options{})
	return err
}

// awaitCluster waits until the database answers and its tables are there.
func (s *server) awaitCluster(ctx context.Context) error {
	bounded, cancel := context.WithTimeout(ctx, clusterStartWait)
	defer cancel()
	for said := false; ; said = true {
		err := s.shared.db.Migrate(bounded)
		if err == nil || !errors.Is(err, domain.ErrUnavailable) {
			return err
		}
		if !said {
			s.Logger.Warn("the cluster's database does not answer yet", "error", err, "wait", clusterStartWait)
		}
		due := make(chan struct{})
		stop := s.Clock.AfterFunc(clusterStartPoll, func() { close(due) })
		select {
		case <-due:
		case <-bounded.Done():
			stop()
			return err
		}
	}
}

// joinCluster makes this node a member of those that share its log. The log is open.
func (s *server) joinCluster(ctx context.Context) (err error) {
	s.node, s.began = s.Clock.NewID(), s.Clock.Now()
	if !s.Config.Cluster.Shared() {
		s.members = commands.Alone(s.node)
		return nil
	}
	if s.shared.snapshots, err = snapshots.Open(ctx, s.shared.db, s.log.ID()); err != nil {
		return err
	}
	health := s.Health.Part("members")
	s.shared.members, err = members.Join(ctx, s.shared.db, members.Options{
		Node: s.node, Log: s.log.ID(), Name: clip(s.nodeName()), Version: clip(s.Version), Level: wire.Level, TTL: s.Config.Cluster.Lease,
		Clock: s.Clock, Logger: s.Logger,
		Hooks: members.Hooks{
			Health:  health.Set,
			Changed: s.Metrics.ClusterNodes,
			Renewed: func(took time.Duration, err error) { s.Metrics.LeaseRenewed(process.Outcome(err), took) },
		},
	})
	if err != nil {
		return fmt.Errorf("join the cluster: %w", err)
	}
	nodes, _ := s.shared.members.Live()
	s.Metrics.ClusterNodes(len(nodes.Owners), len(nodes.Alive))
	s.members = s.shared.members
	return nil
}

// snapshots is a port, nil for a node that is alone.
func (s *server) snapshots() commands.Snapshots {
	if s.shared.snapshots == nil {
		return nil
	}
	return s.shared.snapshots
}

// nodeName is for people.
func (s *server) nodeName() string {
	if name := s.Config.Cluster.NodeName; name != "" {
		return name
	}
	name, err := os.Hostname()
	if err != nil {
		return "unnamed"
	}
	return name
}

func clip(text string) string { return text[:min(len(text), members.TextBytesMax)] }

// gated lets a log take only what all nodes can read.
func (s *server) gated(log commands.Log) commands.Log {
	if s.shared.members == nil {
		return log // this program reads all that it writes
	}
	return levelLog{log, s.shared.members.Level}
}

// levelLog refuses events above the feature level in force.
type levelLog struct {
	commands.Log
	level func() int
}

// Append implements commands.Log. Errors: further ErrUnavailable with code LEVEL_TOO_LOW: it works by itself
// once the level has risen, so that runs wait for that.
func (l levelLog) Append(ctx context.Context, stream domain.StreamID, expected domain.Revision, events []domain.Pending) (commands.Appended, error) {
	level := l.level()
	for i := range events {
		if of := wire.LevelOf(events[i].Type); of > level || of == 0 {
			return commands.Appended{}, domain.E(domain.KindUnavailable, "append to", string(stream), fmt.Sprintf(
				"%s needs feature level %d, in force is %d: not all nodes can read it yet; it works once all are upgraded", events[i].Type, of, level)).WithCode(members.CodeLevelTooLow)
		}
	}
	return l.Log.Append(ctx, stream, expected, events)
}

// runMembers ends the process if this node was refused.
func (s *server) runMembers(_, work context.Context) error {
	if s.shared.members == nil {
		<-work.Done()
		return nil
	}
	return s.shared.members.Run(work)
}

// disown lets the other nodes take over; what this one began it finishes. That it cannot be told is no
// failure of the stop: the lease ends by itself.
func (s *server) disown(ctx context.Context) error {
	if s.shared.members != nil {
		if err := s.shared.members.Drain(ctx); err != nil {
			s.Logger.Warn("the other nodes do not know that this one stops; they notice when its lease has ended", "error", err)
		}
	}
	return nil
}

// leave tells the other nodes that nothing of this one's goes on.
func (s *server) leave(ctx context.Context) error {
	if s.shared.members != nil {
		bounded, cancel := context.WithTimeout(context.WithoutCancel(ctx), leaveTimeout)
		defer cancel()
		if err := s.shared.members.Leave(bounded); err != nil {
			s.Logger.Warn("the other nodes do not know that this one has left; they notice when its lease has ended", "error", err)
		}
	}
	return nil
}
