//go:build unix

package pgtest

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"
)

// packaged is where Debian and Ubuntu keep the servers of each major version.
const packaged = "/usr/lib/postgresql/*/bin"

// binaries returns the folder of initdb and postgres, installing them first if it must.
func binaries() (string, error) {
	if dir, ok := find(packaged); ok {
		return dir, nil
	}
	if err := install(); err != nil {
		return "", fmt.Errorf("no PostgreSQL server in %s nor in the PATH: %w", packaged, err)
	}
	if dir, ok := find(packaged); ok {
		return dir, nil
	}
	return "", fmt.Errorf("apt-get installed postgresql, but no server is in %s", packaged)
}

// find returns the folder of the newest major version that matches pattern, else that of the PATH.
func find(pattern string) (dir string, ok bool) {
	dirs, _ := filepath.Glob(pattern) // fails only on a bad pattern
	best := -1
	for _, d := range dirs {
		major, err := strconv.Atoi(filepath.Base(filepath.Dir(d)))
		if err != nil || major <= best || !executable(filepath.Join(d, "initdb")) || !executable(filepath.Join(d, "postgres")) {
			continue
		}
		best, dir = major, d
	}
	if best >= 0 {
		return dir, true
	}
	initdb, err := exec.LookPath("initdb")
	if err != nil {
		return "", false
	}
	dir = filepath.Dir(initdb)
	return dir, executable(filepath.Join(dir, "postgres"))
}

func executable(name string) bool {
	info, err := os.Stat(name)
	return err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0
}

// install installs the Debian package. Several test binaries may come here at once: the first installs,
// the others wait for the lock and find it done.
func install() error {
	if os.Geteuid() != 0 {
		return errors.New("install the package postgresql (Debian: sudo apt-get install --no-install-recommends postgresql), or run the tests as root once")
	}
	lock, err := os.OpenFile(filepath.Join(os.TempDir(), "quipu-postgresql-install.lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return err
	}
	defer lock.Close() //nolint:errcheck // only a lock
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX); err != nil {
		return fmt.Errorf("lock %s: %w", lock.Name(), err)
	}
	if _, ok := find(packaged); ok {
		return nil
	}
	if _, err := exec.LookPath("apt-get"); err != nil {
		return errors.New("install a PostgreSQL server; this system has no apt-get to do it with")
	}
	args := []string{"-o", "DPkg::Lock::Timeout=300", "install", "-y", "-q", "--no-install-recommends", "postgresql"}
	if _, err := apt(args...); err == nil {
		return nil // the package lists were there
	}
	if out, err := apt("-q", "update"); err != nil {
		return fmt.Errorf("apt-get update: %w\n%s", err, out)
	}
	if out, err := apt(args...); err != nil {
		return fmt.Errorf("apt-get install postgresql: %w\n%s", err, out)
	}
	return nil
}

func apt(args ...string) ([]byte, error) {
	cmd := exec.Command("apt-get", args...)
	cmd.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive")
	out, err := cmd.CombinedOutput()
	return bytes.TrimSpace(out), err
}

// account is who runs the server: postgres if we are root, else ourselves (nil).
func account() (*syscall.Credential, error) {
	if os.Geteuid() != 0 {
		return nil, nil
	}
	u, err := user.Lookup("postgres")
	if err != nil {
		return nil, fmt.Errorf("a PostgreSQL server refuses to run as root: %w", err)
	}
	uid, err := strconv.ParseUint(u.Uid, 10, 32)
	if err != nil {
		return nil, err
	}
	gid, err := strconv.ParseUint(u.Gid, 10, 32)
	if err != nil {
		return nil, err
	}
	return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, nil
}
