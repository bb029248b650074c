//go:build unix

package pgtest_test

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"quipu/infra/postgres/pgtest"
)

const waitMax = 30 * time.Second

func connect(t *testing.T, url string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close(context.Background()) })
	return conn
}

func one(t *testing.T, conn *pgx.Conn, sql string) (out string) {
	t.Helper()
	require.NoError(t, conn.QueryRow(t.Context(), sql).Scan(&out))
	return out
}

func TestURL_EachTestHasAnEmptyDatabaseOfItsOwn(t *testing.T) {
	a, b := pgtest.URL(t), pgtest.URL(t)
	require.NotEqual(t, a, b)
	ca, cb := connect(t, a), connect(t, b)
	_, err := ca.Exec(t.Context(), "CREATE TABLE public.only_in_a (x int)")
	require.NoError(t, err)
	require.Equal(t, "0", one(t, cb, "SELECT count(*)::text FROM pg_tables WHERE tablename = 'only_in_a'"))
	require.Equal(t, "off", one(t, ca, "SHOW fsync"))
}

func TestURL_WithoutThePasswordNobodyComesIn(t *testing.T) {
	config, err := pgx.ParseConfig(pgtest.URL(t))
	require.NoError(t, err)
	config.Password = "guess"
	_, err = pgx.ConnectConfig(t.Context(), config)
	require.ErrorContains(t, err, "password authentication failed")
}

func TestServer_DataSurvivesStopAndKill(t *testing.T) {
	s := pgtest.Start(t, pgtest.Options{Fsync: true, Settings: []string{"max_connections = 7"}})
	url := pgtest.Database(t, s)
	conn := connect(t, url)
	require.Equal(t, "on", one(t, conn, "SHOW fsync"))
	require.Equal(t, "7", one(t, conn, "SHOW max_connections"))
	_, err := conn.Exec(t.Context(), "CREATE TABLE public.kept (n int)")
	require.NoError(t, err)
	for i, end := range []func() error{s.Kill, s.Stop, s.Kill} {
		_, err := connect(t, url).Exec(t.Context(), "INSERT INTO public.kept VALUES (1)")
		require.NoError(t, err)
		require.NoError(t, end())
		_, err = pgx.Connect(t.Context(), url)
		require.Error(t, err)
		require.NoError(t, s.Restart())
		require.Equal(t, fmt.Sprint(i+1), one(t, connect(t, url), "SELECT count(*)::text FROM public.kept"))
	}
	require.Error(t, s.Restart(), "it runs already")
	require.NotEmpty(t, s.Log())
	require.NoError(t, s.Close())
	require.NoError(t, s.Close())
	require.NoDirExists(t, s.Dir())
}

func TestServer_PausedTakesConnectionsAndDoesNotAnswer(t *testing.T) {
	s := pgtest.Start(t, pgtest.Options{})
	conn := connect(t, s.URL(""))
	resume := s.Pause()
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	require.ErrorIs(t, conn.Ping(ctx), context.DeadlineExceeded)
	resume()
	require.Equal(t, "1", one(t, connect(t, s.URL("")), "SELECT '1'"))
}

// A test binary that dies without cleaning up leaves neither server nor data.
func TestServer_EndsWithItsOwner(t *testing.T) {
	if os.Getenv("PGTEST_OWNER") != "" {
		s := pgtest.Shared(t)
		fmt.Printf("\nserver %s %s\n", s.Addr(), s.Dir())
		select {} // until killed
	}
	owner := exec.Command(os.Args[0], "-test.run=^TestServer_EndsWithItsOwner$")
	owner.Env = append(os.Environ(), "PGTEST_OWNER=1")
	out, err := owner.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, owner.Start())
	var dir string
	for lines := bufio.NewScanner(out); lines.Scan(); {
		if rest, ok := strings.CutPrefix(lines.Text(), "server "); ok {
			_, dir, _ = strings.Cut(rest, " ")
			break
		}
	}
	require.DirExists(t, dir)
	pid, err := os.ReadFile(dir + "/data/postmaster.pid")
	require.NoError(t, err)
	require.NoError(t, owner.Process.Kill())
	_ = owner.Wait()
	number, _, _ := strings.Cut(string(pid), "\n")
	require.Eventually(t, func() bool {
		_, errDir := os.Stat(dir)
		_, errProc := os.Stat("/proc/" + number)
		return os.IsNotExist(errDir) && os.IsNotExist(errProc)
	}, waitMax, 20*time.Millisecond)
}
