package proctest

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	_ "modernc.org/sqlite"

	"quipu/infra/postgres/pgtest"
)

// load starts runs on whatever server is up, until ctx ends or there are enough.
func load(ctx context.Context, group *sync.WaitGroup, client *Client, posters int, enough int64) (started *atomic.Int64) {
	started = new(atomic.Int64)
	for p := range posters {
		group.Go(func() {
			for i := 0; ctx.Err() == nil && started.Load() < enough; i++ {
				body := dag("load", fmt.Sprintf("%d-%d", p, i), nil, noop("a", 1), noop("b", depends("a")), noop("c", depends("b")))
				reply, err := client.Do(ctx, http.MethodPost, "/run-dag", body)
				if err == nil && reply.Status < 300 {
					started.Add(1)
				} else {
					Pause(ctx, 2*time.Millisecond)
				}
			}
		})
	}
	return started
}

// viewsKills is how often the server is killed while it projects.
func viewsKills() int { return max(4, Kills()/5) }

// Each event counts once in the views, however often the process dies while it projects: afterwards
// they equal the log row by row.
func TestKill_ViewsCountEachEventOnce(t *testing.T) {
	killWhileProjecting(t, nil, func() {})
}

// The same on Postgres, whose server is killed and comes back, too.
func TestKill_ViewsInPostgresCountEachEventOnce(t *testing.T) {
	server := pgtest.Start(t, pgtest.Options{})
	url := pgtest.Database(t, server)
	turn := 0
	killWhileProjecting(t, []string{"--views", url}, func() {
		if turn++; turn%2 == 0 {
			require.NoError(t, server.Kill())
			require.NoError(t, server.Restart())
		}
	})
}

func killWhileProjecting(t *testing.T, views []string, meanwhile func()) {
	seed := Seed(t)
	r := rand.New(rand.NewPCG(uint64(seed), 7))
	data := DataFolder(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var addr atomic.Pointer[string]
	client := NewClient(func() string {
		if a := addr.Load(); a != nil {
			return *a
		}
		return ""
	})
	var posters sync.WaitGroup
	started := load(ctx, &posters, client, 8, math.MaxInt64)
	// Small batches: more commits to be hit.
	args := append([]string{"--views-batch-max", "50", "--views-linger", "1ms"}, views...)
	for range viewsKills() {
		s := Start(t, Options{Data: data, Args: args})
		a := s.Addr()
		addr.Store(&a)
		Pause(ctx, time.Duration(r.IntN(150))*time.Millisecond)
		meanwhile()
		Pause(ctx, time.Duration(r.IntN(150))*time.Millisecond)
		s.Kill()
	}
	cancel()
	posters.Wait()

	s := Start(t, Options{Data: data, Args: args})
	s.Ready()
	caughtUp(t, s)
	code, out := Run(t, "views", "verify", "--server", s.Addr())
	require.Zero(t, code, out)
	require.Contains(t, out, " 0 events parked; ")
	require.Contains(t, out, ": 0 differences")
	require.NotContains(t, out, " 0 rows compared")
	s.Stop()
	code, out = Run(t, append([]string{"views", "verify", "--data", data}, views...)...)
	require.Zero(t, code, out)
	require.Contains(t, out, ": 0 differences")
	require.Positive(t, started.Load())
	t.Logf("%d kills, %d runs started: %s", viewsKills(), started.Load(), lastLine(out))
}

func lastLine(out string) string {
	lines := strings.Split(strings.TrimSpace(out), "\n")
	return lines[len(lines)-1]
}

// caughtUp waits until every run has ended and the views hold everything.
func caughtUp(t *testing.T, s *Server) {
	t.Helper()
	client := s.Client()
	Eventually(t, time.Minute, "runs have ended and views have caught up", func() bool {
		active, ok := client.Metric(t.Context(), "quipu_runs_active")
		lag, ok2 := client.Metric(t.Context(), `quipu_feed_lag_positions{consumer="views"}`)
		return ok && ok2 && active == 0 && lag == 0
	})
}

// Rows changed behind the program's back are found in either database, and a rebuild mends them while
// the server serves.
func TestViews_VerifyFindsAndRebuildMendsDamage(t *testing.T) {
	for name, prepare := range map[string]func(t *testing.T, data string) (args []string, damage func(t *testing.T)){
		"sqlite": func(t *testing.T, data string) ([]string, func(*testing.T)) {
			return nil, func(t *testing.T) { damageSQLite(t, data) }
		},
		"postgres": func(t *testing.T, _ string) ([]string, func(*testing.T)) {
			url := pgtest.URL(t)
			return []string{"--views", url}, func(t *testing.T) {
				conn, err := pgx.Connect(t.Context(), url)
				require.NoError(t, err)
				defer func() { require.NoError(t, conn.Close(context.Background())) }()
				var schema string
				require.NoError(t, conn.QueryRow(t.Context(), "select table_schema from information_schema.tables where table_name = 'executions' limit 1").Scan(&schema))
				for _, statement := range postgresDamage {
					result, err := conn.Exec(t.Context(), strings.ReplaceAll(statement, "$SCHEMA", pgx.Identifier{schema}.Sanitize()))
					require.NoError(t, err, statement)
					require.Positive(t, result.RowsAffected(), statement)
				}
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			data := DataFolder(t)
			args, damage := prepare(t, data)
			s := Start(t, Options{Data: data, Args: args})
			for i := range 5 {
				s.Client().Run(t, dag("f", fmt.Sprint(i), nil, noop("a", 1), noop("b", depends("a"))))
			}
			caughtUp(t, s)
			s.Stop()
			onFolder := append([]string{"--data", data}, args...)
			code, out := Run(t, append([]string{"views", "verify"}, onFolder...)...)
			require.Zero(t, code, out)
			damage(t)
			code, out = Run(t, append([]string{"views", "verify"}, onFolder...)...)
			require.Equal(t, 1, code, out)
			for _, what := range []string{"difference: executions ", "difference: tasks ", "difference: names ", "difference: events 3 ", "differences; `quipu views rebuild` makes"} {
				require.Contains(t, out, what)
			}
			s = Start(t, Options{Data: data, Args: args})
			code, out = Run(t, "views", "verify", "--server", s.Addr())
			require.Equal(t, 1, code, out)
			code, out = Run(t, "views", "rebuild", "--server", s.Addr())
			require.Zero(t, code, out)
			require.Contains(t, out, "difference: executions ")
			code, out = Run(t, "views", "verify", "--server", s.Addr())
			require.Zero(t, code, out)
			require.Len(t, listed(t, s.Client(), "/api/executions"), 5)
		})
	}
}

// What the tests do to the rows behind the program's back.
var (
	sqliteDamage = []string{
		"UPDATE progress SET completed = completed + 1 WHERE execution = (SELECT min(execution) FROM progress)",
		"DELETE FROM tasks WHERE execution = (SELECT max(execution) FROM tasks)",
		"UPDATE names SET position = position + 1",
		"UPDATE events SET at = at + 1 WHERE position = 3",
	}
	postgresDamage = []string{
		"UPDATE $SCHEMA.executions SET tasks_completed = tasks_completed + 1 WHERE position = (SELECT min(position) FROM $SCHEMA.executions)",
		"DELETE FROM $SCHEMA.tasks WHERE execution = (SELECT max(execution) FROM $SCHEMA.tasks)",
		"UPDATE $SCHEMA.names SET position = position + 1",
		"UPDATE $SCHEMA.events SET data = 'x' WHERE position = 3",
	}
)

// A check of the folder needs no stop of its server, takes what is written meanwhile as it comes, and
// leaves the server's files alone.
func TestViews_VerifyBesideTheServer(t *testing.T) {
	data := DataFolder(t)
	s := Start(t, Options{Data: data})
	c := s.Client()
	c.Run(t, dag("f", "r", nil, noop("a", 1)))
	caughtUp(t, s)
	ctx, cancel := context.WithCancel(t.Context())
	var posters sync.WaitGroup
	load(ctx, &posters, c, 4, 3000) // whatever the machine: each verification reads all of it
	for range 3 {
		code, out := Run(t, "views", "verify", "--data", data)
		require.Zero(t, code, out)
		require.Contains(t, out, ": 0 differences")
	}
	cancel()
	posters.Wait()
	caughtUp(t, s)
	require.Len(t, databases(t, data), 1)
	damageSQLite(t, data)
	code, out := Run(t, "views", "verify", "--data", data)
	require.Equal(t, 1, code, out)
	require.Contains(t, out, "difference: executions ")
	require.Len(t, databases(t, data), 1, "nothing was built in the server's folder")
	s.Kill()
	code, out = Run(t, "views", "verify", "--data", data)
	require.Equal(t, 1, code, out)
	require.Contains(t, out, "difference: executions ", "also on what a kill left behind")
	s = Start(t, Options{Data: data})
	code, out = Run(t, "views", "rebuild", "--server", s.Addr())
	require.Zero(t, code, out)
	s.Stop()
	code, out = Run(t, "views", "verify", "--data", data)
	require.Zero(t, code, out)
}

func damageSQLite(t *testing.T, data string) {
	t.Helper()
	files := databases(t, data)
	require.Len(t, files, 1)
	db, err := sql.Open("sqlite", files[0])
	require.NoError(t, err)
	defer func() { require.NoError(t, db.Close()) }()
	for _, statement := range sqliteDamage {
		result, err := db.ExecContext(t.Context(), statement)
		require.NoError(t, err, statement)
		n, err := result.RowsAffected()
		require.NoError(t, err)
		require.Positive(t, n, statement)
	}
}

// databases lists the generations in a data folder.
func databases(t *testing.T, data string) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(data, "views", "*.db"))
	require.NoError(t, err)
	return files
}

// What cannot be done is said with its reason and its fix.
func TestViews_CommandsRefuse(t *testing.T) {
	data := DataFolder(t)
	code, out := Run(t, "views", "verify", "--data", data)
	require.Equal(t, 1, code)
	require.Contains(t, out, "set --data to a server's data folder")
	code, out = Run(t, "views", "verify", "--server", "127.0.0.1:1")
	require.Equal(t, 1, code)
	require.Contains(t, out, "set --server to where a server is")
	code, out = Run(t, "views", "verify", "--data", data, "--views", "mysql://u:hunter2@h/db")
	require.Equal(t, 2, code)
	require.Contains(t, out, "views: is not a Postgres URL")
	require.NotContains(t, out, "hunter2")

	s := Start(t, Options{Data: data})
	s.Ready()
	code, out = Run(t, "views", "rebuild", "--data", data)
	require.Equal(t, 1, code)
	require.Contains(t, out, "by the running server, which --server names, or on the folder of a stopped one")
	code, out = Run(t, "views", "verify", "--server", s.Addr())
	require.Zero(t, code, out)
	require.Contains(t, out, ": 0 differences")

	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+s.Addr()+"/admin/views/rebuild", nil)
	require.NoError(t, err)
	request.Header.Set("Origin", "https://evil.example")
	response, err := http.DefaultClient.Do(request)
	require.NoError(t, err)
	require.NoError(t, response.Body.Close())
	require.Equal(t, http.StatusForbidden, response.StatusCode, "a web page must not be able to keep the server busy")
}

// Where nothing has been built nothing was checked, and a script must not take that for a success.
func TestViews_VerifyOfNothingFails(t *testing.T) {
	data := DataFolder(t)
	s := Start(t, Options{Data: data, Args: []string{"--views", "postgres://nobody@127.0.0.1:1/none"}})
	s.Client().Run(t, dag("f", "r", nil, noop("a", 1)))
	s.Stop()
	code, out := Run(t, "views", "verify", "--data", data)
	require.Equal(t, 1, code, out)
	require.Contains(t, out, "nothing has been built in "+filepath.Join(data, "views")+" yet")
	require.Contains(t, out, "set --views")
	code, out = Run(t, "views", "verify", "--data", data, "--views", pgtest.URL(t))
	require.Equal(t, 1, code, out)
	require.Contains(t, out, "nothing has been built in this database yet")
	require.Empty(t, databases(t, data))
}

// A registry of the views that makes no sense costs neither lists nor a rebuild.
func TestViews_DamagedRegistryComesBack(t *testing.T) {
	data := DataFolder(t)
	s := Start(t, Options{Data: data})
	for i := range 3 {
		s.Client().Run(t, dag("f", fmt.Sprint(i), nil, noop("a", 1)))
	}
	caughtUp(t, s)
	registry := filepath.Join(data, "views", "views.json")
	require.NoError(t, os.WriteFile(registry, []byte("\x00garbage"), 0o600))
	code, out := Run(t, "views", "rebuild", "--server", s.Addr())
	require.Zero(t, code, out)
	require.Len(t, listed(t, s.Client(), "/api/executions"), 3)

	require.NoError(t, os.WriteFile(registry, nil, 0o600)) // and nobody asks for a rebuild
	s.Client().Run(t, dag("f", "3", nil, noop("a", 1)))
	Eventually(t, 60*time.Second, "the views are whole again", func() bool {
		reply := s.Client().Must(t, http.MethodGet, "/api/executions", nil)
		return reply.Status == http.StatusOK && strings.Contains(string(reply.Body), `"fresh":true`)
	})
	require.Len(t, listed(t, s.Client(), "/api/executions"), 4)
	require.NotContains(t, s.Output(), `"status":500`)
}

// A database that is not there costs no command and no socket: the server says what is wrong and
// serves.
func TestViews_ServesWithoutTheirDatabase(t *testing.T) {
	s := Start(t, Options{Args: []string{"--views", "postgres://nobody:hunter2@127.0.0.1:1/none"}})
	run := s.Client().Run(t, dag("f", "r", nil, noop("a", 1)))
	require.NotEmpty(t, run.TaskID)
	var report struct {
		Status string
		Checks map[string]struct{ Status, Error string }
	}
	Eventually(t, 60*time.Second, "health tells", func() bool {
		reply := s.Client().Must(t, http.MethodGet, "/health/ready", nil)
		require.Equal(t, http.StatusOK, reply.Status)
		require.NoError(t, json.Unmarshal(reply.Body, &report))
		return report.Status == "degraded"
	})
	require.Equal(t, "degraded", report.Checks["views"].Status)
	require.Contains(t, report.Checks["views"].Error, "stand still")
	require.Equal(t, "ok", report.Checks["log"].Status)
	require.NotContains(t, s.Output()+report.Checks["views"].Error, "hunter2")
	reply := s.Client().Must(t, http.MethodGet, "/api/executions/"+run.TaskID, nil)
	require.Equal(t, http.StatusOK, reply.Status, "by id from the log: %s", reply.Body)
	reply = s.Client().Must(t, http.MethodGet, "/api/executions", nil)
	require.Equal(t, http.StatusServiceUnavailable, reply.Status, string(reply.Body))
}

// Rows that only readers touch come back as well, without a new event and without anybody's doing.
func TestViews_DamageMetByReadersIsMended(t *testing.T) {
	data := DataFolder(t)
	s := Start(t, Options{Data: data})
	for i := range 3 {
		s.Client().Run(t, dag("f", fmt.Sprint(i), nil, noop("a", 1)))
	}
	caughtUp(t, s)
	s.Stop()
	db, err := sql.Open("sqlite", databases(t, data)[0])
	require.NoError(t, err)
	_, err = db.ExecContext(t.Context(), "DELETE FROM words")
	require.NoError(t, err)
	require.NoError(t, db.Close())

	s = Start(t, Options{Data: data})
	Eventually(t, 60*time.Second, "lists are whole again", func() bool {
		reply := s.Client().Must(t, http.MethodGet, "/api/executions", nil)
		require.Contains(t, []int{http.StatusOK, http.StatusServiceUnavailable}, reply.Status, string(reply.Body))
		return reply.Status == http.StatusOK
	})
	require.Len(t, listed(t, s.Client(), "/api/executions"), 3)
	code, out := Run(t, "views", "verify", "--server", s.Addr())
	require.Zero(t, code, out)
}
