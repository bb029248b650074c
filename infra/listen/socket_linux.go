package listen

import (
	"syscall"

	"golang.org/x/sys/unix"
)

// shutIfIdle ends listening if no complete connection waits to be accepted, and reports whether it has.
//
// Both in one go, since whoever connects in between is reset: net's Close takes much longer, because
// it first wakes the goroutine that accepts.
func shutIfIdle(raw syscall.RawConn) (shut bool) {
	err := raw.Control(func(fd uintptr) {
		waiting, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, 0)
		if err == nil && waiting == 0 {
			shut = unix.Shutdown(int(fd), unix.SHUT_RD) == nil
		}
	})
	return shut || err != nil
}
