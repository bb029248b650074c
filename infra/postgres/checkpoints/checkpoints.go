// Package checkpoints keeps the positions of the log's consumers in Postgres, for nodes that share
// one log: whoever takes a consumer over goes on where the one before stopped.
package checkpoints

import (
	"context"
	_ "embed" // the schema
	"errors"
	"fmt"
	"regexp"
	"strings"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"quipu/domain"
	"quipu/eventbus"
)

// SchemaDefault is where the table stands if Options name no other.
const SchemaDefault = "quipu_cluster"

// TimeoutDefault bounds each call, waiting for a connection included.
const TimeoutDefault = 10 * time.Second

// schemaLock excludes those who make the schema at the same time, in any process.
const schemaLock = 0x7175697075_0c4b // "quipu", then this table

//go:embed schema.sql
var schemaText string

// Options of a Table. The zero value is the documented default.
type Options struct {
	// Schema that the table is made in. Default "quipu_cluster"; lower-case letters, digits and _, at
	// most 40.
	Schema string
	// Timeout bounds each call. Default 10 s.
	Timeout time.Duration
}

var schemaName = regexp.MustCompile(`^[a-z_][a-z0-9_]{0,39}$`)

// Table keeps checkpoints in one table. Safe for concurrent use, in any number of processes.
type Table struct {
	pool    *pgxpool.Pool
	log     domain.LogID
	o       Options
	made    atomic.Bool
	loadSQL string
	saveSQL string
}

var _ eventbus.Checkpoints = (*Table)(nil)

// New returns the checkpoints in the database of pool for a log. It asks the database nothing: the
// table is made with the first call, so that a database that is away keeps nobody from starting. pool
// stays the caller's. Errors: ErrInvalid for bad options.
func New(pool *pgxpool.Pool, log domain.LogID, o Options) (*Table, error) {
	if o.Schema == "" {
		o.Schema = SchemaDefault
	}
	if o.Timeout == 0 {
		o.Timeout = TimeoutDefault
	}
	if !schemaName.MatchString(o.Schema) || o.Timeout < time.Millisecond {
		return nil, domain.E(domain.KindInvalid, "open checkpoints", "", fmt.Sprintf("schema %.50q or timeout %v is out of bounds", o.Schema, o.Timeout))
	}
	return &Table{
		pool: pool, log: log, o: o,
		loadSQL: "SELECT log, position FROM " + o.Schema + ".checkpoints WHERE name = $1",
		// A repeat of what succeeded succeeds again: from and to are both found good. The condition
		// and the change are one statement, so that of two who move it one waits and then finds it moved.
		saveSQL: "INSERT INTO " + o.Schema + ".checkpoints AS c (name, log, position) SELECT $1, $2, $4 " +
			"WHERE $3 = 0 OR EXISTS (SELECT FROM " + o.Schema + ".checkpoints WHERE name = $1) " +
			"ON CONFLICT (name) DO UPDATE SET position = excluded.position, saved_at = now() " +
			"WHERE c.log = excluded.log AND c.position IN ($3, $4)",
	}, nil
}

// Load implements eventbus.Checkpoints.
func (t *Table) Load(ctx context.Context, name string) (domain.Position, error) {
	if err := eventbus.CheckCheckpoint(name, 0, 0); err != nil {
		return 0, err
	}
	ctx, cancel := context.WithTimeout(ctx, t.o.Timeout)
	defer cancel()
	if err := t.make(ctx); err != nil {
		return 0, translate(ctx, "load checkpoint", name, err)
	}
	return t.load(ctx, name)
}

func (t *Table) load(ctx context.Context, name string) (domain.Position, error) {
	var log string
	var position int64
	err := t.pool.QueryRow(ctx, t.loadSQL, name).Scan(&log, &position)
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return 0, nil
	case err != nil:
		t.made.Store(!missing(err))
		return 0, translate(ctx, "load checkpoint", name, err)
	}
	return domain.Position(position), eventbus.CheckpointOfLog(name, domain.LogID(log), t.log)
}

// Save implements eventbus.Checkpoints. ctx done in the middle yields ErrIndeterminate.
func (t *Table) Save(ctx context.Context, name string, from, to domain.Position) error {
	if err := eventbus.CheckCheckpoint(name, from, to); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, t.o.Timeout)
	defer cancel()
	if err := t.make(ctx); err != nil {
		return translate(ctx, "save checkpoint", name, err)
	}
	tag, err := t.pool.Exec(ctx, t.saveSQL, name, string(t.log), int64(from), int64(to))
	if err != nil {
		t.made.Store(!missing(err))
		return translate(ctx, "save checkpoint", name, err)
	}
	if tag.RowsAffected() == 1 {
		return nil
	}
	found, err := t.load(ctx, name)
	if err != nil {
		return err
	}
	return eventbus.CheckpointMoved(name, from, found)
}

// make makes schema and table unless this process has seen them.
func (t *Table) make(ctx context.Context) error {
	if t.made.Load() {
		return nil
	}
	var there bool
	err := t.pool.QueryRow(ctx, `SELECT EXISTS (SELECT FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
		WHERE n.nspname = $1 AND c.relname = 'checkpoints')`, t.o.Schema).Scan(&there)
	if err == nil && !there {
		err = pgx.BeginFunc(ctx, t.pool, func(tx pgx.Tx) error {
			if _, err := tx.Exec(ctx, "SELECT pg_advisory_xact_lock($1)", int64(schemaLock)); err != nil {
				return err
			}
			return tx.Conn().PgConn().Exec(ctx, strings.ReplaceAll(schemaText, "{{schema}}", t.o.Schema)).Close()
		})
	}
	if err == nil {
		t.made.Store(true)
	}
	return err
}
