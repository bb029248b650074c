//go:build unix

package debian

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// A system that has the browser under another name installs nothing.
func TestProgram_IsFoundUnderEachOfItsNames(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("PATH", dir)
	_, found := lookUp([]string{"chromium", "google-chrome"})
	require.False(t, found)
	chrome := filepath.Join(dir, "google-chrome")
	require.NoError(t, os.WriteFile(chrome, []byte("#!/bin/sh\n"), 0o700))
	path, err := Program("no-such-package", "chromium", "google-chrome")
	require.NoError(t, err)
	require.Equal(t, chrome, path)
}
