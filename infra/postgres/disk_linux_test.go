package postgres_test

import (
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"quipu/domain"
	"quipu/infra/postgres"
	"quipu/infra/postgres/pgtest"
	"quipu/projections/view"
)

// A full disk refuses commits in clear words, keeps what is there readable, and is forgotten once there
// is space again. Where the test may mount a small file system the disk is really full; a server that
// says so, which needs no rights, stands in for it everywhere.
func TestViews_FullDisk(t *testing.T) {
	t.Run("file system", func(t *testing.T) {
		server := pgtest.Start(t, pgtest.Options{})
		dir := filepath.Join(server.Dir(), "small")
		require.NoError(t, os.Mkdir(dir, 0o755))
		var owner syscall.Stat_t
		require.NoError(t, syscall.Stat(server.Dir(), &owner))
		if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, fmt.Sprintf("size=24m,uid=%d,gid=%d", owner.Uid, owner.Gid)); err != nil {
			t.Logf("no right to mount a file system here (%v); what the server says is tested alone", err)
			return
		}
		defer func() {
			require.NoError(t, server.Kill())
			require.NoError(t, syscall.Unmount(dir, syscall.MNT_DETACH))
		}()
		admin, err := pgx.Connect(t.Context(), server.URL(""))
		require.NoError(t, err)
		for _, sql := range []string{"CREATE TABLESPACE small LOCATION '" + dir + "'", "CREATE DATABASE tight TABLESPACE small"} {
			_, err = admin.Exec(t.Context(), sql)
			require.NoError(t, err)
		}
		require.NoError(t, admin.Close(t.Context()))
		filler := filepath.Join(dir, "filler")
		fullDisk(t, server.URL("tight"), func() {
			f, err := os.Create(filler)
			require.NoError(t, err)
			for zeros := make([]byte, 4<<10); err == nil; {
				_, err = f.Write(zeros)
			}
			require.ErrorIs(t, err, syscall.ENOSPC)
			require.NoError(t, f.Close())
		}, func() { require.NoError(t, os.Remove(filler)) })
	})
	t.Run("server's word", func(t *testing.T) {
		url := pgtest.URL(t)
		run := func(sql string) func() {
			return func() {
				conn, err := pgx.Connect(t.Context(), url)
				require.NoError(t, err)
				_, err = conn.Exec(t.Context(), sql)
				require.NoError(t, err)
				require.NoError(t, conn.Close(t.Context()))
			}
		}
		fullDisk(t, url, run(`CREATE FUNCTION public.full() RETURNS trigger LANGUAGE plpgsql AS
				$$ BEGIN RAISE 'could not extend file' USING ERRCODE = 'disk_full'; END $$;
			CREATE TRIGGER full_disk BEFORE INSERT ON quipu_views_g1.executions FOR EACH STATEMENT EXECUTE FUNCTION public.full()`),
			run("DROP TRIGGER full_disk ON quipu_views_g1.executions"))
	})
}

func fullDisk(t *testing.T, url string, fill, free func()) {
	v := open(t, url, postgres.Options{CopyEventsMin: 500})
	s, err := v.Current(t.Context())
	require.NoError(t, err)
	require.NoError(t, s.Commit(t.Context(), counted(0, 10)))
	fill()
	at := domain.Position(10)
	for _, n := range []int{400, 2000} { // as arrays, by COPY
		var err error
		for range 50 { // files have some room left
			if err = s.Commit(t.Context(), counted(at, n)); err != nil {
				break
			}
			at += domain.Position(n)
		}
		require.ErrorIs(t, err, domain.ErrUnavailable)
		require.ErrorContains(t, err, "53100")
		got, err := v.Events(t.Context(), view.EventQuery{Page: view.Page{Limit: 1}})
		require.NoError(t, err)
		require.Equal(t, at, got.As.Position)
		require.Equal(t, at, got.Rows[0].Position)
	}
	free()
	require.NoError(t, s.Commit(t.Context(), counted(at, 2000)))
	require.NoError(t, s.Commit(t.Context(), counted(at+2000, 5)))
	st, err := s.State(t.Context())
	require.NoError(t, err)
	require.Equal(t, at+2005, st.Position)
}
