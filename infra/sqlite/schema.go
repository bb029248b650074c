package sqlite

import (
	"context"
	"database/sql/driver"
	_ "embed"
	"errors"
	"fmt"
	"net/url"

	"modernc.org/sqlite"
)

//go:embed schema.sql
var schema string

const (
	// schemaVersion counts the versions of schema.sql, in the file's user_version.
	schemaVersion = 2
	// applicationID tells our files from others': "QUIP".
	applicationID = 0x51554950
	pageBytes     = 4096
)

// connector opens connections to the file at path with our settings.
func connector(path, mode string, cacheBytes int64, o Options, more ...string) (driver.Connector, error) {
	q := url.Values{"mode": {mode}, "_pragma": append([]string{
		fmt.Sprintf("busy_timeout(%d)", o.BusyTimeout.Milliseconds()),
		"synchronous(NORMAL)", // a crash keeps the file whole; what is lost is projected again
		fmt.Sprintf("cache_size(%d)", -cacheBytes/1024),
		"temp_store(MEMORY)",
		"trusted_schema(OFF)",
	}, more...)}
	return sqlite.NewConnector((&url.URL{Scheme: "file", Path: path, RawQuery: q.Encode()}).String())
}

// create makes the file of a generation.
func create(ctx context.Context, path string, o Options) (err error) {
	c, err := connector(path, "rwc", o.CacheBytes, o, fmt.Sprintf("page_size(%d)", pageBytes), "journal_mode(WAL)")
	if err != nil {
		return err
	}
	conn, err := c.Connect(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	return execute(ctx, conn, fmt.Sprintf(`BEGIN IMMEDIATE; %s;
		INSERT INTO state VALUES (1, '', 0, '{}', 0, %d);
		PRAGMA application_id = %d; PRAGMA user_version = %d; COMMIT`, schema, o.SpanPositions, applicationID, schemaVersion))
}

func execute(ctx context.Context, conn driver.Conn, query string, args ...driver.Value) error {
	_, err := conn.(driver.ExecerContext).ExecContext(ctx, query, named(args))
	return err
}

// queryInt reads one number; found is false without a row.
func queryInt(ctx context.Context, conn driver.Conn, query string, args ...driver.Value) (n int64, found bool, err error) {
	rows, err := conn.(driver.QueryerContext).QueryContext(ctx, query, named(args))
	if err != nil {
		return 0, false, err
	}
	return firstInt(rows)
}

func named(args []driver.Value) []driver.NamedValue {
	all := make([]driver.NamedValue, len(args))
	for i, a := range args {
		all[i] = driver.NamedValue{Ordinal: i + 1, Value: a}
	}
	return all
}
