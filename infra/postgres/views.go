package postgres

import (
	"context"
	"errors"
	"fmt"
	"math"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgconn/ctxwatch"
	"github.com/jackc/pgx/v5/pgxpool"

	"quipu/domain"
	"quipu/projections"
)

const (
	writersMax      = 2
	housekeepersMax = 4               // generations, and snapshots, which come in pairs
	cancelGrace     = time.Second     // for the server to confirm that it cancelled
	idleMax         = 5 * time.Minute // of a connection, then it is closed
)

// Views keeps the views in a Postgres database: the adapter of projections.Generations and of the
// queries of readapi.
//
// Concurrency: safe. While the server is down every method gives ErrUnavailable, and works again by
// itself afterwards.
type Views struct {
	url     string // of a connection that lasts
	o       Options
	writers *pgxpool.Pool
	readers *pgxpool.Pool
	keepers *pgxpool.Pool

	migrated atomic.Bool
	current  atomic.Int64 // the generation that queries read; 0 if it must be looked up
}

var _ projections.Generations = (*Views)(nil)

// Open checks url and o and returns the views they name. It connects to nothing, so that the server may
// come up later; ctx bounds nothing that lives on. url is a libpq URL or list of key=value pairs;
// pool_* settings in it are ignored. Close it.
// Errors: ErrInvalid, without the URL, which may hold a password.
func Open(ctx context.Context, url string, o Options) (*Views, error) {
	if err := o.Validate(); err != nil {
		return nil, domain.Wrap(domain.KindInvalid, "open", "views in Postgres", err)
	}
	o = o.withDefaults()
	v := &Views{url: url, o: o}
	if o.DirectURL != "" {
		v.url = o.DirectURL
		if _, err := pgxpool.ParseConfig(v.url); err != nil {
			return nil, domain.Wrap(domain.KindInvalid, "open", "views in Postgres", err).WithField("views_direct")
		}
	}
	for _, p := range []struct {
		pool **pgxpool.Pool
		name string
		max  int
	}{
		{&v.writers, "quipu views commit", writersMax},
		{&v.readers, "quipu views query", o.ReadersMax},
		{&v.keepers, "quipu views keep", housekeepersMax},
	} {
		config, err := pgxpool.ParseConfig(url)
		if err != nil {
			_ = v.Close()
			// The parser's own error has the password blotted out, and names the setting.
			return nil, domain.Wrap(domain.KindInvalid, "open", "views in Postgres", err).WithField("views")
		}
		config.MaxConns, config.MinConns, config.MinIdleConns = int32(p.max), 0, 0
		config.MaxConnIdleTime = idleMax
		config.PingTimeout = o.ConnectTimeout
		c := config.ConnConfig
		c.ConnectTimeout = o.ConnectTimeout
		c.RuntimeParams["application_name"] = p.name
		// Names are qualified; a statement that is not must fail rather than find something.
		// (search_path is not sent: poolers refuse start parameters they do not know.)
		c.DefaultQueryExecMode = pgx.QueryExecModeExec
		c.StatementCacheCapacity, c.DescriptionCacheCapacity = 0, 0
		c.BuildContextWatcherHandler = func(conn *pgconn.PgConn) ctxwatch.Handler {
			return &pgconn.CancelRequestContextWatcherHandler{Conn: conn, DeadlineDelay: cancelGrace}
		}
		if p.pool == &v.keepers {
			// Rare and without a second try: look first whether an idle connection still stands.
			config.ShouldPing = func(context.Context, pgxpool.ShouldPingParams) bool { return true }
		}
		if *p.pool, err = pgxpool.NewWithConfig(ctx, config); err != nil {
			_ = v.Close()
			return nil, domain.Wrap(domain.KindInvalid, "open", "views in Postgres", err)
		}
	}
	return v, nil
}

// Close closes all connections; queries under way end first.
func (v *Views) Close() error {
	for _, pool := range []*pgxpool.Pool{v.readers, v.writers, v.keepers} {
		if pool != nil {
			pool.Close()
		}
	}
	return nil
}

// Ping asks the server for a sign of life. Errors: ErrUnavailable, which says what is wrong.
func (v *Views) Ping(ctx context.Context) error {
	bounded, cancel := context.WithTimeout(ctx, v.o.ReadTimeout)
	defer cancel()
	return translate(ctx, "ping", "views", v.readers.Ping(bounded))
}

// schema names a generation.
func (v *Views) schema(number int64) string { return fmt.Sprintf("%s_g%d", v.o.Schema, number) }

// batch is a list of statements that go to the server together. Outside a transaction they are one.
type batch struct {
	pg      pgconn.Batch
	handles []func(*record)
}

var binaryFormat = []int16{1}

// add appends a statement. handle is called for each row of its result; nil ignores them.
func (b *batch) add(sql string, a args, handle func(*record)) {
	b.pg.ExecParams(sql, a.values, a.oids, binaryFormat, binaryFormat)
	b.handles = append(b.handles, handle)
}

// run sends the statements and reads all results. Errors are those of pgx, or ErrCorrupt.
func (b *batch) run(ctx context.Context, conn *pgconn.PgConn) error {
	results := conn.ExecBatch(ctx, &b.pg)
	var fault error
	for i := 0; results.NextResult(); i++ {
		reader := results.ResultReader()
		for reader.NextRow() {
			if b.handles[i] == nil {
				continue
			}
			r := record{values: reader.Values()}
			b.handles[i](&r)
			fault = errors.Join(fault, r.fault)
		}
		if _, err := reader.Close(); err != nil {
			break // Close says it again
		}
	}
	if err := results.Close(); err != nil {
		return err
	}
	return fault
}

// args are the parameters of one statement. Its methods add one and return its name in the text.
type args struct {
	values [][]byte
	oids   []uint32
}

func (a *args) add(k kind, value []byte) string {
	a.values = append(a.values, value)
	a.oids = append(a.oids, k.oid)
	return fmt.Sprintf("$%d", len(a.values))
}

func (a *args) big(v int64) string { return a.add(kindBig, be.AppendUint64(nil, uint64(v))) }

// position takes what lies beyond all positions that can be stored for the last of them.
func (a *args) position(p domain.Position) string { return a.big(int64(min(p, math.MaxInt64))) }

func (a *args) bytes(s string) string { return a.add(kindBytes, append([]byte{}, s...)) }

func (a *args) text(s string) string { return a.add(kindText, append([]byte{}, s...)) }

// until rounds up, as a bound for instants that have milliseconds.
func (a *args) until(t time.Time) string {
	down := domain.Instant(t)
	if down.Before(t) {
		down = down.Add(time.Millisecond)
	}
	return a.add(kindInstant, be.AppendUint64(nil, uint64(micros(down))))
}

func (a *args) list(all []string) string {
	r := newRows([]kind{kindBytes}, false)
	for _, s := range all {
		r.begin()
		r.text(s)
	}
	values, oids := r.params()
	a.values, a.oids = append(a.values, values[0]), append(a.oids, oids[0])
	return fmt.Sprintf("$%d", len(a.values))
}
