// Package snapshots keeps snapshots in Postgres, for all nodes that share a log: an adapter of
// commands.Snapshots.
package snapshots

import (
	"context"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"

	"quipu/commands"
	"quipu/domain"
	"quipu/infra/postgres/cluster"
)

// connectionsMax is how many connections the table takes: one node writes, once a minute at most.
const connectionsMax = 1

// timeout bounds each call: a snapshot may be large.
const timeout = 30 * time.Second

// Table is the snapshots of one log. Safe for concurrent use by any number of processes.
type Table struct {
	pool  *cluster.Pool
	table string
	log   domain.LogID
}

var _ commands.Snapshots = (*Table)(nil)

// Open makes the table of a database that was migrated. Close it. Errors: ErrInvalid.
func Open(ctx context.Context, db *cluster.DB, log domain.LogID) (*Table, error) {
	pool, err := db.NewPool(ctx, "snapshots", cluster.PoolOptions{Max: connectionsMax, Timeout: timeout})
	if err != nil {
		return nil, err
	}
	return &Table{pool: pool, table: db.Table("snapshots"), log: log}, nil
}

// Close closes the connections.
func (t *Table) Close() error {
	t.pool.Close()
	return nil
}

// Load implements commands.Snapshots.
func (t *Table) Load(ctx context.Context, name string) (domain.Position, []byte, error) {
	var at int64
	var data []byte
	err := t.pool.Transaction(ctx, "load snapshot", name, func(ctx context.Context, tx pgx.Tx) error {
		err := tx.QueryRow(ctx, "SELECT position, data FROM "+t.table+" WHERE log = $1 AND name = $2", string(t.log), name).Scan(&at, &data)
		if errors.Is(err, pgx.ErrNoRows) {
			return nil
		}
		return err
	})
	return domain.Position(at), data, err
}

// Save implements commands.Snapshots.
func (t *Table) Save(ctx context.Context, name string, at domain.Position, data []byte) error {
	if err := commands.CheckSnapshot(name, data); err != nil {
		return err
	}
	if data == nil {
		data = []byte{} // not SQL's null
	}
	return t.pool.Transaction(ctx, "save snapshot", name, func(ctx context.Context, tx pgx.Tx) error {
		_, err := tx.Exec(ctx, "INSERT INTO "+t.table+` AS s (log, name, position, data) VALUES ($1, $2, $3, $4)
			ON CONFLICT (log, name) DO UPDATE SET position = excluded.position, data = excluded.data, saved_at = now()
			WHERE s.position < excluded.position`, string(t.log), name, int64(at), data)
		return err
	})
}
