package blobs_test

import (
	"encoding/binary"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"quipu/infra/postgres/blobs"
	"quipu/infra/postgres/pgtest"
)

func BenchmarkBlobs(b *testing.B) {
	for _, size := range []int{64 << 10, 1 << 20, 16 << 20} {
		s := open(b, pgtest.URL(b), blobs.Options{CacheBytesMax: -1})
		content := noise(size)
		var name string
		b.Run(fmt.Sprintf("Put/%dKiB", size>>10), func(b *testing.B) {
			b.SetBytes(int64(size))
			for i := 0; b.Loop(); i++ {
				binary.BigEndian.PutUint64(content, uint64(i))
				var err error
				name, err = s.Put(b.Context(), content)
				require.NoError(b, err)
			}
		})
		b.Run(fmt.Sprintf("Get/%dKiB", size>>10), func(b *testing.B) {
			b.SetBytes(int64(size))
			for b.Loop() {
				got, err := s.Get(b.Context(), name)
				require.NoError(b, err)
				require.Len(b, got, size)
			}
		})
	}
}
