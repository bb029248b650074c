// Package keys keeps the wrapped data keys of streams in Postgres, so that any node opens any secret: an
// adapter of vault.Table. The master key that wraps them is not here; only what names it.
package keys

import (
	"bytes"
	"context"
	"crypto/sha256"
	"time"

	"github.com/jackc/pgx/v5"

	"quipu/domain"
	"quipu/infra/postgres/cluster"
)

// Defaults of Options.
const (
	ConnectionsMaxDefault = 4
	TimeoutDefault        = 5 * time.Second
)

// wrappedBytes is the length of a wrapped key, as the vault makes them.
const wrappedBytes = 69

// Options of a table. The zero value is the default.
type Options struct {
	ConnectionsMax int           // default 4; further callers wait
	Timeout        time.Duration // of each call; default 5 s
}

// Table is the key table. Safe for concurrent use by any number of processes.
type Table struct {
	pool *cluster.Pool
	db   *cluster.DB
}

// Open makes the table of a database that was migrated. Close it. Errors: ErrInvalid.
func Open(ctx context.Context, db *cluster.DB, o Options) (*Table, error) {
	if o.ConnectionsMax == 0 {
		o.ConnectionsMax = ConnectionsMaxDefault
	}
	if o.Timeout == 0 {
		o.Timeout = TimeoutDefault
	}
	pool, err := db.NewPool(ctx, "keys", cluster.PoolOptions{Max: o.ConnectionsMax, Timeout: o.Timeout})
	if err != nil {
		return nil, err
	}
	return &Table{pool: pool, db: db}, nil
}

// Close closes the connections.
func (t *Table) Close() error {
	t.pool.Close()
	return nil
}

// Used reports whether a master key was named yet: then a node must bring that one, and none must be made.
// Errors: ErrUnavailable.
func (t *Table) Used(ctx context.Context) (used bool, err error) {
	err = t.pool.Together(ctx, "look for", "the master key", false, func(b *pgx.Batch) {
		b.Queue("SELECT EXISTS (SELECT FROM " + t.db.Table("master") + ")").QueryRow(func(r pgx.Row) error { return r.Scan(&used) })
	})
	return used, err
}

// Claim names the master key that wraps the keys here, if none was named before, and compares.
// Errors: ErrRefused with code MASTER_KEY if it is another one; ErrUnavailable.
func (t *Table) Claim(ctx context.Context, id []byte) error {
	var stored []byte
	err := t.pool.Together(ctx, "check", "the master key", true, func(b *pgx.Batch) {
		b.Queue("INSERT INTO "+t.db.Table("master")+" (id) VALUES ($1) ON CONFLICT DO NOTHING", id)
		b.Queue("SELECT id FROM " + t.db.Table("master")).QueryRow(func(r pgx.Row) error { return r.Scan(&stored) })
	})
	if err != nil {
		return err
	}
	if !bytes.Equal(stored, id) {
		return domain.E(domain.KindRefused, "check", "the master key",
			"it is not the one that wraps the keys in the cluster's database: all nodes need the same; copy the file of the first node, or set --master-key-file to it").WithCode("MASTER_KEY")
	}
	return nil
}

// Get implements vault.Table.
func (t *Table) Get(ctx context.Context, stream string) (wrapped []byte, err error) {
	const op = "read data key of"
	err = t.pool.Together(ctx, op, stream, false, func(b *pgx.Batch) {
		wrapped = nil
		t.ask(b, stream, &wrapped)
	})
	switch {
	case err != nil:
		return nil, err
	case wrapped == nil:
		return nil, domain.E(domain.KindNotFound, op, stream, "the stream has no data key")
	}
	return wrapped, nil
}

// Create implements vault.Table. After an error a key may have been stored: the next Create returns it.
func (t *Table) Create(ctx context.Context, stream string, wrapped []byte) (stored []byte, err error) {
	const op = "create data key of"
	if len(wrapped) != wrappedBytes {
		return nil, domain.E(domain.KindInternal, op, stream, "a wrapped key has another size")
	}
	sum := sha256.Sum256([]byte(stream))
	err = t.pool.Together(ctx, op, stream, true, func(b *pgx.Batch) {
		stored = nil
		// It waits for whoever is about to store one, and leaves that in place.
		b.Queue("INSERT INTO "+t.db.Table("data_keys")+" (stream, wrapped) VALUES ($1, $2) ON CONFLICT DO NOTHING", sum[:], wrapped)
		// A statement of its own: it sees what was stored meanwhile.
		t.ask(b, stream, &stored)
	})
	switch {
	case err != nil:
		return nil, err
	case stored == nil:
		return nil, domain.E(domain.KindUnavailable, op, stream, "it was stored and is gone again: erased at the same moment")
	}
	return stored, nil
}

func (t *Table) ask(b *pgx.Batch, stream string, into *[]byte) {
	sum := sha256.Sum256([]byte(stream))
	b.Queue("SELECT wrapped FROM "+t.db.Table("data_keys")+" WHERE stream = $1", sum[:]).Query(func(found pgx.Rows) error {
		for found.Next() {
			if err := found.Scan(into); err != nil {
				return err
			}
		}
		return found.Err()
	})
}
