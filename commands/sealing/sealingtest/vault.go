package sealingtest

import (
	"bytes"
	"context"
	"fmt"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"quipu/domain"
)

var vaultCases = []suiteCase[VaultFactory]{
	{"Seal_OpensToTheSameBytes", vaultRoundTrip},
	{"Seal_HidesThePlaintext", vaultHides},
	{"Seal_BadSecretIDIsInvalid", vaultBadIDs},
	{"Open_OnlyInItsPlace", vaultPlaces},
	{"Open_DamagedIsCorrupt", vaultDamage},
	{"Open_WithoutKeyIsNotFound", vaultNoKey},
	{"Fingerprint_IsStableAndShort", vaultFingerprint},
	{"Seal_ConcurrentFirstSealsShareOneKey", vaultRace},
	{"Reopen_KeepsKeysAndFingerprints", vaultReopen},
	{"Canceled_NothingIsDone", vaultCanceled},
}

var hostileStreams = []string{"run-1", "run-1/s1", "a/b/", "-", "ключ 😀", strings.Repeat("x", domain.StreamIDBytesMax)}

func vaultRoundTrip(t testing.TB, open VaultFactory) {
	ctx := context.Background()
	v, _ := open(t)
	for _, stream := range hostileStreams {
		for i, plaintext := range []string{"", `"x"`, "\x00\xff", strings.Repeat("long ", 50_000)} {
			id := fmt.Sprintf("s%d", i+1)
			in := []byte(plaintext)
			c, err := v.Seal(ctx, stream, id, in)
			require.NoError(t, err)
			require.Equal(t, plaintext, string(in), "the plaintext is not written to")
			out, err := v.Open(ctx, stream, id, c)
			require.NoError(t, err)
			require.Equal(t, plaintext, string(out))
		}
	}
}

func vaultHides(t testing.TB, open VaultFactory) {
	ctx := context.Background()
	v, _ := open(t)
	plaintext := []byte("a plaintext to look for")
	a, err := v.Seal(ctx, "run-1", "s1", plaintext)
	require.NoError(t, err)
	b, err := v.Seal(ctx, "run-1", "s1", plaintext)
	require.NoError(t, err)
	require.False(t, bytes.Contains(a, plaintext[:6]))
	require.NotEqual(t, a, b, "equal plaintexts must not be recognisable")
}

func vaultBadIDs(t testing.TB, open VaultFactory) {
	v, _ := open(t)
	for _, id := range []string{"", "/", "s1/s2", "/s1"} {
		_, err := v.Seal(context.Background(), "run", id, []byte("x"))
		require.ErrorIs(t, err, domain.ErrInvalid)
	}
}

func vaultPlaces(t testing.TB, open VaultFactory) {
	ctx := context.Background()
	v, _ := open(t)
	c, err := v.Seal(ctx, "run-1", "s1", []byte("x"))
	require.NoError(t, err)
	_, err = v.Seal(ctx, "run-2", "s1", []byte("y"))
	require.NoError(t, err)
	for _, place := range [][2]string{{"run-1", "s2"}, {"run-2", "s1"}} {
		_, err = v.Open(ctx, place[0], place[1], c)
		require.ErrorIs(t, err, domain.ErrCorrupt, "%v", place)
	}
}

func vaultDamage(t testing.TB, open VaultFactory) {
	ctx := context.Background()
	v, _ := open(t)
	c, err := v.Seal(ctx, "run-1", "s1", []byte("plaintext"))
	require.NoError(t, err)
	for i := range c {
		damaged := bytes.Clone(c)
		damaged[i] ^= 1
		_, err := v.Open(ctx, "run-1", "s1", damaged)
		require.ErrorIs(t, err, domain.ErrCorrupt, "bit of byte %d", i)
		_, err = v.Open(ctx, "run-1", "s1", c[:i])
		require.ErrorIs(t, err, domain.ErrCorrupt, "cut to %d bytes", i)
		require.NotContains(t, err.Error(), "plaintext")
	}
}

func vaultNoKey(t testing.TB, open VaultFactory) {
	v, _ := open(t)
	_, err := v.Open(context.Background(), "run-none", "s1", []byte("whatever"))
	require.ErrorIs(t, err, domain.ErrNotFound)
}

func vaultFingerprint(t testing.TB, open VaultFactory) {
	v, _ := open(t)
	fp := v.Fingerprint([]byte("a"))
	require.Regexp(t, regexp.MustCompile(`^[0-9a-f]{8}$`), fp)
	require.Equal(t, fp, v.Fingerprint([]byte("a")))
	require.NotEqual(t, fp, v.Fingerprint([]byte("b")))
	other, _ := open(t)
	require.NotEqual(t, fp, other.Fingerprint([]byte("a")), "it is keyed")
}

func vaultRace(t testing.TB, open VaultFactory) {
	ctx := context.Background()
	v, reopen := open(t)
	const streams, each = 8, 8
	type result struct {
		c   []byte
		err error
	}
	results := make([]result, streams*each)
	var wg sync.WaitGroup
	for i := range results {
		wg.Go(func() {
			c, err := v.Seal(ctx, fmt.Sprint("run-", i%streams), fmt.Sprint("s", i+1), []byte{byte(i)})
			results[i] = result{c, err}
		})
	}
	wg.Wait()
	check := func() {
		for i, r := range results {
			require.NoError(t, r.err)
			out, err := v.Open(ctx, fmt.Sprint("run-", i%streams), fmt.Sprint("s", i+1), r.c)
			require.NoError(t, err)
			require.Equal(t, []byte{byte(i)}, out)
		}
	}
	check()
	if reopen != nil {
		v = reopen()
		check()
	}
}

func vaultReopen(t testing.TB, open VaultFactory) {
	ctx := context.Background()
	v, reopen := open(t)
	if reopen == nil {
		t.Log("the adapter does not outlive its process")
		return
	}
	fp := v.Fingerprint([]byte("a"))
	var sealed [][]byte
	for i := range 20 {
		if i%7 == 3 {
			v = reopen()
		}
		c, err := v.Seal(ctx, fmt.Sprint("run-", i), "s1", []byte{byte(i)})
		require.NoError(t, err)
		sealed = append(sealed, c)
	}
	v = reopen()
	require.Equal(t, fp, v.Fingerprint([]byte("a")))
	for i, c := range sealed {
		out, err := v.Open(ctx, fmt.Sprint("run-", i), "s1", c)
		require.NoError(t, err)
		require.Equal(t, []byte{byte(i)}, out)
	}
}

func vaultCanceled(t testing.TB, open VaultFactory) {
	v, _ := open(t)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_, err := v.Seal(ctx, "run-1", "s1", []byte("x"))
	require.ErrorIs(t, err, domain.ErrCanceled)
	_, err = v.Open(ctx, "run-1", "s1", []byte("x"))
	require.ErrorIs(t, err, domain.ErrCanceled)
}
