package main

import (
	"context"
	"errors"

	"quipu/bench/history"
	"quipu/infra/postgres/pgtest"
)

// postgresSettings are those of a small server of its own; everything is flushed as by default.
var postgresSettings = []string{"shared_buffers = 1GB", "max_wal_size = 4GB", "effective_cache_size = 4GB"}

// pastOnPostgres measures the history routes with views in Postgres.
func pastOnPostgres(b *bench) (err error) {
	server, err := pgtest.Launch(pgtest.Options{Fsync: true, Settings: postgresSettings})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, server.Close()) }()
	url, _, err := server.Database(context.Background())
	if err != nil {
		return err
	}
	return b.pastOn("Postgres", history.Of(pastRuns, b.events), []string{"--views=" + url})
}
