package endpoint_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"quipu/domain"
	"quipu/domain/endpoint"
)

func TestCheckSlug(t *testing.T) {
	for _, good := range []string{"a", "coffee-shop", "0", "a--b", strings.Repeat("x", endpoint.SlugBytesMax)} {
		require.NoError(t, endpoint.CheckSlug(good), good)
		require.NoError(t, endpoint.Stream(good+"-e66b8d23").Check())
	}
	for _, bad := range []string{"", "-a", "a-", "A", "é", "a b", "a/b", "a\x00", "a_b", strings.Repeat("x", endpoint.SlugBytesMax+1)} {
		err := endpoint.CheckSlug(bad)
		require.ErrorIs(t, err, domain.ErrUnprocessable, bad)
		require.ErrorContains(t, err, "slug: ", bad)
		require.ErrorContains(t, err, "write 1 to 64", bad)
	}
}

// The hash is stored: another function would lock every client out.
func TestHashKey(t *testing.T) {
	require.Equal(t, "2c70e12b7a0646f92279f427c7b38e7334d8e5389cff167a1dc30e73f826b683", endpoint.HashKey("key"))
}
