package sqlite_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"quipu/domain"
	"quipu/infra/sqlite"
	"quipu/projections"
	"quipu/projections/view"
	"quipu/projections/viewstest"
)

func views(t *testing.T, dir string) *sqlite.Views {
	v, err := sqlite.Open(dir, viewstest.NewLog(), sqlite.Options{WALBytes: 1 << 20})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, v.Close()) })
	return v
}

func current(t *testing.T, v *sqlite.Views) projections.Store {
	s, err := v.Current(t.Context())
	require.NoError(t, err)
	return s
}

func commit(t *testing.T, s projections.Store, first, runs int) {
	require.NoError(t, s.Commit(t.Context(), viewstest.BenchRuns("log", first, runs)))
}

// files lists a folder.
func files(t *testing.T, dir string) []string {
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	var all []string
	for _, e := range entries {
		all = append(all, e.Name())
	}
	return all
}

// A damaged or foreign file is said to be so, and does not stand in the way of building anew.
func TestViews_DamagedFile(t *testing.T) {
	for name, damage := range map[string]func(t *testing.T, path string){
		"no database": func(t *testing.T, path string) {
			require.NoError(t, os.WriteFile(path, []byte("this is no database, whatever its name says, and long enough to be one"), 0o600))
		},
		"overwritten": func(t *testing.T, path string) {
			info, err := os.Stat(path)
			require.NoError(t, err)
			f, err := os.OpenFile(path, os.O_RDWR, 0o600)
			require.NoError(t, err)
			_, err = f.WriteAt(make([]byte, info.Size()-4096), 4096)
			require.NoError(t, err)
			require.NoError(t, f.Close())
		},
		"another program's": func(t *testing.T, path string) { alter(t, path, "PRAGMA application_id = 7") },
		"no checkpoint":     func(t *testing.T, path string) { alter(t, path, "DELETE FROM state") },
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			v := views(t, dir)
			commit(t, current(t, v), 0, 200)
			require.NoError(t, v.Close())
			damage(t, filepath.Join(dir, "views-000001.db"))

			v = views(t, dir)
			_, err := v.Executions(t.Context(), view.ExecutionQuery{Page: view.Page{Limit: 10}})
			require.ErrorIs(t, err, domain.ErrCorrupt)
			require.ErrorContains(t, err, "rebuild the views")
			s, err := v.Begin(t.Context())
			require.NoError(t, err)
			commit(t, s, 0, 3)
			require.NoError(t, v.Promote(t.Context(), s))
			got, err := v.Executions(t.Context(), view.ExecutionQuery{Page: view.Page{Limit: 10}})
			require.NoError(t, err)
			require.Len(t, got.Rows, 3)
			require.NotContains(t, files(t, dir), "views-000001.db")
		})
	}
}

// alter changes a file behind the back of the views.
func alter(t *testing.T, path, query string) {
	db, err := sql.Open("sqlite", path)
	require.NoError(t, err)
	_, err = db.ExecContext(t.Context(), query)
	require.NoError(t, err)
	require.NoError(t, db.Close())
}

func TestViews_NewerIsRefusedAndLeftAlone(t *testing.T) {
	for name, raise := range map[string]func(t *testing.T, dir string){
		"schema": func(t *testing.T, dir string) {
			alter(t, filepath.Join(dir, "views-000001.db"), "PRAGMA user_version = 99")
		},
		"pointer": func(t *testing.T, dir string) {
			require.NoError(t, os.WriteFile(filepath.Join(dir, "views.json"), []byte(`{"format":2,"current":1}`), 0o600))
		},
		"pointer of other types": func(t *testing.T, dir string) {
			require.NoError(t, os.WriteFile(filepath.Join(dir, "views.json"), []byte(`{"current":"one","format":2}`), 0o600))
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			v := views(t, dir)
			commit(t, current(t, v), 0, 1)
			require.NoError(t, v.Close())
			raise(t, dir)
			before := files(t, dir)
			v = views(t, dir)
			_, err := v.Current(t.Context())
			require.ErrorIs(t, err, domain.ErrRefused)
			var e *domain.Error
			require.ErrorAs(t, err, &e)
			require.Equal(t, "VIEWS_NEWER", e.Code)
			_, err = v.Checkpoint(t.Context())
			require.ErrorIs(t, err, domain.ErrRefused)
			require.Subset(t, files(t, dir), before)
		})
	}
}

// Views are derived: an older schema or a lost file begins anew rather than failing.
func TestViews_OlderOrMissingBeginsAnew(t *testing.T) {
	for name, lose := range map[string]func(t *testing.T, path string){
		"older":   func(t *testing.T, path string) { alter(t, path, "PRAGMA user_version = 0") },
		"missing": func(t *testing.T, path string) { require.NoError(t, os.Remove(path)) },
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			v := views(t, dir)
			commit(t, current(t, v), 0, 1)
			require.NoError(t, v.Close())
			lose(t, filepath.Join(dir, "views-000001.db"))
			v = views(t, dir)
			st, err := current(t, v).State(t.Context())
			require.NoError(t, err)
			require.Zero(t, st.Position)
			commit(t, current(t, v), 0, 2)
		})
	}
}

// A registry that makes no sense is as good as none, also under views that are open; who only looks is
// told of it.
func TestViews_DamagedRegistryBeginsAnew(t *testing.T) {
	for name, content := range map[string]string{
		"empty": "", "garbage": "\x00\x7fELF", "cut off": `{"format":1,"curr`, "no object": "[]", "no format": `{"current":1}`,
		"negative": `{"format":1,"current":-1}`, "mistyped": `{"format":1,"current":"one"}`,
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			v := views(t, dir)
			old := current(t, v)
			commit(t, old, 0, 5)
			pointer := filepath.Join(dir, "views.json")
			damage := func() { require.NoError(t, os.WriteFile(pointer, []byte(content), 0o600)) }

			damage()
			looking, err := sqlite.Open(dir, viewstest.NewLog(), sqlite.Options{ReadOnly: true})
			require.NoError(t, err)
			_, err = looking.Current(t.Context())
			require.ErrorIs(t, err, domain.ErrCorrupt)
			require.NoError(t, looking.Close())

			require.ErrorIs(t, old.Commit(t.Context(), viewstest.BenchRuns("log", 5, 1)), domain.ErrConflict, "the generation is no more")
			got, err := v.Executions(t.Context(), view.ExecutionQuery{Page: view.Page{Limit: 10}})
			require.NoError(t, err)
			require.Empty(t, got.Rows)
			commit(t, current(t, v), 0, 2)

			damage()
			built, err := v.Begin(t.Context())
			require.NoError(t, err, "a rebuild is the way out, so it must work")
			commit(t, built, 0, 3)
			require.NoError(t, v.Promote(t.Context(), built))
			require.NoError(t, v.Close())

			damage()
			v = views(t, dir)
			st, err := current(t, v).State(t.Context())
			require.NoError(t, err)
			require.Zero(t, st.Position)
			generations, err := filepath.Glob(filepath.Join(dir, "*.db"))
			require.NoError(t, err)
			require.Len(t, generations, 1, "the others are gone")
		})
	}
}

// Nothing of generations that nobody points to is left, and an old one goes with its last reader.
func TestViews_LeftoversGo(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "views-000007.db-wal"), []byte("x"), 0o600))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "views-000006.db"), []byte("x"), 0o600))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "views-notes.txt"), []byte("x"), 0o600))
	v := views(t, dir)
	old := current(t, v)
	commit(t, old, 0, 5)
	require.NotContains(t, files(t, dir), "views-000006.db")
	require.NotContains(t, files(t, dir), "views-000007.db-wal")
	require.Contains(t, files(t, dir), "views-notes.txt")
	require.Contains(t, files(t, dir), "views-000008.db", "no number is used twice")

	snap, err := old.Snapshot(t.Context())
	require.NoError(t, err)
	s, err := v.Begin(t.Context())
	require.NoError(t, err)
	require.NoError(t, v.Promote(t.Context(), s))
	require.Contains(t, files(t, dir), "views-000008.db", "it is being read")
	n := 0
	for _, err := range snap.Executions(t.Context()) {
		require.NoError(t, err)
		n++
	}
	require.Equal(t, 5, n)
	require.NoError(t, snap.Close())
	require.NotContains(t, files(t, dir), "views-000008.db")
	require.NotContains(t, files(t, dir), "views-000008.db-wal")
}

// A value that the schema cannot take harms its own batch only.
func TestViews_RefusedValueLeavesNothing(t *testing.T) {
	v := views(t, t.TempDir())
	s := current(t, v)
	c := viewstest.BenchRuns("log", 0, 3)
	c.Executions[2].Status = "sleeping"
	require.ErrorIs(t, s.Commit(t.Context(), c), domain.ErrUnprocessable)
	c = viewstest.BenchRuns("log", 0, 3)
	c.Events = append(c.Events, c.Events[0])
	require.ErrorIs(t, s.Commit(t.Context(), c), domain.ErrUnprocessable)
	st, err := s.State(t.Context())
	require.NoError(t, err)
	require.Zero(t, st.Position)
	commit(t, s, 0, 3)
	commit(t, s, 3, 3)
	got, err := v.Executions(t.Context(), view.ExecutionQuery{FlowName: "Flow 2", Page: view.Page{Limit: 9}})
	require.NoError(t, err)
	require.Len(t, got.Rows, 1, "words of the refused batch are not remembered")
}

// A query that takes too long is interrupted where it stands and gives its connection back.
func TestViews_SlowQueryIsInterrupted(t *testing.T) {
	v, err := sqlite.Open(t.TempDir(), slowLog{}, sqlite.Options{ReadersMax: 1})
	require.NoError(t, err)
	defer func() { require.NoError(t, v.Close()) }()
	s := current(t, v)
	commit(t, s, 0, 10_000)
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	_, err = v.Events(ctx, view.EventQuery{
		WorkflowID: "lao-0000000000000001", Types: []string{"run.failed.v1", "run.started.v1"}, Node: "send", Page: view.Page{Limit: 200, Total: true},
	})
	require.ErrorIs(t, err, domain.ErrDeadline)
	_, err = v.Checkpoint(t.Context())
	require.NoError(t, err)
}

type slowLog struct{}

func (slowLog) ReadStream(ctx context.Context, stream domain.StreamID, _ domain.Revision, _ int) ([]domain.Recorded, error) {
	<-ctx.Done()
	return nil, domain.Wrap(domain.KindDeadline, "read", string(stream), ctx.Err())
}

// The write-ahead log does not grow with what is written.
func TestViews_WALIsBounded(t *testing.T) {
	dir := t.TempDir()
	v := views(t, dir)
	s := current(t, v)
	for i := range 60 { // writes ten times the bound
		commit(t, s, i*20, 20)
	}
	info, err := os.Stat(filepath.Join(dir, "views-000001.db-wal"))
	require.NoError(t, err)
	require.Less(t, info.Size(), int64(4<<20))
}

func TestOpen_NamesEverySettingOutOfBounds(t *testing.T) {
	_, err := sqlite.Open(t.TempDir(), viewstest.NewLog(), sqlite.Options{ReadersMax: 65, SpanPositions: 1, CacheBytes: 5, WALBytes: 1 << 40, BusyTimeout: -1})
	require.ErrorIs(t, err, domain.ErrInvalid)
	for _, field := range []string{"ReadersMax", "SpanPositions", "CacheBytes", "WALBytes", "BusyTimeout"} {
		require.ErrorContains(t, err, field)
	}
}

// Rows that a damaged file lacks are damage, never a shorter answer.
func TestViews_MissingRowsAreDamage(t *testing.T) {
	for _, table := range []string{"executions", "words"} {
		t.Run(table, func(t *testing.T) {
			dir := t.TempDir()
			v := views(t, dir)
			commit(t, current(t, v), 0, 5)
			require.NoError(t, v.Close())
			alter(t, filepath.Join(dir, "views-000001.db"), fmt.Sprintf("DELETE FROM %s", table))
			v = views(t, dir)
			_, err := v.Events(t.Context(), view.EventQuery{Page: view.Page{Limit: 10}})
			require.ErrorIs(t, err, domain.ErrCorrupt)
		})
	}
}

// Events that the log does not have are damage too.
func TestViews_EventsOfAnotherLog(t *testing.T) {
	v := views(t, t.TempDir())
	commit(t, current(t, v), 0, 1)
	_, err := v.Events(t.Context(), view.EventQuery{Page: view.Page{Limit: 10}})
	require.ErrorIs(t, err, domain.ErrCorrupt)
	require.False(t, errors.Is(err, domain.ErrNotFound))
}
