// Package cluster is the database that several nodes share: connections, tables, and what its errors
// mean. Packages members, keys and blobs beside it are what stands in the tables.
//
// It is safe behind a pooler that gives each transaction another server connection (PgBouncer's
// transaction mode): statements are unnamed, settings are local to a transaction, locks are rows. Only
// notifications need a connection that lasts (Options.DirectURL); who gets none of them polls.
package cluster

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgconn/ctxwatch"
	"github.com/jackc/pgx/v5/pgxpool"

	"quipu/domain"
	"quipu/infra/postgres/sqlstate"
)

const (
	cancelGrace = time.Second     // for the server to confirm that it cancelled
	idleMax     = 5 * time.Minute // of a connection, then it is closed
)

// DB is the database. Safe for concurrent use.
type DB struct {
	url      string
	o        Options
	keeper   *Pool
	migrated atomic.Bool
}

// Open checks url and o. It connects to nothing; ctx bounds nothing that lives on. Close it after what
// was built on it.
// Errors: ErrInvalid, without the URL, which may hold a password.
func Open(ctx context.Context, url string, o Options) (*DB, error) {
	if err := o.Validate(); err != nil {
		return nil, domain.Wrap(domain.KindInvalid, "open", "the cluster's database", err)
	}
	d := &DB{url: url, o: o.withDefaults(url)}
	if _, err := pgxpool.ParseConfig(d.o.DirectURL); err != nil {
		return nil, domain.Wrap(domain.KindInvalid, "open", "the cluster's database", err).WithField("cluster_direct")
	}
	var err error
	if d.keeper, err = d.NewPool(ctx, "keep", PoolOptions{Max: 1, Timeout: 30 * time.Second}); err != nil {
		return nil, err
	}
	return d, nil
}

// Close closes the connections of DB itself; pools are their owners'.
func (d *DB) Close() error {
	d.keeper.Close()
	return nil
}

// Table is the qualified name of a table.
func (d *DB) Table(name string) string { return d.o.Schema + "." + name }

// Channel is the name of a channel for notifications.
func (d *DB) Channel(name string) string { return d.o.Schema + "_" + name }

// Connect opens a connection that lasts, past any pooler if the operator named the way.
func (d *DB) Connect(ctx context.Context) (*pgx.Conn, error) {
	pooled, err := pgxpool.ParseConfig(d.o.DirectURL) // which knows pool_* settings and leaves them out
	if err != nil {
		return nil, err
	}
	config := pooled.ConnConfig
	d.prepare(config, "listen")
	ctx, cancel := context.WithTimeout(ctx, d.o.ConnectTimeout)
	defer cancel()
	return pgx.ConnectConfig(ctx, config)
}

func (d *DB) prepare(c *pgx.ConnConfig, purpose string) {
	c.ConnectTimeout = d.o.ConnectTimeout
	c.RuntimeParams["application_name"] = "quipu cluster " + purpose
	// Neither names nor prepared statements: the next transaction may be on another server connection.
	c.DefaultQueryExecMode = pgx.QueryExecModeExec
	c.StatementCacheCapacity, c.DescriptionCacheCapacity = 0, 0
}

// PoolOptions are those of one purpose's connections.
type PoolOptions struct {
	Max     int           // connections; further callers wait
	Timeout time.Duration // of each call, the wait for a connection included; the server ends a statement then
}

// Pool is the connections of one purpose: another one's load cannot starve it. Safe for concurrent use.
type Pool struct {
	*pgxpool.Pool
	timeout time.Duration
}

// NewPool makes a pool, which connects when it is used. Close it. Errors: ErrInvalid.
func (d *DB) NewPool(ctx context.Context, purpose string, o PoolOptions) (*Pool, error) {
	if o.Max < 1 || o.Max > PoolMax || o.Timeout <= 0 {
		return nil, domain.E(domain.KindInvalid, "open", "the cluster's database", fmt.Sprintf("%d connections for %s and a timeout of %v: 1 to %d and more than 0s are allowed", o.Max, purpose, o.Timeout, PoolMax))
	}
	config, err := pgxpool.ParseConfig(d.url)
	if err != nil {
		// The parser's own error has the password blotted out, and names the setting.
		return nil, domain.Wrap(domain.KindInvalid, "open", "the cluster's database", err).WithField("cluster")
	}
	config.MaxConns, config.MinConns, config.MinIdleConns = int32(o.Max), 0, 0
	config.MaxConnIdleTime = idleMax
	config.PingTimeout = d.o.ConnectTimeout
	d.prepare(config.ConnConfig, purpose)
	config.ConnConfig.BuildContextWatcherHandler = func(conn *pgconn.PgConn) ctxwatch.Handler {
		return &pgconn.CancelRequestContextWatcherHandler{Conn: conn, DeadlineDelay: min(cancelGrace, o.Timeout/2)}
	}
	pool, err := pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		return nil, domain.Wrap(domain.KindInvalid, "open", "the cluster's database", err)
	}
	return &Pool{pool, o.Timeout}, nil
}

// Together sends statements that mean the same when done twice, as one transaction in one round trip. A
// connection that turns out to be dead is replaced once. durable says that what was committed must have
// reached the disk before it returns, whatever the database's default is. fill may be called twice.
// Errors: those of Translate.
func (p *Pool) Together(ctx context.Context, op, subject string, durable bool, fill func(*pgx.Batch)) error {
	bounded, cancel := context.WithTimeout(ctx, p.timeout)
	defer cancel()
	var err error
	for range 2 {
		var b pgx.Batch
		b.Queue("SELECT set_config('statement_timeout', $1, true)", fmt.Sprint(p.timeout.Milliseconds()))
		if durable {
			b.Queue("SELECT set_config('synchronous_commit', CASE current_setting('synchronous_commit') WHEN 'off' THEN 'on' ELSE current_setting('synchronous_commit') END, true)")
		}
		fill(&b)
		if err = p.SendBatch(bounded, &b).Close(); !lost(bounded, err) {
			break
		}
		p.Reset() // the others of the pool died with it
	}
	return p.translate(ctx, bounded, op, subject, err)
}

// Transaction runs do, which must mean the same when done twice. Errors: those of Translate, and do's own.
func (p *Pool) Transaction(ctx context.Context, op, subject string, do func(context.Context, pgx.Tx) error) error {
	bounded, cancel := context.WithTimeout(ctx, p.timeout)
	defer cancel()
	var err error
	for range 2 {
		err = pgx.BeginFunc(bounded, p.Pool, func(tx pgx.Tx) error {
			if _, err := tx.Exec(bounded, "SELECT set_config('statement_timeout', $1, true)", fmt.Sprint(p.timeout.Milliseconds())); err != nil {
				return err
			}
			return do(bounded, tx)
		})
		if !lost(bounded, err) {
			break
		}
		p.Reset()
	}
	return p.translate(ctx, bounded, op, subject, err)
}

// lost reports whether the connection is gone while there is time left: it broke, or the server's last word
// on it was that it ends.
func lost(ctx context.Context, err error) bool {
	return sqlstate.Cut(ctx, err) || ctx.Err() == nil && strings.HasPrefix(sqlstate.Of(err), sqlstate.Ending)
}

// translate gives errors their kind. The end of the time that we gave it, bounded, is the database's
// slowness, not the caller's.
func (p *Pool) translate(ctx, bounded context.Context, op, subject string, err error) error {
	err = sqlstate.Translate(ctx, op, subject, err)
	if err == nil {
		return nil
	}
	switch state := sqlstate.Of(err); {
	case state == sqlstate.DiskFull:
		return domain.Wrap(domain.KindUnavailable, op, subject, err).WithCode("DISK_FULL")
	case sqlstate.Gone(state):
		return domain.E(domain.KindUnavailable, op, subject, "the cluster's tables are missing in the database: restore them, or restart the nodes to make them anew")
	case ctx.Err() == nil && (state == sqlstate.Canceled || state == "" && bounded.Err() != nil):
		return domain.Wrap(domain.KindUnavailable, op, subject, fmt.Errorf("the database did not answer within %v: %w", p.timeout, err))
	}
	return err
}
