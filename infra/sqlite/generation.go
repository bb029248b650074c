package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"sync"

	"quipu/domain"
	"quipu/infra/durable"
)

// generation is one file as this process has it open. References hold it open; once it is retired
// and the last one is gone, it closes.
type generation struct {
	number int
	path   string
	opts   Options

	readers   *sql.DB // bounded by ReadersMax
	snapshots *sql.DB // beside, since a snapshot may be held for minutes
	words     words   // of both directions, for reading

	commit sync.Mutex // one commit at a time
	writer *writer    // opened by the first commit; under commit

	mu      sync.Mutex
	refs    int
	retired bool
	onClose func()
}

// snapshotsMax is how many snapshots of a generation are open at once; further ones wait.
const snapshotsMax = 2

func openGeneration(number int, path string, o Options) (*generation, error) {
	mode := "rw"
	if o.ReadOnly {
		mode = "ro"
	}
	c, err := connector(path, mode, o.CacheBytes/4, o, "query_only(1)")
	if err != nil {
		return nil, err
	}
	g := &generation{number: number, path: path, opts: o, readers: sql.OpenDB(c), snapshots: sql.OpenDB(c)}
	g.readers.SetMaxOpenConns(o.ReadersMax)
	g.readers.SetMaxIdleConns(o.ReadersMax)
	g.snapshots.SetMaxOpenConns(snapshotsMax)
	g.snapshots.SetMaxIdleConns(0)
	return g, nil
}

// hold keeps g open until release.
func (g *generation) hold() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.retired {
		return false
	}
	g.refs++
	return true
}

func (g *generation) release() {
	g.mu.Lock()
	g.refs--
	last := g.retired && g.refs == 0
	g.mu.Unlock()
	if last {
		g.close()
	}
}

// retire lets g close when nobody holds it; onClose runs then.
func (g *generation) retire(onClose func()) {
	g.mu.Lock()
	if g.retired {
		g.mu.Unlock()
		return
	}
	g.retired, g.onClose = true, onClose
	idle := g.refs == 0
	g.mu.Unlock()
	if idle {
		g.close()
	}
}

// close closes the connections, the writing one last: that one moves the write-ahead log into the
// file. Errors leave nothing that the next opening would not repair.
func (g *generation) close() {
	_ = g.readers.Close()
	_ = g.snapshots.Close()
	g.commit.Lock()
	if g.writer != nil {
		_ = g.writer.close()
		g.writer = nil
	}
	g.commit.Unlock()
	if g.onClose != nil {
		g.onClose()
	}
}

// check looks whether the file is one of ours, of this version.
func (g *generation) check(ctx context.Context) error {
	var application, version int64
	err := g.readers.QueryRowContext(ctx, "SELECT (SELECT application_id FROM pragma_application_id), (SELECT user_version FROM pragma_user_version)").
		Scan(&application, &version)
	switch {
	case err != nil:
		return translate(ctx, "open", err)
	case application != applicationID:
		return corrupt("open", "the file holds other data")
	case version > schemaVersion:
		return newer()
	case version < schemaVersion:
		return errOlder
	}
	return nil
}

// errOlder is a file of an older version, which a new generation replaces.
var errOlder = errors.New("the views are of an older version")

// begin opens a transaction that sees one state of the file.
func (g *generation) begin(ctx context.Context, db *sql.DB) (*reading, error) {
	tx, err := db.BeginTx(ctx, &sql.TxOptions{ReadOnly: true})
	if err != nil {
		return nil, translate(ctx, "read", err)
	}
	r := &reading{tx: tx, gen: g}
	if err := r.load(ctx); err != nil {
		r.end()
		return nil, err
	}
	return r, nil
}

// errClosed answers calls after Close.
func errClosed(op string) error {
	return domain.E(domain.KindUnavailable, op, "views", "the views are closed")
}

// errReadOnly answers what would change views that are only looked at.
func errReadOnly(op string) error {
	return domain.E(domain.KindRefused, op, "views", "they were opened for reading only")
}

// errGone answers a store whose generation is no more.
func errGone(op string) error {
	return domain.E(domain.KindConflict, op, "views", "the generation was dropped or replaced")
}

func contextError(ctx context.Context, op string) error {
	return durable.ContextError(ctx, op, "views")
}
