//go:build unix

package pgtest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
)

const (
	initTimeout  = 60 * time.Second // of initdb; 1 s on an idle machine
	startTimeout = 60 * time.Second // until a server answers, recovery included
	stopTimeout  = 30 * time.Second // of a clean stop
	dialTimeout  = 2 * time.Second
	pollPeriod   = 5 * time.Millisecond
)

// Restart starts a stopped or killed server again, recovers it, and waits until it answers.
func (s *Server) Restart() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cmd != nil {
		return errors.New("the server runs already")
	}
	deadline := time.Now().Add(startTimeout)
	var last error
	err := poll(deadline, func() (bool, error) {
		last = s.start(deadline)
		// After a kill, processes of the old server may hold its memory for a moment.
		if last != nil && strings.Contains(last.Error(), "still in use") {
			return false, nil
		}
		return true, last
	})
	return errors.Join(err, last)
}

// start makes one attempt. The lock is held.
func (s *Server) start(deadline time.Time) error {
	logName := filepath.Join(s.dir, "log")
	log, err := os.Create(logName)
	if err != nil {
		return err
	}
	cmd := s.command(context.Background(), "postgres", "-D", s.data(), "-p", strconv.Itoa(s.port))
	cmd.Stdout, cmd.Stderr = log, log // a file: no goroutine copies
	err = cmd.Start()
	_ = log.Close()
	if err != nil {
		return err
	}
	err = poll(deadline, func() (bool, error) {
		if exited(cmd) {
			text, _ := os.ReadFile(logName)
			return false, fmt.Errorf("postgres ended at its start: %s", bytes.TrimSpace(text))
		}
		return s.answers(), nil
	})
	if err != nil {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		return err
	}
	s.cmd = cmd
	return nil
}

// exited looks without waiting; it leaves the process to Wait.
func exited(cmd *exec.Cmd) bool {
	stat, err := os.ReadFile("/proc/" + strconv.Itoa(cmd.Process.Pid) + "/stat")
	if err == nil {
		i := bytes.LastIndexByte(stat, ')')
		return i >= 0 && bytes.HasPrefix(stat[i+1:], []byte(" Z"))
	}
	return cmd.Process.Signal(syscall.Signal(0)) != nil
}

func (s *Server) answers() bool {
	ctx, cancel := context.WithTimeout(context.Background(), dialTimeout)
	defer cancel()
	conn, err := pgx.Connect(ctx, s.URL(""))
	if err != nil {
		return false
	}
	return conn.Close(ctx) == nil
}

// Stop ends the server cleanly, as a package upgrade would: clients are cut off, a checkpoint is
// written. Stopping a stopped server does nothing.
func (s *Server) Stop() error { return s.signal(syscall.SIGINT) }

// Kill ends the server and the processes of its connections at once with SIGKILL. What was committed
// is in the system's cache, so that a Restart must find it.
func (s *Server) Kill() error { return s.signal(syscall.SIGKILL) }

func (s *Server) signal(sig syscall.Signal) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cmd == nil {
		return nil
	}
	pids := []int{s.cmd.Process.Pid}
	if sig == syscall.SIGKILL {
		pids = append(pids, children(pids[0])...)
	}
	for _, pid := range pids {
		_ = syscall.Kill(pid, sig) // it may be gone already
	}
	// A killed server is reaped in no time; one that will not stop is killed, and that is an error.
	timer := time.AfterFunc(stopTimeout, func() { _ = s.cmd.Process.Kill() })
	_ = s.cmd.Wait() // the exit status says how we ended it
	s.cmd = nil
	if !timer.Stop() {
		return fmt.Errorf("postgres did not stop within %v and was killed", stopTimeout)
	}
	return nil
}

// children are the processes that the server forked (Linux; elsewhere they notice its death by
// themselves).
func children(pid int) []int {
	p := strconv.Itoa(pid)
	text, _ := os.ReadFile("/proc/" + p + "/task/" + p + "/children")
	var out []int
	for field := range strings.FieldsSeq(string(text)) {
		if n, err := strconv.Atoi(field); err == nil {
			out = append(out, n)
		}
	}
	return out
}

// Pause stops the server's processes where they stand, so that it takes connections and never
// answers; the function returned lets them go on.
func (s *Server) Pause() (resume func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cmd == nil {
		return func() {}
	}
	pids := append([]int{s.cmd.Process.Pid}, children(s.cmd.Process.Pid)...)
	for _, pid := range pids {
		_ = syscall.Kill(pid, syscall.SIGSTOP)
	}
	return func() {
		for _, pid := range pids {
			_ = syscall.Kill(pid, syscall.SIGCONT)
		}
	}
}

// Close ends the server and removes its data. It may be called twice.
func (s *Server) Close() error {
	err := s.Kill()
	if closed := s.alive.Close(); errors.Is(closed, os.ErrClosed) {
		return nil
	}
	return errors.Join(err, s.watcher.Wait())
}

// Log returns what the server wrote since its last start.
func (s *Server) Log() string {
	text, err := os.ReadFile(filepath.Join(s.dir, "log"))
	if err != nil {
		return err.Error()
	}
	return string(text)
}

func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	return l.Addr().(*net.TCPAddr).Port, l.Close()
}

// poll asks until it is told yes or an error, or the deadline has passed.
func poll(deadline time.Time, ask func() (bool, error)) error {
	tick := time.NewTicker(pollPeriod)
	defer tick.Stop()
	for {
		if done, err := ask(); done || err != nil {
			return err
		}
		if time.Now().After(deadline) {
			return errors.New("the server did not answer in time")
		}
		<-tick.C
	}
}
