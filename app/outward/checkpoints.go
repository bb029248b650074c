package outward

import (
	"context"
	"path/filepath"

	"quipu/app/stores"
	"quipu/eventbus"
	"quipu/infra/checkpoints"
	"quipu/infra/postgres/cluster"

	pgcheckpoints "quipu/infra/postgres/checkpoints"
)

// checkpointConnections to the database that nodes share: a handful of consumers saves once a second.
const checkpointConnections = 2

// openCheckpoints opens them where this node's are: in the data folder, or where all nodes' are. Without
// relays and webhooks there are none.
func (o *Outward) openCheckpoints(ctx context.Context) error {
	if c := o.Config; !c.Relay.NATS && !c.Relay.Kafka && c.Webhooks.File == "" {
		return nil
	}
	if o.node.DB == nil {
		files, err := checkpoints.Open(filepath.Join(o.Config.Storage.Data, stores.CheckpointsFolder), o.log.ID())
		if err != nil {
			return err
		}
		o.checkpoints = files
		return nil
	}
	pool, err := o.node.DB.NewPool(ctx, "checkpoints", cluster.PoolOptions{Max: checkpointConnections, Timeout: pgcheckpoints.TimeoutDefault})
	if err != nil {
		return err
	}
	o.checkpointPool = pool
	table, err := pgcheckpoints.New(pool.Pool, o.log.ID(), pgcheckpoints.Options{})
	if err != nil {
		return err
	}
	o.checkpoints = table
	return nil
}

var (
	_ eventbus.Checkpoints = (*checkpoints.Files)(nil)
	_ eventbus.Checkpoints = (*pgcheckpoints.Table)(nil)
)
