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
	"quipu/infra/postgres/members"
	"quipu/infra/postgres/pgtest"
)

// nodesAnswer is what GET /admin/nodes answers.
type nodesAnswer struct {
	Node  string
	Level int
	Nodes []members.Node
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
				require.NoError(t, s.node.Leave(t.Context()))
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
	require.NotEqual(t, a.node.ID, b.node.ID)
	require.Equal(t, a.node.ID, a.executor.Node())

	sealed, err := a.node.Vault.Seal(t.Context(), "run-1", "s1", []byte("secret"))
	require.NoError(t, err)
	plain, err := b.node.Vault.Open(t.Context(), "run-1", "s1", sealed)
	require.NoError(t, err)
	require.Equal(t, "secret", string(plain))
	name, err := a.node.Blobs.Put(t.Context(), []byte("payload"))
	require.NoError(t, err)
	content, err := b.node.Blobs.Get(t.Context(), name)
	require.NoError(t, err)
	require.Equal(t, "payload", string(content))
	_, err = os.Stat(stores.BlobsDir(dir))
	require.ErrorIs(t, err, os.ErrNotExist)

	require.Contains(t, string(a.Health.Ready(t.Context()).JSON()), `"keys":{"status":"ok"}`)

	// They have a log each here: they are no members of each other.
	nodes, _ := a.node.Members.Live()
	require.Equal(t, commands.Nodes{Owners: []string{a.node.ID}, Alive: []string{a.node.ID}}, nodes)
	require.NoError(t, a.node.Disown(t.Context()))

	status, _, body := get(t, a, "/admin/nodes")
	require.Equal(t, 200, status)
	var shown nodesAnswer
	require.NoError(t, json.Unmarshal(body, &shown))
	require.Equal(t, a.node.ID, shown.Node)
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

// A server that is alone answers, too.
func TestNodes_Alone(t *testing.T) {
	s := testServer(t)
	status, _, body := get(t, s, "/admin/nodes")
	require.Equal(t, 200, status)
	var shown nodesAnswer
	require.NoError(t, json.Unmarshal(body, &shown))
	require.Equal(t, wire.Level, shown.Level)
	require.Len(t, shown.Nodes, 1)
	require.Equal(t, s.node.ID, shown.Nodes[0].Incarnation)
}
