package blobs

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestCache_HoldsTheLastUsedWithinItsBound(t *testing.T) {
	c := newCache(10_000)
	name := func(i int) [32]byte { return [32]byte{byte(i)} }
	for i := range 100 {
		c.put(name(i), make([]byte, 800))
		_, ok := c.get(name(0))
		require.True(t, ok, "it is used all the time")
		require.LessOrEqual(t, c.bytes, int64(10_000))
		require.Equal(t, len(c.byName), c.order.Len())
	}
	require.Equal(t, 10, c.order.Len())
	_, ok := c.get(name(50))
	require.False(t, ok)
	c.put(name(1), make([]byte, 5000))
	_, ok = c.get(name(1))
	require.False(t, ok, "too large a part of it")
	off := newCache(-1)
	off.put(name(1), nil)
	_, ok = off.get(name(1))
	require.False(t, ok)
}
