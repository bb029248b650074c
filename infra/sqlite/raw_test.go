package sqlite

import (
	"context"
	"database/sql"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"quipu/projections/viewstest"
)

// rawTable is rows for one table, ready to be inserted.
type rawTable struct {
	name string
	rows [][]any
}

// rawRows are the rows of BenchRuns as the tables have them.
func rawRows(first, runs int) []rawTable {
	c := viewstest.BenchRuns("bench", first, runs)
	word := func(s string) int64 { return int64(len(s)) } // any small number serves
	executions, progress, statuses := rawTable{name: "executions"}, rawTable{name: "progress"}, rawTable{name: "statuses"}
	tasks, events := rawTable{name: "tasks"}, rawTable{name: "events"}
	for _, e := range c.Executions {
		executions.rows = append(executions.rows, []any{
			at64(e.Position), idOf(e.ID), word(e.WorkflowID) + at64(e.Position)%50, int64(0), word(e.Source), int64(0), word(e.FlowName), e.RunName, millis(e.StartedAt), e.Input.JSON, nil,
		})
		progress.rows = append(progress.rows, []any{
			at64(e.Position), int64(2), millis(e.EndedAt), int64(0), int64(0), nil, nil, nil, int64(e.LastOffset), at64(e.LastPosition), int64(5), int64(5), int64(5), int64(0), int64(0), int64(5),
		})
	}
	for _, s := range c.Statuses {
		statuses.rows = append(statuses.rows, []any{at64(s.Execution), at64(s.From), statusCode(s.Status), at64(s.To)})
	}
	for _, k := range c.Tasks {
		tasks.rows = append(tasks.rows, []any{
			at64(k.Execution), word(k.Task), int64(k.StartedOffset), idOf(k.TaskID), word(k.Function), int64(2), int64(1), millis(k.StartedAt), millis(k.EndedAt), int64(k.StartedOffset), int64(k.EndedOffset), nil, nil, nil,
		})
	}
	for _, e := range c.Events {
		events.rows = append(events.rows, []any{at64(e.Position), at64(e.Execution), int64(e.Revision), word(e.Type), word(e.Node), word(e.WorkflowID) + at64(e.Execution)%50, millis(e.At)})
	}
	return []rawTable{executions, progress, statuses, tasks, events}
}

// BenchmarkRaw inserts the rows of viewstest.Benchmark into the same tables and indexes with nothing
// around: a statement of 100 rows a call, a transaction a batch, by database/sql. What Commit reaches
// of it is its ratio.
func BenchmarkRaw(b *testing.B) {
	for _, runs := range []int{84, 840} {
		b.Run(fmt.Sprintf("Commit_%dEvents", runs*viewstest.RunEvents), func(b *testing.B) {
			path := filepath.Join(b.TempDir(), "raw.db")
			o := Options{}.withDefaults()
			require.NoError(b, create(b.Context(), path, o))
			c, err := connector(path, "rw", o.CacheBytes, o, fmt.Sprintf("wal_autocheckpoint(%d)", o.WALBytes/pageBytes))
			require.NoError(b, err)
			db := sql.OpenDB(c)
			db.SetMaxOpenConns(1)
			var spent time.Duration
			b.ResetTimer()
			for i := range b.N {
				b.StopTimer()
				tables := rawRows(i*runs, runs)
				before := viewstest.CPU()
				b.StartTimer()
				if err := rawCommit(b.Context(), db, tables); err != nil {
					b.Fatal(err)
				}
				spent += viewstest.CPU() - before
			}
			b.StopTimer()
			viewstest.Report(b, b.N*runs*viewstest.RunEvents, spent)
			require.NoError(b, db.Close())
		})
	}
}

func rawCommit(ctx context.Context, db *sql.DB, tables []rawTable) error {
	tx, err := db.BeginTx(context.WithoutCancel(ctx), nil)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }() // after Commit it does nothing
	for _, t := range tables {
		for len(t.rows) > 0 {
			n := min(100, len(t.rows))
			row := "(" + strings.Repeat("?,", len(t.rows[0])-1) + "?)"
			args := make([]any, 0, n*len(t.rows[0]))
			for _, r := range t.rows[:n] {
				args = append(args, r...)
			}
			if _, err := tx.Exec("INSERT INTO "+t.name+" VALUES "+row+strings.Repeat(","+row, n-1), args...); err != nil {
				return err
			}
			t.rows = t.rows[n:]
		}
	}
	return tx.Commit()
}
