// Package poison keeps poison lists in Postgres, so that whichever node delivers, or is asked to replay,
// sees the same list: an adapter of poison.List.
package poison

import (
	"context"
	"math"
	"time"

	"github.com/jackc/pgx/v5"

	"quipu/domain"
	"quipu/eventbus/poison"
	"quipu/infra/postgres/cluster"
)

// connectionsMax is how many connections the lists take: they are used rarely.
const connectionsMax = 2

// timeout bounds each call.
const timeout = 10 * time.Second

// Table is the lists. Safe for concurrent use by any number of processes.
type Table struct {
	pool  *cluster.Pool
	table string
}

var _ poison.List = (*Table)(nil)

// Open makes the lists of a database that was migrated. Close it. Errors: ErrInvalid.
func Open(ctx context.Context, db *cluster.DB) (*Table, error) {
	pool, err := db.NewPool(ctx, "poison", cluster.PoolOptions{Max: connectionsMax, Timeout: timeout})
	if err != nil {
		return nil, err
	}
	return &Table{pool: pool, table: db.Table("poison")}, nil
}

// Close closes the connections.
func (t *Table) Close() error {
	t.pool.Close()
	return nil
}

// Add implements poison.List.
func (t *Table) Add(ctx context.Context, e poison.Entry) error {
	if err := check(e.Target, e.Position); err != nil {
		return err
	}
	full := false
	err := t.pool.Transaction(ctx, "give up an event of", e.Target, func(ctx context.Context, tx pgx.Tx) error {
		// One at a time for each target, so that no two find the last place free.
		if _, err := tx.Exec(ctx, "SELECT pg_advisory_xact_lock(hashtextextended($1, 0))", t.table+" "+e.Target); err != nil {
			return err
		}
		tag, err := tx.Exec(ctx, "INSERT INTO "+t.table+` AS p (target, position, stream, revision, event, type, attempts, reason, at)
			SELECT $1, $2, $3, $4, $5, $6, $7, $8, $9
			WHERE (SELECT count(*) FROM `+t.table+` WHERE target = $1) < $10
				OR EXISTS (SELECT FROM `+t.table+` WHERE target = $1 AND position = $2)
			ON CONFLICT (target, position) DO UPDATE SET
				stream = excluded.stream, revision = excluded.revision, event = excluded.event, type = excluded.type,
				attempts = excluded.attempts, reason = excluded.reason, at = excluded.at`,
			e.Target, int64(e.Position), string(e.Stream), int64(e.Revision), e.EventID, e.Type, e.Attempts, poison.Clip(e.Reason), e.At, poison.EntriesMax)
		full = err == nil && tag.RowsAffected() == 0
		return err
	})
	if err == nil && full {
		err = poison.Full(e.Target)
	}
	return err
}

// Entries implements poison.List.
func (t *Table) Entries(ctx context.Context, target string, after domain.Position, max int) ([]poison.Entry, error) {
	if err := check(target, after); err != nil {
		return nil, err
	}
	var out []poison.Entry
	err := t.pool.Transaction(ctx, "read poison list of", target, func(ctx context.Context, tx pgx.Tx) error {
		rows, err := tx.Query(ctx, "SELECT position, stream, revision, event, type, attempts, reason, at FROM "+t.table+
			" WHERE target = $1 AND position > $2 ORDER BY position LIMIT $3", target, int64(after), max)
		if err != nil {
			return err
		}
		out, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (poison.Entry, error) {
			e := poison.Entry{Target: target}
			var position, revision int64
			var stream string
			err := row.Scan(&position, &stream, &revision, &e.EventID, &e.Type, &e.Attempts, &e.Reason, &e.At)
			e.Position, e.Stream, e.Revision, e.At = domain.Position(position), domain.StreamID(stream), domain.Revision(revision), e.At.UTC()
			return e, err
		})
		return err
	})
	return out, err
}

// Remove implements poison.List.
func (t *Table) Remove(ctx context.Context, target string, at domain.Position) error {
	if err := check(target, at); err != nil {
		return err
	}
	return t.pool.Transaction(ctx, "remove a given up event of", target, func(ctx context.Context, tx pgx.Tx) error {
		_, err := tx.Exec(ctx, "DELETE FROM "+t.table+" WHERE target = $1 AND position = $2", target, int64(at))
		return err
	})
}

// Count implements poison.List.
func (t *Table) Count(ctx context.Context, target string) (n int, err error) {
	if err := check(target, 0); err != nil {
		return 0, err
	}
	err = t.pool.Transaction(ctx, "count poison list of", target, func(ctx context.Context, tx pgx.Tx) error {
		return tx.QueryRow(ctx, "SELECT count(*) FROM "+t.table+" WHERE target = $1", target).Scan(&n)
	})
	return n, err
}

func check(target string, at domain.Position) error {
	if at > math.MaxInt64 {
		return domain.E(domain.KindInvalid, "poison list of", target, "a position is beyond what the table holds")
	}
	return poison.CheckTarget(target)
}
