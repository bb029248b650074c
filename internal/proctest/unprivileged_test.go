package proctest

import (
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

// nobody is a user without rights on most systems.
const nobody = 65534

// runUnprivileged is Run as a user whom file modes stop: root's are not.
func runUnprivileged(t testing.TB, args ...string) (code int, out string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), Binary(t), args...)
	cmd.Env = environment()
	if os.Geteuid() == 0 {
		require.NoError(t, os.Chmod(filepath.Dir(Binary(t)), 0o755))
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
	}
	b, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return exit.ExitCode(), string(b)
	}
	require.NoError(t, err)
	return 0, string(b)
}

// chmod takes bits from everything below dir, or gives them back. Everybody may read and enter.
func chmod(t testing.TB, dir string, bits fs.FileMode, give bool) {
	t.Helper()
	require.NoError(t, filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		mode := fs.FileMode(0o444)
		if d.IsDir() {
			mode = 0o555
		}
		if give {
			mode |= bits & 0o200
		}
		return os.Chmod(path, mode)
	}))
}
