// Package tabletest states the contract of vault.Table in tests that run over every adapter.
package tabletest

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"quipu/domain"
)

// Table is vault.Table: the vault's own tests run this suite too, and cannot be imported by it.
type Table interface {
	Get(ctx context.Context, stream string) ([]byte, error)
	Create(ctx context.Context, stream string, wrapped []byte) ([]byte, error)
}

// WrappedBytes is the length of a wrapped key.
const WrappedBytes = 69

// Factory makes an empty table. again opens the same one anew, as another process; the first one serves
// on beside it if shared, and is closed otherwise.
type Factory func(tb testing.TB) (table Table, again func() Table, shared bool)

// Run runs the suite.
func Run(t *testing.T, open Factory) {
	for name, run := range map[string]func(testing.TB, Factory){
		"Get_MissingIsNotFound":            missing,
		"Create_TheFirstKeyStays":          first,
		"Create_KeepsNothingOfTheCaller":   ownership,
		"Create_HostileStreamsAreApart":    hostile,
		"Create_OfManyAtOnceOneWins":       race,
		"Create_WrongSizeIsRefused":        size,
		"Again_HasTheSameKeys":             reopened,
		"Canceled_NothingIsHalfDone":       canceled,
		"Create_ManyStreamsAtOnceAllThere": manyStreams,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			run(t, open)
		})
	}
}

func key(i int) []byte { return bytes.Repeat([]byte{byte(i), byte(i >> 8), 7}, WrappedBytes/3) }

func missing(tb testing.TB, open Factory) {
	table, _, _ := open(tb)
	_, err := table.Get(tb.Context(), "run-1")
	require.ErrorIs(tb, err, domain.ErrNotFound)
}

func first(tb testing.TB, open Factory) {
	table, _, _ := open(tb)
	for i := range 3 {
		got, err := table.Create(tb.Context(), "run-1", key(i))
		require.NoError(tb, err)
		require.Equal(tb, key(0), got)
		got, err = table.Get(tb.Context(), "run-1")
		require.NoError(tb, err)
		require.Equal(tb, key(0), got)
	}
	_, err := table.Get(tb.Context(), "run-2")
	require.ErrorIs(tb, err, domain.ErrNotFound)
}

func ownership(tb testing.TB, open Factory) {
	table, _, _ := open(tb)
	given := key(1)
	got, err := table.Create(tb.Context(), "run-1", given)
	require.NoError(tb, err)
	given[0], got[1] = 'X', 'X'
	got, err = table.Get(tb.Context(), "run-1")
	require.NoError(tb, err)
	require.Equal(tb, key(1), got)
}

func hostile(tb testing.TB, open Factory) {
	table, _, _ := open(tb)
	streams := []string{"", "run-1", "run-1\x00", "RUN-1", "run-1 ", "\xff\xfe", "ключ 😀", "'; DROP TABLE x --", strings.Repeat("x", domain.StreamIDBytesMax)}
	for i, s := range streams {
		_, err := table.Create(tb.Context(), s, key(i))
		require.NoError(tb, err, "%q", s)
	}
	for i, s := range streams {
		got, err := table.Get(tb.Context(), s)
		require.NoError(tb, err)
		require.Equal(tb, key(i), got, "%q", s)
	}
}

// race is also that of several nodes: half of the callers come by another opening.
func race(tb testing.TB, open Factory) {
	table, again, shared := open(tb)
	tables := []Table{table, table}
	if shared {
		tables[1] = again()
	}
	for round := range 5 {
		got := make([][]byte, 16)
		errs := make([]error, len(got))
		var wg sync.WaitGroup
		for i := range got {
			wg.Go(func() {
				got[i], errs[i] = tables[i%2].Create(tb.Context(), fmt.Sprint("run-", round), key(i))
			})
		}
		wg.Wait()
		stored, err := tables[1].Get(tb.Context(), fmt.Sprint("run-", round))
		require.NoError(tb, err)
		for i := range got {
			require.NoError(tb, errs[i])
			require.Equal(tb, stored, got[i], "whoever lost uses the key of whoever won")
		}
	}
}

func size(tb testing.TB, open Factory) {
	table, _, _ := open(tb)
	for _, b := range [][]byte{nil, {}, make([]byte, WrappedBytes-1), make([]byte, WrappedBytes+1)} {
		_, err := table.Create(tb.Context(), "run-1", b)
		require.Error(tb, err)
	}
	_, err := table.Get(tb.Context(), "run-1")
	require.ErrorIs(tb, err, domain.ErrNotFound)
}

func reopened(tb testing.TB, open Factory) {
	table, again, _ := open(tb)
	for i := range 10 {
		_, err := table.Create(tb.Context(), fmt.Sprint("run-", i), key(i))
		require.NoError(tb, err)
	}
	table = again()
	for i := range 10 {
		got, err := table.Get(tb.Context(), fmt.Sprint("run-", i))
		require.NoError(tb, err)
		require.Equal(tb, key(i), got)
	}
}

func canceled(tb testing.TB, open Factory) {
	table, _, _ := open(tb)
	ctx, cancel := context.WithCancel(tb.Context())
	cancel()
	_, err := table.Get(ctx, "run-1")
	require.ErrorIs(tb, err, domain.ErrCanceled)
	// Creating may happen or not, as long as everybody then has the same key.
	early, err := table.Create(ctx, "run-1", key(1))
	stored, again := table.Create(tb.Context(), "run-1", key(2))
	require.NoError(tb, again)
	if err == nil {
		require.Equal(tb, early, stored)
	}
	got, err := table.Get(tb.Context(), "run-1")
	require.NoError(tb, err)
	require.Equal(tb, stored, got)
}

func manyStreams(tb testing.TB, open Factory) {
	table, _, _ := open(tb)
	var wg sync.WaitGroup
	errs := make([]error, 600)
	for i := range errs {
		wg.Go(func() { _, errs[i] = table.Create(tb.Context(), fmt.Sprint("run-", i), key(i)) })
	}
	wg.Wait()
	for i := range errs {
		require.NoError(tb, errs[i])
		got, err := table.Get(tb.Context(), fmt.Sprint("run-", i))
		require.NoError(tb, err)
		require.Equal(tb, key(i), got)
	}
}
