package cluster

import (
	"context"
	"embed"
	"fmt"
	"hash/fnv"
	"io/fs"
	"strings"

	"github.com/jackc/pgx/v5"
)

// Migrations are applied in the order of their names, each once. A rolling upgrade has old programs work
// on new tables: a migration only adds, and what it adds has a default.
//
//go:embed migrations/*.sql
var migrations embed.FS

// Migrate brings the tables up to date, once per process. Several processes may do so at once: one
// works, the others wait. Tables of a newer program serve as well, by the rule above.
// Errors: ErrUnavailable.
func (d *DB) Migrate(ctx context.Context) error {
	if d.migrated.Load() {
		return nil
	}
	scripts, err := fs.Glob(migrations, "migrations/*.sql")
	if err != nil {
		return err
	}
	err = d.keeper.Transaction(ctx, "migrate", "the cluster's database", func(ctx context.Context, tx pgx.Tx) error {
		has, err := d.version(ctx, tx)
		if err != nil || has >= len(scripts) {
			return err
		}
		// It ends with the transaction: one for the session means nothing behind a pooler.
		if _, err := tx.Exec(ctx, "SELECT pg_advisory_xact_lock($1)", d.lockKey()); err != nil {
			return err
		}
		if has, err = d.version(ctx, tx); err != nil { // again: somebody else may have been first
			return err
		}
		return d.apply(ctx, tx, has, scripts)
	})
	if err != nil {
		return err
	}
	d.migrated.Store(true)
	return nil
}

// version is the number of the newest migration that was applied.
func (d *DB) version(ctx context.Context, tx pgx.Tx) (n int, err error) {
	var exists bool
	// From the catalog's tables: to_regclass would answer from the session's cache.
	err = tx.QueryRow(ctx, `SELECT EXISTS (SELECT FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
		WHERE n.nspname = $1 AND c.relname = 'migrations')`, d.o.Schema).Scan(&exists)
	if err != nil || !exists {
		return 0, err
	}
	err = tx.QueryRow(ctx, "SELECT coalesce(max(version), 0) FROM "+d.Table("migrations")).Scan(&n)
	return n, err
}

func (d *DB) apply(ctx context.Context, tx pgx.Tx, has int, scripts []string) error {
	if has == 0 {
		err := d.script(ctx, tx, `CREATE SCHEMA IF NOT EXISTS {{schema}};
			CREATE TABLE {{schema}}.migrations (version integer PRIMARY KEY, applied timestamptz NOT NULL DEFAULT now())`)
		if err != nil {
			return err
		}
	}
	for i := has; i < len(scripts); i++ {
		text, err := migrations.ReadFile(scripts[i])
		if err != nil {
			return err
		}
		err = d.script(ctx, tx, string(text)+fmt.Sprintf("; INSERT INTO {{schema}}.migrations (version) VALUES (%d)", i+1))
		if err != nil {
			return fmt.Errorf("%s: %w", scripts[i], err)
		}
	}
	return nil
}

// script runs several statements without parameters.
func (d *DB) script(ctx context.Context, tx pgx.Tx, text string) error {
	return tx.Conn().PgConn().Exec(ctx, strings.ReplaceAll(text, "{{schema}}", d.o.Schema)).Close()
}

func (d *DB) lockKey() int64 {
	h := fnv.New64a()
	_, _ = h.Write([]byte("quipu cluster " + d.o.Schema)) // never fails
	return int64(h.Sum64())
}
