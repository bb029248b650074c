package postgres

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"quipu/infra/postgres/listen"
)

// notifySQL tells whoever listens that the rows of this registry have moved. Schema names are letters,
// digits and _.
func (v *Views) notifySQL() string { return "SELECT pg_notify('" + v.o.Schema + "', '')" }

// Listen calls moved after each commit of another process that has Options.Notify, until ctx ends, on a
// connection of its own, which is opened anew whenever it breaks; moved is then called, too. It is a
// hint: behind a pooler in transaction mode nothing arrives unless Options.DirectURL leads past it.
// said, if not nil, is told when notifications cannot arrive, and nil when they can.
func (v *Views) Listen(ctx context.Context, afterFunc func(time.Duration, func()) func() bool, moved func(), said func(error)) {
	listen.Run(ctx, listen.Options{
		Connect: v.connect, Channel: v.o.Schema, Heard: func(string) { moved() }, Listening: said, AfterFunc: afterFunc,
	})
}

// connect opens a connection outside the pools.
func (v *Views) connect(ctx context.Context) (*pgx.Conn, error) {
	pooled, err := pgxpool.ParseConfig(v.url) // which knows pool_* settings and leaves them out
	if err != nil {
		return nil, err
	}
	config := pooled.ConnConfig
	config.ConnectTimeout = v.o.ConnectTimeout
	config.RuntimeParams["application_name"] = "quipu views listen"
	config.DefaultQueryExecMode = pgx.QueryExecModeExec
	config.StatementCacheCapacity, config.DescriptionCacheCapacity = 0, 0
	ctx, cancel := context.WithTimeout(ctx, v.o.ConnectTimeout)
	defer cancel()
	return pgx.ConnectConfig(ctx, config)
}
