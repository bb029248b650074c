package sqlite

import (
	"context"
	"database/sql/driver"
	"strings"
)

// bulkRows is how many rows one INSERT takes at most. Rounds of fewer use statements of 32, 16, … 1
// rows, so that a handful of prepared statements serve every number of rows.
const bulkRows = 64

// bulk inserts rows into one table by many rows a statement. It goes past database/sql, whose checks
// of each argument cost as much as the insert.
type bulk struct {
	conn       driver.Conn
	head, tail string // around the rows of values
	columns    int
	args       []driver.NamedValue
	stmts      map[int]driver.Stmt // by number of rows
}

// newBulk makes a bulk for "INSERT INTO table (columns) VALUES …" with what follows the values. OR FAIL
// spares SQLite a journal for undoing half a statement: a failed commit is rolled back as a whole.
func newBulk(conn driver.Conn, table, columns, tail string) *bulk {
	n := 1 + strings.Count(columns, ",")
	return &bulk{
		conn: conn, head: "INSERT OR FAIL INTO " + table + " (" + columns + ") VALUES ", tail: " " + tail,
		columns: n, args: make([]driver.NamedValue, 0, n*bulkRows), stmts: map[int]driver.Stmt{},
	}
}

// add takes one row. Values are int64, string, []byte or nil.
func (b *bulk) add(ctx context.Context, row ...driver.Value) error {
	for _, v := range row {
		b.args = append(b.args, driver.NamedValue{Ordinal: len(b.args) + 1, Value: v})
	}
	if len(b.args) < b.columns*bulkRows {
		return nil
	}
	return b.flush(ctx)
}

// flush inserts what was added.
func (b *bulk) flush(ctx context.Context) error {
	for n := bulkRows; len(b.args) > 0; {
		for n*b.columns > len(b.args) {
			n /= 2
		}
		args := b.args[len(b.args)-n*b.columns:]
		b.args = b.args[:len(b.args)-len(args)]
		for i := range args {
			args[i].Ordinal = i + 1
		}
		stmt, err := b.stmt(ctx, n)
		if err == nil {
			_, err = stmt.(driver.StmtExecContext).ExecContext(ctx, args)
		}
		clear(args) // lets go of payloads
		if err != nil {
			b.drop()
			return err
		}
	}
	return nil
}

// drop forgets what was added.
func (b *bulk) drop() { b.args = b.args[:0] }

func (b *bulk) stmt(ctx context.Context, rows int) (driver.Stmt, error) {
	if s, ok := b.stmts[rows]; ok {
		return s, nil
	}
	row := "(" + strings.Repeat("?,", b.columns-1) + "?)"
	s, err := b.conn.(driver.ConnPrepareContext).PrepareContext(ctx, b.head+strings.Repeat(row+",", rows-1)+row+b.tail)
	if err == nil {
		b.stmts[rows] = s
	}
	return s, err
}
