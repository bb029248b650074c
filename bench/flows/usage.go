package flows

import (
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Usage is what processes have used so far.
type Usage struct {
	at           time.Time
	server, load time.Duration // CPU time
}

// Usage reads what the server and this process have used.
func (s *Server) Usage() (Usage, error) {
	u := Usage{at: time.Now()}
	var err error
	if u.server, err = cpuTime(s.cmd.Process.Pid); err != nil {
		return u, err
	}
	var own syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &own); err != nil {
		return u, err
	}
	u.load = time.Duration(own.Utime.Nano() + own.Stime.Nano())
	return u, nil
}

// Shares are the shares of all cores' time that the server and this process used since before.
func (u Usage) Shares(before Usage) (server, load float64) {
	cores := u.at.Sub(before.at).Seconds() * float64(runtime.NumCPU())
	return (u.server - before.server).Seconds() / cores, (u.load - before.load).Seconds() / cores
}

// ticksPerSecond is USER_HZ, 100 on every Linux.
const ticksPerSecond = 100

func cpuTime(pid int) (time.Duration, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, err
	}
	// The name in parentheses may hold anything; behind it utime and stime are the 12th and 13th.
	_, rest, _ := strings.Cut(string(b), ") ")
	fields := strings.Fields(rest)
	if len(fields) < 13 {
		return 0, fmt.Errorf("/proc/%d/stat: %q", pid, b)
	}
	var ticks int64
	for _, f := range fields[11:13] {
		n, err := strconv.ParseInt(f, 10, 64)
		if err != nil {
			return 0, err
		}
		ticks += n
	}
	return time.Duration(ticks) * time.Second / ticksPerSecond, nil
}

// RSS is the server's resident memory in bytes.
func (s *Server) RSS() (int64, error) {
	kib, err := s.field("status", "VmRSS:")
	return kib << 10, err
}

// field reads a number from a file of the server's folder in /proc.
func (s *Server) field(file, key string) (int64, error) {
	name := fmt.Sprintf("/proc/%d/%s", s.cmd.Process.Pid, file)
	b, err := os.ReadFile(name)
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(b)) {
		if value, ok := strings.CutPrefix(line, key); ok {
			return strconv.ParseInt(strings.Fields(value)[0], 10, 64)
		}
	}
	return 0, fmt.Errorf("%s: no %s", name, key)
}

// settle is how long a server is left alone before its memory is read.
const settle = 2 * time.Second

// SettledRSS is RSS after a while of rest.
func (s *Server) SettledRSS() (int64, error) {
	time.Sleep(settle)
	return s.RSS()
}
