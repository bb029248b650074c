package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"quipu/infra/config"
	"quipu/infra/postgres/cluster"
	"quipu/infra/postgres/members"
)

// nodesTimeout bounds the look at the nodes.
const nodesTimeout = 5 * time.Second

// clusterNodes carries out quipu cluster nodes.
func clusterNodes(ctx context.Context, url config.Secret, stdout io.Writer) (err error) {
	db, err := cluster.Open(ctx, url.Reveal(), cluster.Options{})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	pool, err := db.NewPool(ctx, "nodes", cluster.PoolOptions{Max: 1, Timeout: nodesTimeout})
	if err != nil {
		return err
	}
	defer pool.Close()
	all, err := members.List(ctx, db, pool, "")
	if err != nil {
		return fmt.Errorf("set --cluster to the database that the nodes share: %w", err)
	}
	w := tabwriter.NewWriter(stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "NAME\tSTATE\tVERSION\tLEVEL\tSINCE\tSEEN\tINCARNATION")
	for _, n := range all {
		fmt.Fprintf(w, "%s\t%s\t%s\t%d\t%s\t%s\t%s\n", n.Name, n.State, n.Version, n.Level, n.Since.Format(time.RFC3339), n.Seen.Format(time.RFC3339), n.Incarnation)
	}
	return w.Flush()
}
