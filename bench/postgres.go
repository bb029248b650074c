package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"quipu/bench/history"
	"quipu/infra/embedded"
	"quipu/infra/postgres"
	"quipu/infra/postgres/pgtest"
	"quipu/projections"
)

// postgresSettings are those of a small server of its own; everything is flushed as by default.
var postgresSettings = []string{"shared_buffers = 1GB", "max_wal_size = 4GB", "effective_cache_size = 4GB"}

// withPostgres runs f with an empty database of a server that is started for it.
func withPostgres(f func(url string) error) (err error) {
	server, err := pgtest.Launch(pgtest.Options{Fsync: true, Settings: postgresSettings})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, server.Close()) }()
	url, _, err := server.Database(context.Background())
	if err != nil {
		return err
	}
	return f(url)
}

// pastOnPostgres measures the history routes with views in Postgres.
func pastOnPostgres(b *bench) error {
	return withPostgres(func(url string) error {
		return b.pastOn("Postgres", history.Of(pastRuns, b.events), []string{"--views=" + url}, func() error { return vacuum(url) })
	})
}

// vacuum does at once what Postgres would do by itself in the minutes after so many rows were loaded,
// while questions were being measured.
func vacuum(url string) error {
	db, err := pgx.Connect(context.Background(), url)
	if err != nil {
		return err
	}
	_, err = db.Exec(context.Background(), "VACUUM (ANALYZE)")
	return errors.Join(err, db.Close(context.Background()))
}

// viewsOnPostgres measures the views in Postgres, projected in this process.
func viewsOnPostgres(b *bench) error {
	if err := withPostgres(b.catchUpPostgres); err != nil {
		return fmt.Errorf("catch up: %w", err)
	}
	return withPostgres(func(url string) error {
		return b.lag("Postgres", func(*embedded.Log) (projections.Generations, error) {
			return postgres.Open(context.Background(), url, postgres.Options{})
		})
	})
}

func (b *bench) catchUpPostgres(url string) error {
	data, remove, err := b.temp()
	if err != nil {
		return err
	}
	defer remove()
	shape := history.Of(catchUpEvents/13, catchUpEvents)
	log, err := embedded.Open(logDir(data), embedded.Options{})
	if err != nil {
		return err
	}
	defer func() { _ = log.Close() }() // read only by now
	if err := shape.Fill(context.Background(), log, nil); err != nil {
		return err
	}
	store, err := postgres.Open(context.Background(), url, postgres.Options{})
	if err != nil {
		return err
	}
	took, err := buildViews(log, store)
	if err := errors.Join(err, store.Close()); err != nil {
		return err
	}
	rows, raw, err := rawCopy(context.Background(), url)
	if err != nil {
		return err
	}
	addCatchUp(b, "Postgres", shape.Events(), took, "COPY", rows, raw, ", one COPY a table")
	return nil
}

// rawCopy copies the rows of the views into new tables with the same columns and indexes by COPY, and
// says how long that took without reading them.
func rawCopy(ctx context.Context, url string) (rows int, took time.Duration, err error) {
	db, err := pgx.Connect(ctx, url)
	if err != nil {
		return 0, 0, err
	}
	defer func() { err = errors.Join(err, db.Close(ctx)) }()
	if _, err := db.Exec(ctx, "CREATE SCHEMA raw"); err != nil {
		return 0, 0, err
	}
	tables, err := leafTables(ctx, db)
	if err != nil {
		return 0, 0, err
	}
	for _, t := range tables {
		from, to := pgx.Identifier(t).Sanitize(), pgx.Identifier{"raw", t[1]}.Sanitize()
		var content bytes.Buffer
		if _, err := db.PgConn().CopyTo(ctx, &content, "COPY (SELECT * FROM "+from+") TO STDOUT (FORMAT binary)"); err != nil {
			return 0, 0, err
		}
		if _, err := db.Exec(ctx, "CREATE TABLE "+to+" (LIKE "+from+" INCLUDING ALL)"); err != nil {
			return 0, 0, err
		}
		began := time.Now()
		tag, err := db.PgConn().CopyFrom(ctx, &content, "COPY "+to+" FROM STDIN (FORMAT binary)")
		if err != nil {
			return 0, 0, err
		}
		took += time.Since(began)
		rows += int(tag.RowsAffected())
	}
	return rows, took, nil
}

// leafTables are the tables beside whose rows stands an events table.
func leafTables(ctx context.Context, db *pgx.Conn) ([][]string, error) {
	rows, err := db.Query(ctx, `
		SELECT n.nspname, c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
		WHERE c.relkind = 'r' AND n.oid IN (SELECT relnamespace FROM pg_class WHERE relname = 'events')
		ORDER BY 1, 2`)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) ([]string, error) {
		name := make([]string, 2)
		err := row.Scan(&name[0], &name[1])
		return name, err
	})
}
