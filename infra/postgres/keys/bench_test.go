package keys_test

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"quipu/infra/postgres/pgtest"
	"quipu/infra/vault"
	"quipu/infra/vault/tabletest"
)

func BenchmarkCreate(b *testing.B) {
	table := open(b, pgtest.URL(b))
	key := bytes.Repeat([]byte{1}, tabletest.WrappedBytes)
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		_, err := table.Create(b.Context(), fmt.Sprint("run-", i), key)
		require.NoError(b, err)
	}
}

// A stream's further secrets cost no question of the database.
func BenchmarkSeal_KnownKey(b *testing.B) {
	master, err := vault.NewMaster(bytes.Repeat([]byte{9}, 32))
	require.NoError(b, err)
	v, err := vault.New(master, open(b, pgtest.URL(b)), vault.Options{})
	require.NoError(b, err)
	b.ReportAllocs()
	for b.Loop() {
		_, err := v.Seal(b.Context(), "run-1", "s1", []byte("a secret"))
		require.NoError(b, err)
	}
}
