package checkpoints_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"quipu/domain"
	"quipu/eventbus"
	"quipu/eventbus/checkpointstest"
	"quipu/infra/checkpoints"
)

func TestFiles_Contract(t *testing.T) {
	checkpointstest.Run(t, func(t *testing.T) checkpointstest.Open {
		dir := filepath.Join(t.TempDir(), "checkpoints")
		return func(log domain.LogID) eventbus.Checkpoints {
			f, err := checkpoints.Open(dir, log)
			require.NoError(t, err)
			return f
		}
	})
}

// Whatever stands in a file, a consumer never begins at a place nobody saved.
func TestFiles_DamageIsReported(t *testing.T) {
	dir := t.TempDir()
	f, err := checkpoints.Open(dir, "log-a")
	require.NoError(t, err)
	require.NoError(t, f.Save(t.Context(), "relay:nats", 0, 0x1f))
	path := filepath.Join(dir, "relay%3Anats.json")
	good, err := os.ReadFile(path)
	require.NoError(t, err)
	require.JSONEq(t, `{"name":"relay:nats","log":"log-a","position":"000000000000001f"}`, string(good))
	for cut := range len(good) - 1 { // the last byte is a line's end
		require.NoError(t, os.WriteFile(path, good[:cut], 0o600))
		_, err := f.Load(t.Context(), "relay:nats")
		require.ErrorIs(t, err, domain.ErrCorrupt, "%q", good[:cut])
		require.ErrorContains(t, err, path)
		require.ErrorIs(t, f.Save(t.Context(), "relay:nats", 0x1f, 0x20), domain.ErrCorrupt)
	}
	for _, text := range []string{
		`{"name":"other","log":"log-a","position":"000000000000001f"}`, `{"name":"relay:nats","position":"000000000000001f"}`,
		`{"name":"relay:nats","log":"log-a","position":"00000000000000zz"}`, `{"name":"relay:nats","log":"log-a","position":"1f"}`, `[]`, "\x00\x00",
	} {
		require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
		_, err := f.Load(t.Context(), "relay:nats")
		require.ErrorIs(t, err, domain.ErrCorrupt, text)
	}
}

func TestFiles_AFolderThatCannotBeWritten(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	require.NoError(t, os.WriteFile(path, nil, 0o600))
	_, err := checkpoints.Open(path, "log-a")
	require.ErrorIs(t, err, domain.ErrUnavailable)

	dir := t.TempDir()
	f, err := checkpoints.Open(dir, "log-a")
	require.NoError(t, err)
	require.NoError(t, os.RemoveAll(dir))
	require.ErrorIs(t, f.Save(t.Context(), "a", 0, 1), domain.ErrUnavailable)
}
