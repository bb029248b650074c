package vfs

import (
	"errors"
	"os"
	"syscall"
)

// Datasync retries EINTR only: after any other error nothing is known about the written pages, and
// a second call that succeeds would prove nothing.
func (f osFile) Datasync() error {
	for {
		err := syscall.Fdatasync(int(f.Fd()))
		if !errors.Is(err, syscall.EINTR) {
			return os.NewSyscallError("fdatasync", err)
		}
	}
}
