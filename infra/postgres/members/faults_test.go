package members_test

import (
	"net/url"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"quipu/infra/postgres/members"
	"quipu/infra/postgres/pgtest"
)

func exec(tb testing.TB, url, sql string) {
	tb.Helper()
	conn, err := pgx.Connect(tb.Context(), url)
	require.NoError(tb, err)
	_, err = conn.Exec(tb.Context(), sql)
	require.NoError(tb, err)
	require.NoError(tb, conn.Close(tb.Context()))
}

// watched records what a node is told, to find any flapping.
type watched struct {
	mu     sync.Mutex
	sizes  []int
	health error
	fails  int
}

func (w *watched) hooks() members.Hooks {
	return members.Hooks{
		Changed: func(_, alive int) { w.mu.Lock(); w.sizes = append(w.sizes, alive); w.mu.Unlock() },
		Health: func(err error) {
			w.mu.Lock()
			w.health = err
			if err != nil {
				w.fails++
			}
			w.mu.Unlock()
		},
	}
}

func (w *watched) state() (changes, fails int, health error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.sizes), w.fails, w.health
}

// The database is away for longer than a lease, in every way it can be: all nodes keep the set, say so,
// come back by themselves under their incarnations, and nobody's set changes meanwhile.
func TestMembers_DatabaseAway(t *testing.T) {
	t.Parallel()
	for name, away := range map[string]func(t *testing.T, s *pgtest.Server) (back func()){
		"stopped": func(t *testing.T, s *pgtest.Server) func() {
			require.NoError(t, s.Stop())
			return func() { require.NoError(t, s.Restart()) }
		},
		"killed": func(t *testing.T, s *pgtest.Server) func() {
			require.NoError(t, s.Kill())
			return func() { require.NoError(t, s.Restart()) }
		},
		"silent": func(_ *testing.T, s *pgtest.Server) func() { return s.Pause() },
		"out of connections": func(t *testing.T, s *pgtest.Server) func() {
			exec(t, s.URL(""), "ALTER DATABASE test1 CONNECTION LIMIT 0")
			exec(t, s.URL(""), "ALTER ROLE node CONNECTION LIMIT 0")
			exec(t, s.URL(""), "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = 'test1'")
			return func() {
				exec(t, s.URL(""), "ALTER DATABASE test1 CONNECTION LIMIT -1")
				exec(t, s.URL(""), "ALTER ROLE node CONNECTION LIMIT -1")
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := pgtest.Start(t, pgtest.Options{Settings: []string{"superuser_reserved_connections = 3"}})
			address := pgtest.Database(t, server)
			exec(t, address, "CREATE ROLE node LOGIN PASSWORD 'node'; GRANT ALL ON DATABASE test1 TO node; ALTER DATABASE test1 OWNER TO node")
			address = as(t, address, "node")
			var all []*members.Members
			watches := map[*members.Members]*watched{}
			for _, node := range []string{"a", "b", "c"} {
				w := &watched{}
				o := options(node)
				o.Hooks = w.hooks()
				m := join(t, address, o)
				all, watches[m] = append(all, m), w
			}
			for _, m := range all {
				awaitAlive(t, m, 10*time.Second, "a", "b", "c")
			}
			before := map[*members.Members]int{}
			for _, m := range all {
				before[m], _, _ = watches[m].state()
			}
			back := away(t, server)
			for _, m := range all {
				require.Eventually(t, func() bool { return m.Silent() > ttl+renew }, time.Minute, time.Millisecond)
				require.Eventually(t, func() bool { _, _, health := watches[m].state(); return health != nil }, time.Minute, time.Millisecond)
				_, _, health := watches[m].state()
				require.ErrorContains(t, health, "the set of 3 nodes last known stays in force")
				awaitAlive(t, m, time.Second, "a", "b", "c")
			}
			back()
			for _, m := range all {
				require.Eventually(t, func() bool { _, _, health := watches[m].state(); return health == nil && m.Silent() < ttl }, time.Minute, time.Millisecond)
			}
			settled := time.NewTimer(2 * ttl)
			<-settled.C
			for _, m := range all {
				awaitAlive(t, m, time.Second, "a", "b", "c")
				changes, _, health := watches[m].state()
				require.NoError(t, health)
				require.Equal(t, before[m], changes, "the set flapped: %v", watches[m].sizes)
			}
			// And it still works.
			require.NoError(t, all[1].Leave(t.Context()))
			awaitAlive(t, all[0], 10*time.Second, "a", "c")
			require.NoError(t, all[2].Close())
			awaitAlive(t, all[0], deadAfter, "a")
		})
	}
}

// A node whose lease lapsed, because it stood still, comes back under the same incarnation.
func TestMembers_LapsedLeaseIsTakenUpAgain(t *testing.T) {
	t.Parallel()
	address := pgtest.URL(t)
	a, b := join(t, address, options("a")), join(t, address, options("b"))
	awaitAlive(t, a, 10*time.Second, "a", "b")
	exec(t, address, "UPDATE quipu_cluster.members SET until = now() - interval '1 second' WHERE incarnation = 'b'")
	require.Eventually(t, func() bool {
		list, err := a.List(t.Context())
		return err == nil && len(list) == 2 && list[0].State == "live" && list[1].State == "live"
	}, time.Minute, 5*time.Millisecond)
	awaitAlive(t, a, 10*time.Second, "a", "b")
	awaitAlive(t, b, 10*time.Second, "a", "b")
}

// A node that left stays away, even if a renewal was under way.
func TestLeave_IsForGood(t *testing.T) {
	t.Parallel()
	address := pgtest.URL(t)
	a := join(t, address, options("a"))
	for range 5 {
		o := options("b")
		o.Renew = 30 * time.Millisecond
		b := join(t, address, o)
		awaitAlive(t, a, 10*time.Second, "a", "b")
		require.NoError(t, b.Leave(t.Context()))
		got, _ := b.Live()
		require.NotContains(t, got.Alive, "b")
		awaitAlive(t, a, 10*time.Second, "a")
		rest := time.NewTimer(100 * time.Millisecond)
		<-rest.C
		awaitAlive(t, a, time.Second, "a")
		require.NoError(t, b.Close())
	}
}

// as is the URL for another role, whose password is its name.
func as(tb testing.TB, text, role string) string {
	tb.Helper()
	u, err := url.Parse(text)
	require.NoError(tb, err)
	u.User = url.UserPassword(role, role)
	return u.String()
}
