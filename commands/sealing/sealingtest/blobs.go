package sealingtest

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"quipu/commands/sealing"
	"quipu/domain"
)

var blobsCases = []suiteCase[BlobsFactory]{
	{"Put_GivesTheSameBytesBack", blobsRoundTrip},
	{"Put_KeepsNothingOfTheCaller", blobsOwnership},
	{"Put_ConcurrentEqualContents", blobsRace},
	{"Get_MissingIsNotFound", blobsMissing},
	{"Get_BadNameIsInvalid", blobsBadNames},
	{"Reopen_KeepsContents", blobsReopen},
	{"Canceled_NothingIsDone", blobsCanceled},
}

func nameOf(content []byte) string {
	sum := sha256.Sum256(content)
	return hex.EncodeToString(sum[:])
}

func blobsRoundTrip(t testing.TB, open BlobsFactory) {
	ctx := context.Background()
	b, _ := open(t)
	for _, content := range [][]byte{{}, {0}, []byte("null"), bytes.Repeat([]byte("long "), 100_000)} {
		for range 2 { // again is the same
			name, err := b.Put(ctx, content)
			require.NoError(t, err)
			require.Equal(t, nameOf(content), name)
			got, err := b.Get(ctx, name)
			require.NoError(t, err)
			require.True(t, bytes.Equal(content, got))
		}
	}
}

func blobsOwnership(t testing.TB, open BlobsFactory) {
	ctx := context.Background()
	b, _ := open(t)
	content := []byte("content")
	name, err := b.Put(ctx, content)
	require.NoError(t, err)
	content[0] = 'X'
	got, err := b.Get(ctx, name)
	require.NoError(t, err)
	require.Equal(t, "content", string(got))
	got[0] = 'X'
	got, err = b.Get(ctx, name)
	require.NoError(t, err)
	require.Equal(t, "content", string(got))
}

func blobsRace(t testing.TB, open BlobsFactory) {
	ctx := context.Background()
	b, _ := open(t)
	var wg sync.WaitGroup
	errs := make([]error, 32)
	for i := range errs {
		wg.Go(func() {
			content := fmt.Appendf(nil, "content %d", i%4)
			name, err := b.Put(ctx, content)
			if err == nil {
				var got []byte
				if got, err = b.Get(ctx, name); err == nil && !bytes.Equal(got, content) {
					err = fmt.Errorf("got %q", got)
				}
			}
			errs[i] = err
		})
	}
	wg.Wait()
	for _, err := range errs {
		require.NoError(t, err)
	}
}

func blobsMissing(t testing.TB, open BlobsFactory) {
	b, _ := open(t)
	_, err := b.Get(context.Background(), nameOf([]byte("never put")))
	require.ErrorIs(t, err, domain.ErrNotFound)
}

func blobsBadNames(t testing.TB, open BlobsFactory) {
	b, _ := open(t)
	good, err := b.Put(context.Background(), []byte("x"))
	require.NoError(t, err)
	for _, name := range []string{"", "..", "../../etc/passwd", good[:63], good + "0", strings.ToUpper(good), "g" + good[1:], good[:2] + "/" + good[3:]} {
		_, err := b.Get(context.Background(), name)
		require.ErrorIs(t, err, domain.ErrInvalid, "%q", name)
	}
}

func blobsReopen(t testing.TB, open BlobsFactory) {
	ctx := context.Background()
	b, reopen := open(t)
	if reopen == nil {
		t.Log("the adapter does not outlive its process")
		return
	}
	put := func(b sealing.Blobs, content string) string {
		name, err := b.Put(ctx, []byte(content))
		require.NoError(t, err)
		return name
	}
	one, two := put(b, "one"), put(b, "two")
	b = reopen()
	require.Equal(t, one, put(b, "one"))
	for name, content := range map[string]string{one: "one", two: "two"} {
		got, err := b.Get(ctx, name)
		require.NoError(t, err)
		require.Equal(t, content, string(got))
	}
}

func blobsCanceled(t testing.TB, open BlobsFactory) {
	b, _ := open(t)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_, err := b.Put(ctx, []byte("x"))
	require.ErrorIs(t, err, domain.ErrCanceled)
	_, err = b.Get(ctx, nameOf([]byte("x")))
	require.ErrorIs(t, err, domain.ErrCanceled)
}
