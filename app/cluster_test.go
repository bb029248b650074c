package app

import (
	"encoding/json"
	"log/slog"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"quipu/app/stores"
	"quipu/commands"
	"quipu/domain"
	"quipu/domain/wire"
	"quipu/infra/config"
	"quipu/infra/memory"
	"quipu/infra/postgres/members"
	"quipu/infra/postgres/pgtest"
)

// While a cluster is upgraded nobody writes what the older nodes cannot read.
func TestLevelLog_RefusesWhatNotAllNodesKnow(t *testing.T) {
	level := 1
	inner := memory.NewLog()
	log := levelLog{inner, func() int { return level }}
	batch := func(types ...string) (events []domain.Pending) {
		for i, typ := range types {
			events = append(events, domain.Pending{ID: domain.EventID{byte(i + 1)}, Type: typ, Data: []byte("{}"), Metadata: []byte("{}")})
		}
		return events
	}
	_, err := log.Append(t.Context(), "run-1", domain.NoStream, batch(wire.RunStarted))
	require.NoError(t, err)
	_, err = log.Append(t.Context(), "run-2", domain.NoStream, batch(wire.RunStarted, "run.from_the_future.v9"))
	require.ErrorIs(t, err, domain.ErrUnavailable)
	require.ErrorContains(t, err, "not all nodes can read it")
	level = 0 // as if today's types were of a later level than the one in force
	_, err = log.Append(t.Context(), "run-3", domain.NoStream, batch(wire.RunCompleted))
	require.ErrorIs(t, err, domain.ErrUnavailable, "what a run needs itself is tried again; it is not put aside")
	var e *domain.Error
	require.ErrorAs(t, err, &e)
	require.Equal(t, members.CodeLevelTooLow, e.Code)
	head, err := inner.Head(t.Context())
	require.NoError(t, err)
	require.EqualValues(t, 1, head, "nothing of what was refused is written")
}

// Nodes of one cluster share keys and blobs, with the same master key; another one is refused.
func TestServer_SharesKeysAndBlobs(t *testing.T) {
	url := pgtest.URL(t)
	start := func(data, master string) (*server, error) {
		c := config.Default()
		c.Storage.Data, c.HTTP.Addr, c.Cluster.URL, c.Keys.MasterFile = data, "127.0.0.1:0", config.Secret(url), master
		s, err := open(t.Context(), c, testVersion, slog.New(slog.DiscardHandler))
		if err == nil {
			t.Cleanup(func() {
				require.NoError(t, s.leave(t.Context()))
				require.NoError(t, s.web.Listener.Close())
				require.NoError(t, s.close())
			})
		}
		return s, err
	}
	dir := t.TempDir()
	a, err := start(dir, "")
	require.NoError(t, err)
	master := filepath.Join(dir, stores.KeysFolder, "master.key")
	b, err := start(t.TempDir(), master)
	require.NoError(t, err)
	require.NotEqual(t, a.node, b.node)
	require.Equal(t, a.node, a.executor.Node())

	sealed, err := a.vault.Seal(t.Context(), "run-1", "s1", []byte("secret"))
	require.NoError(t, err)
	plain, err := b.vault.Open(t.Context(), "run-1", "s1", sealed)
	require.NoError(t, err)
	require.Equal(t, "secret", string(plain))
	name, err := a.blobs.Put(t.Context(), []byte("payload"))
	require.NoError(t, err)
	content, err := b.blobs.Get(t.Context(), name)
	require.NoError(t, err)
	require.Equal(t, "payload", string(content))
	_, err = os.Stat(stores.BlobsDir(dir))
	require.ErrorIs(t, err, os.ErrNotExist)

	require.Contains(t, string(a.Health.Ready(t.Context()).JSON()), `"keys":{"status":"ok"}`)

	// They have a log each here: they are no members of each other.
	nodes, _ := a.members.Live()
	require.Equal(t, commands.Nodes{Owners: []string{a.node}, Alive: []string{a.node}}, nodes)
	require.NoError(t, a.disown(t.Context()))

	status, _, body := get(t, a, "/admin/nodes")
	require.Equal(t, 200, status)
	var shown nodesShown
	require.NoError(t, json.Unmarshal(body, &shown))
	require.Equal(t, a.node, shown.Node)
	require.Len(t, shown.Nodes, 1)
	require.Equal(t, members.StateDraining, shown.Nodes[0].State)

	_, err = start(t.TempDir(), "")
	require.ErrorIs(t, err, domain.ErrRefused)
	require.ErrorContains(t, err, "the master key is missing")
	other := filepath.Join(t.TempDir(), "other.key")
	require.NoError(t, os.WriteFile(other, []byte("000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f\n"), 0o600))
	_, err = start(t.TempDir(), other)
	require.ErrorIs(t, err, domain.ErrRefused)
	require.ErrorContains(t, err, "--master-key-file")
}

// Exactly one of the nodes does a thing, also while the last of them drains.
func TestOwned_OneNodeWhateverHappens(t *testing.T) {
	town := memory.NewMembers("a", "b", "c")
	owner := func() (all string) {
		for _, n := range []string{"a", "b", "c"} {
			if mine, _ := (owned{town, n, viewsProjector}).Owns(); mine {
				all += n
			}
		}
		return all
	}
	first := owner()
	require.Len(t, first, 1)
	town.Drain(first)
	second := owner()
	require.Len(t, second, 1)
	require.NotEqual(t, first, second)
	for _, n := range []string{"a", "b", "c"} {
		town.Drain(n)
	}
	require.Equal(t, first, owner())
	_, changed := (owned{town, "a", viewsProjector}).Owns()
	town.Leave(first)
	<-changed
	require.Len(t, owner(), 1)
}

// A server that is alone answers, too.
func TestNodes_Alone(t *testing.T) {
	s := testServer(t)
	status, _, body := get(t, s, "/admin/nodes")
	require.Equal(t, 200, status)
	var shown nodesShown
	require.NoError(t, json.Unmarshal(body, &shown))
	require.Equal(t, wire.Level, shown.Level)
	require.Len(t, shown.Nodes, 1)
	require.Equal(t, s.node, shown.Nodes[0].Incarnation)
}
