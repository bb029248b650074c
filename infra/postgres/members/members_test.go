package members_test

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"quipu/commands/memberstest"
	"quipu/domain"
	"quipu/infra/clock"
	"quipu/infra/postgres/cluster"
	"quipu/infra/postgres/members"
	"quipu/infra/postgres/pgtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// ttl keeps the tests short; a machine under load must still renew in time.
const (
	ttl   = 1500 * time.Millisecond
	renew = 300 * time.Millisecond
	// deadAfter allows for renewals that were late: nobody is dropped for a while after one.
	deadAfter = 5 * ttl
)

func open(tb testing.TB, url string) *cluster.DB {
	tb.Helper()
	db, err := cluster.Open(tb.Context(), url, cluster.Options{})
	require.NoError(tb, err)
	tb.Cleanup(func() { require.NoError(tb, db.Close()) })
	return db
}

func options(node string) members.Options {
	return members.Options{Node: node, Log: "log-1", Name: "host", Version: "test", Level: 1, TTL: ttl, Renew: renew, Clock: clock.System{}}
}

// join joins a node with connections of its own, as a process has.
func join(tb testing.TB, url string, o members.Options) *members.Members {
	tb.Helper()
	db := open(tb, url)
	require.NoError(tb, db.Migrate(tb.Context()))
	m, err := members.Join(tb.Context(), db, o)
	require.NoError(tb, err)
	tb.Cleanup(func() { require.NoError(tb, m.Close()) })
	return m
}

type nodes struct{ url string }

func (c nodes) Join(tb testing.TB, node string) memberstest.Node {
	m := join(tb, c.url, options(node))
	return memberstest.Node{
		Members: m,
		Drain:   func() { require.NoError(tb, m.Drain(tb.Context())) },
		Leave:   func() { require.NoError(tb, m.Leave(tb.Context())) },
		Kill:    func() { require.NoError(tb, m.Close()) }, // without Leave the row stays
	}
}

func TestMembers_Contract(t *testing.T) {
	t.Parallel()
	memberstest.Run(t, func(tb testing.TB) memberstest.Cluster { return nodes{pgtest.URL(tb)} },
		memberstest.Capabilities{NodesMax: members.NodesMax, DeadAfter: deadAfter})
}

// The default lease keeps the promise: a node that was killed is out of the others' set within 4 s. A machine
// that stands still meanwhile proves nothing, so there are some tries.
func TestMembers_DeadWithinFourSeconds(t *testing.T) {
	t.Parallel()
	url := pgtest.URL(t)
	o := func(node string) members.Options {
		o := options(node)
		o.TTL, o.Renew = 0, 0
		return o
	}
	system := clock.System{}
	a := join(t, url, o("a"))
	var took time.Duration
	for i := range 5 {
		victim := fmt.Sprint("victim-", i)
		b := join(t, url, o(victim))
		awaitAlive(t, a, 10*time.Second, "a", victim)
		began := system.Monotonic()
		require.NoError(t, b.Close())
		awaitAlive(t, a, 60*time.Second, "a")
		if took = system.Monotonic() - began; took <= 4*time.Second {
			t.Logf("seen after %v", took)
			return
		}
	}
	t.Fatalf("seen after %v only", took)
}

func awaitAlive(tb testing.TB, m *members.Members, within time.Duration, want ...string) {
	tb.Helper()
	require.Eventually(tb, func() bool {
		got, _ := m.Live()
		if len(got.Alive) != len(want) {
			return false
		}
		for i := range want {
			if got.Alive[i] != want[i] {
				return false
			}
		}
		return true
	}, within, 5*time.Millisecond, "%v", want)
}

// Nodes of another log share the tables and know nothing of each other.
func TestMembers_OtherLogsAreOthers(t *testing.T) {
	t.Parallel()
	url := pgtest.URL(t)
	other := options("b")
	other.Log, other.Level = "log-2", 7
	a, b := join(t, url, options("a")), join(t, url, other)
	awaitAlive(t, b, time.Second, "b")
	awaitAlive(t, a, time.Second, "a")
	require.Equal(t, 1, a.Level())
	require.Equal(t, 7, b.Level())
	list, err := a.List(t.Context())
	require.NoError(t, err)
	require.Len(t, list, 1)
	require.Equal(t, "a", list[0].Incarnation)
}

func TestMembers_ListForOperators(t *testing.T) {
	t.Parallel()
	url := pgtest.URL(t)
	a, b, c := join(t, url, options("a")), join(t, url, options("b")), join(t, url, options("c"))
	awaitAlive(t, a, 10*time.Second, "a", "b", "c")
	require.NoError(t, b.Drain(t.Context()))
	require.NoError(t, c.Close())
	awaitAlive(t, a, 10*time.Second, "a", "b")
	list, err := a.List(t.Context())
	require.NoError(t, err)
	states := map[string]string{}
	for _, n := range list {
		states[n.Incarnation] = n.State
		require.Equal(t, "host", n.Name)
		require.Equal(t, "test", n.Version)
		require.Equal(t, 1, n.Level)
		require.WithinRange(t, n.Seen, n.Since, n.Since.Add(time.Minute))
	}
	require.Equal(t, map[string]string{"a": "live", "b": "draining", "c": "lapsed"}, states)
}

func TestJoin_BoundedNodes(t *testing.T) {
	t.Parallel()
	url := pgtest.URL(t)
	a := join(t, url, options("a"))
	exec(t, url, `INSERT INTO quipu_cluster.members (log, incarnation, name, version, level, joined, seen, until)
		SELECT 'log-1', 'x' || i, '', '', 1, now(), now(), now() + interval '1 hour' FROM generate_series(1, 63) i`)
	db := open(t, url)
	_, err := members.Join(t.Context(), db, options("b"))
	require.ErrorIs(t, err, domain.ErrExhausted)
	require.ErrorContains(t, err, "stop one of them")
	exec(t, url, "DELETE FROM quipu_cluster.members WHERE incarnation = 'x63'")
	join(t, url, options("b"))
	require.Eventually(t, func() bool { n, _ := a.Live(); return len(n.Alive) == members.NodesMax }, time.Minute, time.Millisecond)
}

func TestJoin_BadOptions(t *testing.T) {
	_, err := members.Join(t.Context(), nil, members.Options{TTL: time.Second, Renew: time.Second})
	require.ErrorIs(t, err, domain.ErrInvalid)
	for _, field := range []string{"Node", "Log", "Level", "Clock", "Renew"} {
		require.ErrorContains(t, err, field)
	}
}

func TestJoin_NoDatabase(t *testing.T) {
	db := open(t, "postgres://quipu@127.0.0.1:1/none?sslmode=disable")
	require.ErrorIs(t, db.Migrate(t.Context()), domain.ErrUnavailable)
	_, err := members.Join(t.Context(), db, options("a"))
	require.ErrorIs(t, err, domain.ErrUnavailable)
}

// A rolling upgrade: the level rises once all nodes know it, and older programs stay out from then on.
func TestLevel_RisesWhenAllKnowItAndNeverFalls(t *testing.T) {
	t.Parallel()
	url := pgtest.URL(t)
	at := func(node string, level int) members.Options {
		o := options(node)
		o.Level = level
		return o
	}
	old, older := join(t, url, at("old", 1)), join(t, url, at("older", 1))
	young := join(t, url, at("young", 2))
	awaitAlive(t, old, 10*time.Second, "old", "older", "young")
	require.Equal(t, 1, young.Level(), "not all know 2")
	require.NoError(t, old.Leave(t.Context()))
	awaitAlive(t, young, 10*time.Second, "older", "young")
	require.Equal(t, 1, young.Level())
	join(t, url, at("youngest", 3))
	require.NoError(t, older.Leave(t.Context()))
	require.Eventually(t, func() bool { return young.Level() == 2 }, time.Minute, time.Millisecond, "the least that all live ones know")

	_, err := members.Join(t.Context(), open(t, url), at("late", 1))
	require.ErrorIs(t, err, domain.ErrRefused)
	require.ErrorContains(t, err, "start the newer version")
	var e *domain.Error
	require.ErrorAs(t, err, &e)
	require.Equal(t, members.CodeLevelTooLow, e.Code)
	require.NoError(t, young.Leave(t.Context()))
	require.ErrorContains(t, func() error { _, err := members.Join(t.Context(), open(t, url), at("late", 1)); return err }(), "knows 1")
}

// A node that was out of sight while the level rose must stop: what the others write it cannot read.
func TestLevel_ANodeLeftBehindEnds(t *testing.T) {
	t.Parallel()
	url := pgtest.URL(t)
	m := join(t, url, options("a"))
	exec(t, url, "UPDATE quipu_cluster.levels SET level = 2")
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
	defer cancel()
	err := m.Run(ctx)
	require.ErrorIs(t, err, domain.ErrRefused)
	require.ErrorContains(t, err, "feature level")
	require.Equal(t, 1, m.Level(), "it writes nothing of the new level")
}

// Joining and raising at the same moment: nobody is a member below the level in force.
func TestLevel_JoinAgainstRaise(t *testing.T) {
	t.Parallel()
	url := pgtest.URL(t)
	for round := range 10 {
		o := options("base")
		o.Log = domain.LogID(string(rune('a' + round)))
		base := join(t, url, o)
		var wg sync.WaitGroup
		var low, high *members.Members
		var lowErr error
		db1, db2 := open(t, url), open(t, url)
		o.Node, o.Level = "high", 2
		up := o
		o.Node, o.Level = "low", 1
		down := o
		wg.Go(func() { _ = base.Leave(t.Context()) })
		wg.Go(func() { high, _ = members.Join(t.Context(), db1, up) })
		wg.Go(func() { low, lowErr = members.Join(t.Context(), db2, down) })
		wg.Wait()
		require.NotNil(t, high)
		if lowErr == nil {
			// It was there first: the level cannot have risen, and does not while it is there.
			awaitAlive(t, high, 10*time.Second, "high", "low")
			require.Equal(t, 1, high.Level())
			require.NoError(t, low.Close())
		} else {
			require.ErrorIs(t, lowErr, domain.ErrRefused)
			require.Eventually(t, func() bool { return high.Level() == 2 }, time.Minute, time.Millisecond)
		}
		require.NoError(t, high.Close())
	}
}

func TestMembers_HooksAndLines(t *testing.T) {
	t.Parallel()
	url := pgtest.URL(t)
	var mu sync.Mutex
	sizes, renewals := [][2]int{}, 0
	o := options("a")
	o.Logger = slog.New(slog.DiscardHandler)
	o.Hooks.Changed = func(owners, alive int) { mu.Lock(); sizes = append(sizes, [2]int{owners, alive}); mu.Unlock() }
	o.Hooks.Renewed = func(took time.Duration, err error) { mu.Lock(); renewals++; mu.Unlock() }
	a := join(t, url, o)
	b := join(t, url, options("b"))
	awaitAlive(t, a, 10*time.Second, "a", "b")
	require.NoError(t, b.Drain(t.Context()))
	require.NoError(t, b.Leave(t.Context()))
	awaitAlive(t, a, 10*time.Second, "a")
	mu.Lock()
	defer mu.Unlock()
	require.Equal(t, [2]int{1, 1}, sizes[0])
	require.Contains(t, sizes, [2]int{2, 2})
	require.Equal(t, [2]int{1, 1}, sizes[len(sizes)-1])
	require.Greater(t, renewals, 1)
	require.Less(t, a.Silent(), ttl)
}
