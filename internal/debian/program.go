//go:build unix

// Package debian finds programs that tests need, and installs their packages where it may.
package debian

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
)

// Program finds one of names in the PATH, or installs the Debian package and looks again.
func Program(pkg string, names ...string) (string, error) {
	if path, ok := lookUp(names); ok {
		return path, nil
	}
	if err := install(pkg, names); err != nil {
		return "", fmt.Errorf("no %s in the PATH: %w", strings.Join(names, ", "), err)
	}
	if path, ok := lookUp(names); ok {
		return path, nil
	}
	return "", fmt.Errorf("apt-get installed %s, but none of %s is in the PATH", pkg, strings.Join(names, ", "))
}

func lookUp(names []string) (string, bool) {
	for _, name := range names {
		if path, err := exec.LookPath(name); err == nil {
			return path, true
		}
	}
	return "", false
}

// install installs a Debian package. Several test binaries may come here at once: the first installs,
// the others wait for the lock and find it done.
func install(pkg string, names []string) error {
	if os.Geteuid() != 0 {
		return fmt.Errorf("install it (Debian: sudo apt-get install --no-install-recommends %s), or run the tests as root once", pkg)
	}
	lock, err := os.OpenFile(filepath.Join(os.TempDir(), "quipu-debian-install.lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return err
	}
	defer func() { _ = lock.Close() }() // only a lock
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX); err != nil {
		return fmt.Errorf("lock %s: %w", lock.Name(), err)
	}
	if _, ok := lookUp(names); ok {
		return nil
	}
	if _, err := exec.LookPath("apt-get"); err != nil {
		return errors.New("install it; this system has no apt-get to do it with")
	}
	args := []string{"-o", "DPkg::Lock::Timeout=300", "install", "-y", "-q", "--no-install-recommends", pkg}
	if _, err := apt(args...); err == nil {
		return nil // the package lists were there
	}
	if out, err := apt("-q", "update"); err != nil {
		return fmt.Errorf("apt-get update: %w\n%s", err, out)
	}
	if out, err := apt(args...); err != nil {
		return fmt.Errorf("apt-get install %s: %w\n%s", pkg, err, out)
	}
	return nil
}

func apt(args ...string) ([]byte, error) {
	cmd := exec.Command("apt-get", args...)
	cmd.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive")
	out, err := cmd.CombinedOutput()
	return bytes.TrimSpace(out), err
}
