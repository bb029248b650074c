package blobs_test

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"quipu/commands/sealing"
	"quipu/commands/sealing/sealingtest"
	"quipu/domain"
	"quipu/infra/postgres/blobs"
	"quipu/infra/postgres/cluster"
	"quipu/infra/postgres/pgtest"
	"quipu/infra/postgres/poolertest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func open(tb testing.TB, url string, o blobs.Options) *blobs.Store {
	tb.Helper()
	db, err := cluster.Open(tb.Context(), url, cluster.Options{})
	require.NoError(tb, err)
	require.NoError(tb, db.Migrate(tb.Context()))
	s, err := blobs.Open(tb.Context(), db, o)
	require.NoError(tb, err)
	tb.Cleanup(func() {
		require.NoError(tb, s.Close())
		require.NoError(tb, db.Close())
	})
	return s
}

func TestBlobs_Contract(t *testing.T) {
	for name, cache := range map[string]int64{"without cache": -1, "with cache": 0} {
		t.Run(name, func(t *testing.T) {
			sealingtest.Blobs(t, func(tb testing.TB) (sealing.Blobs, func() sealing.Blobs) {
				url := pgtest.URL(tb)
				again := func() sealing.Blobs { return open(tb, url, blobs.Options{CacheBytesMax: cache}) }
				return again(), again
			})
		})
	}
}

// Blobs pass through a pooler in transaction mode.
func TestBlobs_BehindATransactionPooler(t *testing.T) {
	sealingtest.Blobs(t, func(tb testing.TB) (sealing.Blobs, func() sealing.Blobs) {
		url := poolertest.New(tb, pgtest.URL(tb), 4).URL
		again := func() sealing.Blobs { return open(tb, url, blobs.Options{CacheBytesMax: -1}) }
		return again(), again
	})
}

func noise(n int) []byte {
	b := make([]byte, n)
	random := rand.NewChaCha8([32]byte{1})
	_, _ = random.Read(b) // never fails
	return b
}

// What one node puts another reads, at the sizes around a row and at the bound.
func TestBlobs_SizesAcrossNodes(t *testing.T) {
	t.Parallel()
	url := pgtest.URL(t)
	a, b := open(t, url, blobs.Options{BytesMax: 3 * blobs.PartBytes}), open(t, url, blobs.Options{BytesMax: 3 * blobs.PartBytes})
	all := noise(3*blobs.PartBytes + 1)
	for _, n := range []int{0, 1, blobs.PartBytes - 1, blobs.PartBytes, blobs.PartBytes + 1, 2 * blobs.PartBytes, 3 * blobs.PartBytes} {
		name, err := a.Put(t.Context(), all[:n])
		require.NoError(t, err, n)
		got, err := b.Get(t.Context(), name)
		require.NoError(t, err, n)
		require.True(t, bytes.Equal(all[:n], got), n)
	}
	_, err := a.Put(t.Context(), all)
	require.ErrorIs(t, err, domain.ErrInvalid)
	var e *domain.Error
	require.ErrorAs(t, err, &e)
	require.Equal(t, "TOO_LARGE", e.Code)
}

func exec(tb testing.TB, url, sql string) {
	tb.Helper()
	conn, err := pgx.Connect(tb.Context(), url)
	require.NoError(tb, err)
	_, err = conn.Exec(tb.Context(), sql)
	require.NoError(tb, err)
	require.NoError(tb, conn.Close(tb.Context()))
}

func TestGet_DamageIsFoundAndMendedByPutting(t *testing.T) {
	t.Parallel()
	url := pgtest.URL(t)
	content := noise(blobs.PartBytes + 100)
	name, err := open(t, url, blobs.Options{}).Put(t.Context(), content)
	require.NoError(t, err)
	for _, damage := range []string{
		"UPDATE quipu_cluster.blobs SET data = '\\x00' WHERE part = 1",
		"DELETE FROM quipu_cluster.blobs WHERE part = 0",
		"DELETE FROM quipu_cluster.blobs WHERE part = 1",
	} {
		exec(t, url, damage)
		s := open(t, url, blobs.Options{})
		_, err = s.Get(t.Context(), name)
		require.ErrorIs(t, err, domain.ErrCorrupt, damage)
		require.ErrorContains(t, err, "quipu_cluster.blobs")
		_, err = s.Put(t.Context(), content)
		require.NoError(t, err)
		got, err := open(t, url, blobs.Options{}).Get(t.Context(), name)
		require.NoError(t, err)
		require.True(t, bytes.Equal(content, got))
	}
	exec(t, url, "DROP SCHEMA quipu_cluster CASCADE")
	_, err = open(t, pgtest.URL(t), blobs.Options{}).Get(t.Context(), name)
	require.ErrorIs(t, err, domain.ErrNotFound)
}

func TestBlobs_TablesGone(t *testing.T) {
	t.Parallel()
	url := pgtest.URL(t)
	s := open(t, url, blobs.Options{})
	exec(t, url, "DROP SCHEMA quipu_cluster CASCADE")
	_, err := s.Put(t.Context(), []byte("x"))
	require.ErrorIs(t, err, domain.ErrUnavailable)
	require.ErrorContains(t, err, "tables are missing")
}

// The database is killed at any moment of putting: what was acknowledged is there.
func TestPut_AcknowledgedSurvivesKills(t *testing.T) {
	t.Parallel()
	server := pgtest.Start(t, pgtest.Options{Settings: []string{"synchronous_commit = off"}})
	url := pgtest.Database(t, server)
	s := open(t, url, blobs.Options{CacheBytesMax: -1, Timeout: 5 * time.Second})
	ctx, cancel := context.WithCancel(t.Context())
	var mu sync.Mutex
	put := map[string]int{}
	failures := 0
	var wg sync.WaitGroup
	for worker := range 4 {
		wg.Go(func() {
			for i := 0; ctx.Err() == nil; i++ {
				name, err := s.Put(ctx, fmt.Appendf(noise(100_000), "%d-%d", worker, i))
				mu.Lock()
				if err == nil {
					put[name] = i
				} else {
					failures++
				}
				mu.Unlock()
			}
		})
	}
	count := func() int { mu.Lock(); defer mu.Unlock(); return len(put) }
	for range 4 {
		before := count()
		require.Eventually(t, func() bool { return count() > before+20 }, time.Minute, time.Millisecond)
		require.NoError(t, server.Kill())
		require.NoError(t, server.Restart())
	}
	cancel()
	wg.Wait()
	require.NotZero(t, failures)
	for name := range put {
		_, err := s.Get(t.Context(), name)
		require.NoError(t, err)
	}
}

func TestBlobs_DatabaseAway(t *testing.T) {
	t.Parallel()
	server := pgtest.Start(t, pgtest.Options{})
	url := pgtest.Database(t, server)
	s := open(t, url, blobs.Options{Timeout: time.Second})
	name, err := s.Put(t.Context(), []byte("known"))
	require.NoError(t, err)
	resume := server.Pause()
	_, err = s.Put(t.Context(), []byte("new"))
	require.ErrorIs(t, err, domain.ErrUnavailable)
	require.ErrorContains(t, err, "did not answer within 1s")
	got, err := s.Get(t.Context(), name)
	require.NoError(t, err, "it is in memory")
	require.Equal(t, "known", string(got))
	resume()
	require.NoError(t, server.Stop())
	_, err = s.Get(t.Context(), name[1:]+"0")
	require.ErrorIs(t, err, domain.ErrUnavailable)
	require.NoError(t, server.Restart())
	_, err = s.Put(t.Context(), []byte("new"))
	require.NoError(t, err, "at the first try: dead connections are replaced")
}
