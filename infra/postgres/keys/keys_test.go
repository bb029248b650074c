package keys_test

import (
	"bytes"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"quipu/commands/sealing"
	"quipu/commands/sealing/sealingtest"
	"quipu/domain"
	"quipu/infra/postgres/cluster"
	"quipu/infra/postgres/keys"
	"quipu/infra/postgres/pgtest"
	"quipu/infra/postgres/poolertest"
	"quipu/infra/vault"
	"quipu/infra/vault/tabletest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func open(tb testing.TB, url string) *keys.Table {
	tb.Helper()
	return openWith(tb, url, keys.Options{})
}

func openWith(tb testing.TB, url string, o keys.Options) *keys.Table {
	tb.Helper()
	db, err := cluster.Open(tb.Context(), url, cluster.Options{})
	require.NoError(tb, err)
	require.NoError(tb, db.Migrate(tb.Context()))
	table, err := keys.Open(tb.Context(), db, o)
	require.NoError(tb, err)
	tb.Cleanup(func() {
		require.NoError(tb, table.Close())
		require.NoError(tb, db.Close())
	})
	return table
}

func TestTable_Contract(t *testing.T) {
	tabletest.Run(t, func(tb testing.TB) (tabletest.Table, func() tabletest.Table, bool) {
		url := pgtest.URL(tb)
		return open(tb, url), func() tabletest.Table { return open(tb, url) }, true
	})
}

// Keys pass through a pooler in transaction mode.
func TestTable_BehindATransactionPooler(t *testing.T) {
	tabletest.Run(t, func(tb testing.TB) (tabletest.Table, func() tabletest.Table, bool) {
		url := poolertest.New(tb, pgtest.URL(tb), 4).URL
		return open(tb, url), func() tabletest.Table { return open(tb, url) }, true
	})
}

// Vaults of several nodes over one table and one master key are one vault.
func TestVault_Contract(t *testing.T) {
	seed := byte(0)
	var mu sync.Mutex
	sealingtest.Vault(t, func(tb testing.TB) (sealing.Vault, func() sealing.Vault) {
		mu.Lock()
		seed++
		secret := bytes.Repeat([]byte{seed}, 32)
		mu.Unlock()
		url := pgtest.URL(tb)
		make := func() sealing.Vault {
			master, err := vault.NewMaster(secret)
			require.NoError(tb, err)
			v, err := vault.New(master, open(tb, url), vault.Options{OpenedKeysMax: 3})
			require.NoError(tb, err)
			return v
		}
		return make(), make
	})
}

func TestClaim_OneMasterForAll(t *testing.T) {
	t.Parallel()
	url := pgtest.URL(t)
	a, b := open(t, url), open(t, url)
	used, err := a.Used(t.Context())
	require.NoError(t, err)
	require.False(t, used)

	// Two that begin at the same moment with different keys: one of them starts.
	var wg sync.WaitGroup
	errs := make([]error, 2)
	for i, table := range []*keys.Table{a, b} {
		wg.Go(func() { errs[i] = table.Claim(t.Context(), []byte{byte(i), 2, 3, 4, 5, 6, 7, 8}) })
	}
	wg.Wait()
	refused := errors.Join(errs...)
	require.ErrorIs(t, refused, domain.ErrRefused)
	require.ErrorContains(t, refused, "copy the file of the first node")
	require.True(t, errs[0] == nil || errs[1] == nil)
	winner := 0
	if errs[0] != nil {
		winner = 1
	}
	for range 2 {
		require.NoError(t, b.Claim(t.Context(), []byte{byte(winner), 2, 3, 4, 5, 6, 7, 8}))
	}
	used, err = b.Used(t.Context())
	require.NoError(t, err)
	require.True(t, used)
}

// What one node sealed another opens, with the master key in a file of its own.
func TestVault_NodesOpenEachOthersSecrets(t *testing.T) {
	t.Parallel()
	url := pgtest.URL(t)
	first := filepath.Join(t.TempDir(), "keys")
	master, err := vault.LoadMaster(first, "", false)
	require.NoError(t, err)
	other, err := vault.LoadMaster(t.TempDir(), filepath.Join(first, "master.key"), true)
	require.NoError(t, err)
	require.Equal(t, master.ID(), other.ID())
	a, err := vault.New(master, open(t, url), vault.Options{})
	require.NoError(t, err)
	b, err := vault.New(other, open(t, url), vault.Options{})
	require.NoError(t, err)
	var wg sync.WaitGroup
	sealed, errs := make([][]byte, 8), make([]error, 8)
	for i := range sealed { // the same stream's first secret, on both nodes at once
		wg.Go(func() {
			sealed[i], errs[i] = []*vault.Vault{a, b}[i%2].Seal(t.Context(), "run-1", fmt.Sprint("s", i), []byte("secret"))
		})
	}
	wg.Wait()
	require.NoError(t, errors.Join(errs...))
	for i := range sealed {
		out, err := []*vault.Vault{b, a}[i%2].Open(t.Context(), "run-1", fmt.Sprint("s", i), sealed[i])
		require.NoError(t, err)
		require.Equal(t, "secret", string(out))
	}

	_, err = vault.LoadMaster(t.TempDir(), "", true)
	require.ErrorIs(t, err, domain.ErrRefused, "a new key could open nothing")
	_, err = vault.LoadMaster(t.TempDir(), filepath.Join(first, "none"), false)
	require.ErrorContains(t, err, "openssl rand -hex 32")
}

// While the database is away nothing is sealed under a key that may be lost.
func TestVault_DatabaseAway(t *testing.T) {
	t.Parallel()
	server := pgtest.Start(t, pgtest.Options{})
	url := pgtest.Database(t, server)
	master, err := vault.NewMaster(bytes.Repeat([]byte{9}, 32))
	require.NoError(t, err)
	table := openWith(t, url, keys.Options{Timeout: 500 * time.Millisecond})
	v, err := vault.New(master, table, vault.Options{})
	require.NoError(t, err)
	_, err = v.Seal(t.Context(), "run-1", "s1", []byte("x"))
	require.NoError(t, err)
	for name, away := range map[string]func() func(){
		"stopped": func() func() {
			require.NoError(t, server.Stop())
			return func() { require.NoError(t, server.Restart()) }
		},
		"killed": func() func() {
			require.NoError(t, server.Kill())
			return func() { require.NoError(t, server.Restart()) }
		},
		"silent": func() func() { return server.Pause() },
	} {
		back := away()
		for range 3 {
			sealed, err := v.Seal(t.Context(), "run-2", "s1", []byte("x"))
			require.ErrorIs(t, err, domain.ErrUnavailable, name)
			require.Nil(t, sealed)
			_, err = table.Get(t.Context(), "run-1")
			require.ErrorIs(t, err, domain.ErrUnavailable, name)
		}
		_, err = v.Seal(t.Context(), "run-1", "s2", []byte("x"))
		require.NoError(t, err, "its key is durable and known")
		back()
		require.Eventually(t, func() bool {
			_, err := v.Seal(t.Context(), "run-after-"+name, "s1", []byte("x"))
			return err == nil
		}, time.Minute, 10*time.Millisecond, name)
	}
}

// A key that was created is on disk whatever the database's default says.
func TestCreate_DurableWhateverTheDefault(t *testing.T) {
	t.Parallel()
	server := pgtest.Start(t, pgtest.Options{Settings: []string{"synchronous_commit = off", "wal_writer_delay = 10s", "wal_writer_flush_after = 1GB"}})
	url := pgtest.Database(t, server)
	table := open(t, url)
	for i := range 5 {
		stream := fmt.Sprint("run-", i)
		_, err := table.Create(t.Context(), stream, bytes.Repeat([]byte{byte(i)}, tabletest.WrappedBytes))
		require.NoError(t, err)
		require.NoError(t, server.Kill())
		require.NoError(t, server.Restart())
		_, err = table.Get(t.Context(), stream)
		require.NoError(t, err)
	}
}

// Nothing of a secret, and nothing that opens one, is in the database.
func TestTable_HoldsNothingOfUse(t *testing.T) {
	t.Parallel()
	url := pgtest.URL(t)
	secret := bytes.Repeat([]byte{0xa7}, 32)
	master, err := vault.NewMaster(secret)
	require.NoError(t, err)
	table := open(t, url)
	require.NoError(t, table.Claim(t.Context(), master.ID()))
	v, err := vault.New(master, table, vault.Options{})
	require.NoError(t, err)
	_, err = v.Seal(t.Context(), "run-with-a-name", "s1", []byte("plaintext"))
	require.NoError(t, err)
	conn, err := pgx.Connect(t.Context(), url)
	require.NoError(t, err)
	var all string
	require.NoError(t, conn.QueryRow(t.Context(), `SELECT (SELECT string_agg(encode(stream, 'hex') || encode(wrapped, 'hex'), '') FROM quipu_cluster.data_keys)
		|| (SELECT encode(id, 'hex') FROM quipu_cluster.master)`).Scan(&all))
	require.NoError(t, conn.Close(t.Context()))
	require.NotEmpty(t, all)
	for _, not := range [][]byte{secret, []byte("plaintext"), []byte("run-with-a-name")} {
		require.False(t, strings.Contains(all, fmt.Sprintf("%x", not)))
	}
}
