package postgres

import (
	"context"
	"embed"
	"fmt"
	"hash/fnv"
	"io/fs"
	"strings"

	"github.com/jackc/pgx/v5"
)

// The registry's migrations are applied in the order of their names, each once.
//
//go:embed migrations/*.sql
var migrations embed.FS

//go:embed layout.sql
var layout string

// layoutVersion numbers layout.sql.
const layoutVersion = 2

// migrate brings the registry up to date, once per process. Several processes may do so at once: one
// works, the others wait. Errors: ErrRefused with code VIEWS_NEWER.
//
// A tool for migrations would bring a lock for the session, which means nothing behind a pooler; this
// lock ends with the transaction that holds it.
func (v *Views) migrate(ctx context.Context) error {
	if v.migrated.Load() {
		return nil
	}
	scripts, err := fs.Glob(migrations, "migrations/*.sql")
	if err != nil {
		return err
	}
	has, err := v.version(ctx, v.keepers)
	if err == nil && has < len(scripts) {
		err = v.locked(ctx, func(tx pgx.Tx) error { return v.apply(ctx, tx, scripts) })
	}
	switch {
	case err != nil:
		return err
	case has > len(scripts):
		return newer("open")
	}
	v.migrated.Store(true)
	return nil
}

type querier interface {
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
}

// version is the number of the newest migration that was applied.
func (v *Views) version(ctx context.Context, q querier) (n int, err error) {
	var exists bool
	// From the catalog's tables: to_regclass would answer from the session's cache, which does not learn
	// while we wait for the lock that somebody else has made the table.
	err = q.QueryRow(ctx, `SELECT EXISTS (SELECT FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
		WHERE n.nspname = $1 AND c.relname = 'migrations')`, v.o.Schema).Scan(&exists)
	if err != nil || !exists {
		return 0, err
	}
	err = q.QueryRow(ctx, "SELECT coalesce(max(version), 0) FROM "+v.o.Schema+".migrations").Scan(&n)
	return n, err
}

func (v *Views) apply(ctx context.Context, tx pgx.Tx, scripts []string) error {
	has, err := v.version(ctx, tx) // again: somebody else may have been first
	if err != nil || has >= len(scripts) {
		return err
	}
	if has == 0 {
		err := script(ctx, tx, v.o.Schema, `CREATE SCHEMA IF NOT EXISTS {{schema}};
			CREATE TABLE {{schema}}.migrations (
				version integer PRIMARY KEY,
				applied timestamptz NOT NULL DEFAULT now()
			)`)
		if err != nil {
			return err
		}
	}
	for i := has; i < len(scripts); i++ {
		text, err := migrations.ReadFile(scripts[i])
		if err != nil {
			return err
		}
		err = script(ctx, tx, v.o.Schema, string(text)+
			fmt.Sprintf("; INSERT INTO {{schema}}.migrations (version) VALUES (%d)", i+1))
		if err != nil {
			return fmt.Errorf("%s: %w", scripts[i], err)
		}
	}
	return nil
}

// script runs several statements without parameters.
func script(ctx context.Context, tx pgx.Tx, schema, text string) error {
	return tx.Conn().PgConn().Exec(ctx, strings.ReplaceAll(text, "{{schema}}", schema)).Close()
}

// locked runs do in a transaction that excludes all others of this kind, in any process.
func (v *Views) locked(ctx context.Context, do func(pgx.Tx) error) error {
	return pgx.BeginFunc(ctx, v.keepers, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, "SELECT pg_advisory_xact_lock($1)", v.lockKey()); err != nil {
			return err
		}
		return do(tx)
	})
}

func (v *Views) lockKey() int64 {
	h := fnv.New64a()
	_, _ = h.Write([]byte("quipu views " + v.o.Schema))
	return int64(h.Sum64())
}
