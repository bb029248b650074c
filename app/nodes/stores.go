package nodes

import (
	"context"
	"errors"
	"fmt"
	"time"

	"quipu/app/stores"
	"quipu/domain"
	"quipu/infra/postgres/cluster"
	"quipu/infra/postgres/keys"
	"quipu/infra/vault"

	pgblobs "quipu/infra/postgres/blobs"
)

const (
	// clusterStartWait is how long a node that starts waits for the database that nodes share: it may be
	// starting, too.
	clusterStartWait = 30 * time.Second
	clusterStartPoll = 500 * time.Millisecond
)

// OpenKeysAndBlobs opens them where this node's are: in the data folder, or where all nodes' are.
func (n *Node) OpenKeysAndBlobs(ctx context.Context) (err error) {
	c := n.Config
	dir := stores.KeysDir(c.Storage.Data)
	if !c.Cluster.Shared() {
		if n.Vault, err = vault.Open(dir, vault.Options{MasterFile: c.Keys.MasterFile}); err != nil {
			return fmt.Errorf("open keys: %w", err)
		}
		if n.Blobs, err = stores.OpenBlobs(c.Storage.Data); err != nil {
			return fmt.Errorf("open blobs: %w", err)
		}
		return nil
	}
	o := cluster.Options{DirectURL: c.Cluster.Direct.Reveal()}
	if n.DB, err = cluster.Open(ctx, c.Cluster.URL.Reveal(), o); err != nil {
		return err
	}
	if err := n.awaitCluster(ctx); err != nil {
		return fmt.Errorf("the database that --cluster names: %w", err)
	}
	if n.keys, err = keys.Open(ctx, n.DB, keys.Options{ConnectionsMax: c.Cluster.KeysConnections}); err != nil {
		return err
	}
	if n.blobs, err = pgblobs.Open(ctx, n.DB, pgblobs.Options{ConnectionsMax: c.Cluster.BlobsConnections}); err != nil {
		return err
	}
	n.Blobs = n.blobs
	used, err := n.keys.Used(ctx)
	if err != nil {
		return err
	}
	master, err := vault.LoadMaster(dir, c.Keys.MasterFile, used)
	if err != nil {
		return fmt.Errorf("open keys: %w", err)
	}
	if err := n.keys.Claim(ctx, master.ID()); err != nil {
		return err
	}
	n.Vault, err = vault.New(master, n.keys, vault.Options{})
	return err
}

// awaitCluster waits until the database answers and its tables are there.
func (n *Node) awaitCluster(ctx context.Context) error {
	bounded, cancel := context.WithTimeout(ctx, clusterStartWait)
	defer cancel()
	for said := false; ; said = true {
		err := n.DB.Migrate(bounded)
		if err == nil || !errors.Is(err, domain.ErrUnavailable) {
			return err
		}
		if !said {
			n.Logger.Warn("the cluster's database does not answer yet", "error", err, "wait", clusterStartWait)
		}
		due := make(chan struct{})
		stop := n.Clock.AfterFunc(clusterStartPoll, func() { close(due) })
		select {
		case <-due:
		case <-bounded.Done():
			stop()
			return err
		}
	}
}

// AddChecks adds what is known of the keys that nodes share to the health of the process.
func (n *Node) AddChecks() {
	if n.keys == nil {
		return
	}
	// The lease may be renewed on a connection of its own while starts with secrets get none.
	n.Health.AddAdvice("keys", 0, func(ctx context.Context) error {
		_, err := n.keys.Used(ctx)
		return err
	})
}
