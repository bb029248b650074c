package backup

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"quipu/domain"
	"quipu/infra/durable"
)

// Names a person may give for a target that would be wrong, and what they are told.
func TestBegin_Refusals(t *testing.T) {
	root := t.TempDir()
	data := filepath.Join(root, "data")
	require.NoError(t, os.MkdirAll(filepath.Join(data, "log"), 0o700))
	require.NoError(t, os.Symlink(data, filepath.Join(root, "link")))
	full := filepath.Join(root, "full")
	require.NoError(t, os.Mkdir(full, 0o700))
	require.NoError(t, os.WriteFile(filepath.Join(full, "notes"), nil, 0o600))
	for to, want := range map[string]string{
		data:                                 "lies within",
		filepath.Join(data, "log", "x", "y"): "lies within",
		filepath.Join(root, "link", "x"):     "lies within",
		filepath.Join(root, "full", "..", "data", "b"): "lies within",
		full:                         "is not empty",
		filepath.Join(full, "notes"): "is not a folder",
	} {
		_, err := Begin(data, to)
		require.ErrorIs(t, err, domain.ErrInvalid, to)
		require.ErrorContains(t, err, want, to)
		var e *domain.Error
		require.ErrorAs(t, err, &e)
		require.Equal(t, "to", e.Field)
	}
	// Beside the source is fine, also with a name that begins like it.
	for _, to := range []string{data + "-backup", filepath.Join(root, "a", "b", "c")} {
		_, err := Begin(data, to)
		require.NoError(t, err)
	}
}

// From its first file to its last a backup is known as not complete; then it is known as complete.
func TestTarget_PartialUntilFinished(t *testing.T) {
	data, to := t.TempDir(), filepath.Join(t.TempDir(), "b")
	target, err := Begin(data, to)
	require.NoError(t, err)
	_, _, err = Read(to)
	require.ErrorIs(t, err, domain.ErrRefused)
	require.ErrorContains(t, err, "broken off")
	_, err = Begin(data, to)
	require.ErrorIs(t, err, domain.ErrInvalid)
	require.ErrorContains(t, err, "broken off; remove it")

	require.NoError(t, os.Mkdir(filepath.Join(to, "log"), 0o700))
	require.NoError(t, os.WriteFile(filepath.Join(to, "log", "META"), []byte("abc"), 0o600))
	m := Manifest{Quipu: "v", CreatedAt: "2026-01-02T03:04:05Z", SourceLog: "id", Head: 7, Blobs: 2, BlobBytes: 10}
	m.Add("log", []durable.Copied{{Name: "META", Bytes: 3, SHA256: "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"}})
	require.NoError(t, target.Finish(m))
	got, found, err := Read(to)
	require.NoError(t, err)
	require.True(t, found)
	m.Format = Format
	require.Equal(t, m, got)
	require.Equal(t, int64(13), got.Bytes())
	require.NoError(t, got.CheckSizes(to))
	problems := 0
	require.NoError(t, got.VerifyFiles(t.Context(), to, func(string) { problems++ }))
	require.Zero(t, problems)
	require.NoError(t, got.CheckBlobs(to, 3, 11))
	require.ErrorIs(t, got.CheckBlobs(to, 1, 10), domain.ErrCorrupt)

	require.NoError(t, os.WriteFile(filepath.Join(to, "log", "META"), []byte("abd"), 0o600))
	require.NoError(t, got.CheckSizes(to))
	require.NoError(t, got.VerifyFiles(t.Context(), to, func(p string) { require.Contains(t, p, "log/META"); problems++ }))
	require.Equal(t, 1, problems)
	require.NoError(t, os.WriteFile(filepath.Join(to, "log", "META"), []byte("ab"), 0o600))
	require.ErrorContains(t, got.CheckSizes(to), "has 2 bytes")
	require.NoError(t, os.Remove(filepath.Join(to, "log", "META")))
	require.ErrorContains(t, got.CheckSizes(to), "is missing")

	require.NoError(t, Opened(to))
	require.NoError(t, Opened(to), "twice, and of what is no backup")
	_, found, err = Read(to)
	require.NoError(t, err)
	require.False(t, found)
}

// A manifest is read from a disk that may hold anything.
func TestRead_BadManifests(t *testing.T) {
	for content, want := range map[string]string{
		"":             "is not the manifest",
		"[1]":          "is not the manifest",
		`{"format":2}`: "is of format 2",
		`{"format":1,"files":[{"name":"../../etc/passwd"}]}`: "outside of the backup",
		`{"format":1,"files":[{"name":"/etc/passwd"}]}`:      "outside of the backup",
	} {
		dir := t.TempDir()
		require.NoError(t, os.WriteFile(filepath.Join(dir, manifestName), []byte(content), 0o600))
		_, _, err := Read(dir)
		require.ErrorIs(t, err, domain.ErrCorrupt, content)
		require.ErrorContains(t, err, want)
	}
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, manifestName), nil, 0o600))
	require.NoError(t, os.Truncate(filepath.Join(dir, manifestName), ManifestBytesMax+1))
	_, _, err := Read(dir)
	require.ErrorContains(t, err, "at most")
	_, found, err := Read(filepath.Join(dir, "none"))
	require.NoError(t, err)
	require.False(t, found)
}
