package nodetypes

import (
	"bytes"
	"errors"
	"io"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/require"
)

func TestReadAll_WhateverLengthIsPromised(t *testing.T) {
	for _, size := range []int{0, 1, 11, 511, promisedBytesMax, promisedBytesMax + 1, 100_000} {
		want := bytes.Repeat([]byte("a"), size)
		for _, length := range []int64{-1, 0, 5, int64(size), int64(size) + 1, 1 << 40} {
			for _, r := range []io.Reader{bytes.NewReader(want), iotest.DataErrReader(bytes.NewReader(want)), iotest.HalfReader(bytes.NewReader(want))} {
				got, err := readAll(r, length)
				require.NoError(t, err)
				require.Equal(t, string(want), string(got))
			}
		}
	}
	lost := errors.New("lost")
	got, err := readAll(io.MultiReader(bytes.NewReader([]byte("ab")), iotest.ErrReader(lost)), 5)
	require.ErrorIs(t, err, lost)
	require.Equal(t, "ab", string(got))
	got, err = readAll(bytes.NewReader(make([]byte, 11)), 11)
	require.NoError(t, err)
	require.Less(t, cap(got), 32)
}
