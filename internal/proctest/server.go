package proctest

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// Options say how a server is started. The zero value is right for most tests.
type Options struct {
	// Data is the data folder; empty makes one that is removed unless the test fails.
	Data string
	// Command is what the process is to do; empty: "serve".
	Command []string
	// Addr is where it listens; empty: a free port of the loopback address.
	Addr string
	// Args follow "serve --addr … --data …".
	Args []string
	// Shell is put in front of the server's exec in a shell, such as "ulimit -f 4096".
	Shell string
}

// Server is one process of the binary.
type Server struct {
	Data    string
	Started time.Time

	t      testing.TB
	cmd    *exec.Cmd
	output *output
	ready  chan struct{}
	addr   string // set before ready is closed
	exited chan struct{}
	err    error // of Wait, set before exited is closed
}

// newest is the server started last, by test: the one whose log is worth printing.
var newest sync.Map

// DataFolder makes a folder that is removed at the end, unless the test failed.
func DataFolder(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "quipu-data-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("data folder kept: %s", dir)
			return
		}
		_ = os.RemoveAll(dir)
	})
	return dir
}

// environment of every child: nothing of the caller's that could be a setting.
func environment() []string {
	var env []string
	for _, e := range os.Environ() {
		if !strings.HasPrefix(e, "QUIPU_") {
			env = append(env, e)
		}
	}
	return env
}

// Start starts a server and returns at once; see Ready. It is killed at the end of the test. A panic or a
// data race in its output fails the test.
func Start(t testing.TB, o Options) *Server {
	t.Helper()
	if o.Data == "" {
		o.Data = DataFolder(t)
	}
	if o.Command == nil {
		o.Command = []string{"serve"}
	}
	if o.Addr == "" {
		o.Addr = "127.0.0.1:0"
	}
	args := append(slices.Clone(o.Command), "--addr", o.Addr, "--data", o.Data, "--log-format", "json")
	args = append(args, o.Args...)
	cmd := exec.Command(Binary(t), args...)
	if o.Shell != "" {
		cmd = exec.Command("/bin/sh", append([]string{"-c", o.Shell + `; exec "$0" "$@"`, Binary(t)}, args...)...)
	}
	s := &Server{
		Data: o.Data, t: t, cmd: cmd, output: &output{}, Started: time.Now(),
		ready: make(chan struct{}), exited: make(chan struct{}),
	}
	cmd.Env = environment()
	cmd.Stdout = s.output
	stderr, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	newest.Store(t.Name(), s)
	go s.follow(stderr)
	t.Cleanup(s.cleanup)
	return s
}

// follow reads the log until the process closes it, then collects the exit code.
func (s *Server) follow(stderr io.Reader) {
	lines := bufio.NewReader(io.TeeReader(stderr, s.output))
	found := false
	for {
		line, err := lines.ReadBytes('\n')
		if !found {
			var entry struct{ Msg, Addr string }
			if json.Unmarshal(line, &entry) == nil && (entry.Msg == "serving" || entry.Msg == "serving a log") {
				s.addr, found = entry.Addr, true
				close(s.ready)
			}
		}
		if err != nil {
			break
		}
	}
	s.err = s.cmd.Wait()
	close(s.exited)
}

func (s *Server) cleanup() {
	s.Kill()
	out := s.Output()
	for _, bad := range []string{"DATA RACE", "panic:", "fatal error:", " panicked"} {
		if strings.Contains(out, bad) {
			s.t.Errorf("the server's output has %q:\n%s", bad, around(out, bad))
		}
	}
	last, _ := newest.Load(s.t.Name())
	if s.t.Failed() && (last == s || strings.Contains(out, `"level":"ERROR"`)) {
		s.t.Logf("end of the log of the server started at %s on %s:\n%s", s.Started.Format("15:04:05.000"), s.Data, tail(out, 40))
	}
}

func around(s, what string) string {
	at := strings.Index(s, what)
	return s[max(0, at-2000):min(len(s), at+4000)]
}

func tail(s string, lines int) string {
	all := strings.Split(strings.TrimRight(s, "\n"), "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}

// Output is all that the process has written so far, to standard output and standard error.
func (s *Server) Output() string { return s.output.String() }

// readyLimit is generous: a machine under load with the race detector is slow.
const readyLimit = 60 * time.Second

// Ready waits until the server takes requests and returns how long after its start that was.
func (s *Server) Ready() time.Duration {
	s.t.Helper()
	select {
	case <-s.ready:
		return time.Since(s.Started)
	case <-s.exited:
		s.t.Fatalf("the server ended before it was ready: %v\n%s", s.err, tail(s.Output(), 20))
	case <-time.After(readyLimit):
		s.t.Fatalf("the server is not ready after %s\n%s", readyLimit, tail(s.Output(), 20))
	}
	return 0
}

// IsReady reports whether the server takes requests.
func (s *Server) IsReady() bool {
	select {
	case <-s.ready:
		return true
	default:
		return false
	}
}

// WhenReady is closed when the server takes requests.
func (s *Server) WhenReady() <-chan struct{} { return s.ready }

// Addr is host:port of a server that is ready.
func (s *Server) Addr() string {
	s.Ready()
	return s.addr
}

// Kill ends the process as a power cut would and waits until it is gone.
func (s *Server) Kill() {
	_ = s.cmd.Process.Signal(syscall.SIGKILL)
	<-s.exited
}

// Signal sends sig.
func (s *Server) Signal(sig syscall.Signal) { _ = s.cmd.Process.Signal(sig) }

// Exited is closed when the process has ended.
func (s *Server) Exited() <-chan struct{} { return s.exited }

// ExitCode waits for the end of the process, at most limit, and returns its code.
func (s *Server) ExitCode(limit time.Duration) int {
	s.t.Helper()
	select {
	case <-s.exited:
	case <-time.After(limit):
		s.t.Fatalf("the server has not ended within %s\n%s", limit, tail(s.Output(), 30))
	}
	var exit *exec.ExitError
	if s.err == nil {
		return 0
	}
	if errors.As(s.err, &exit) {
		return exit.ExitCode()
	}
	s.t.Fatalf("the server: %v", s.err)
	return -1
}

// Stop asks the process to end in order and expects that it does.
func (s *Server) Stop() {
	s.t.Helper()
	s.Signal(syscall.SIGTERM)
	if code := s.ExitCode(30 * time.Second); code != 0 {
		s.t.Errorf("exit code %d after SIGTERM\n%s", code, tail(s.Output(), 30))
	}
}

// RSSPeak is the most memory the process has held so far, in bytes; 0 if the system does not tell.
func (s *Server) RSSPeak() int64 {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.cmd.Process.Pid))
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(b)) {
		var kb int64
		if _, err := fmt.Sscanf(line, "VmHWM: %d kB", &kb); err == nil {
			return kb << 10
		}
	}
	return 0
}

// Run runs the binary with args to its end and returns its exit code and all of its output.
func Run(t testing.TB, args ...string) (code int, out string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), Binary(t), args...)
	cmd.Env = environment()
	b, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	switch {
	case err == nil:
		return 0, string(b)
	case errors.As(err, &exit):
		return exit.ExitCode(), string(b)
	}
	t.Fatalf("quipu %s: %v", strings.Join(args, " "), err)
	return -1, ""
}

// output is a buffer that a process writes to while a test reads it.
type output struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (o *output) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.Write(b)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.String()
}
