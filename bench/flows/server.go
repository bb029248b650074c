package flows

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

// Build builds the server from the module at root to the file bin. With profiled it can write a CPU
// profile (Server.Options), by a file that only this build has.
func Build(root, bin string, profiled bool) error {
	args := []string{"build", "-trimpath", "-o", bin}
	if profiled {
		overlay, err := profiler(filepath.Dir(bin), root)
		if err != nil {
			return err
		}
		args = append(args, "-overlay", overlay)
	}
	cmd := exec.Command("go", append(args, ".")...)
	cmd.Dir, cmd.Env, cmd.Stderr = root, append(os.Environ(), "CGO_ENABLED=0"), os.Stderr
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("build the server: %w", err)
	}
	return nil
}

// profileVariable names the profile's file to a profiled build. SIGUSR1 begins the profile and
// SIGUSR2 ends it.
const profileVariable = "BENCH_CPUPROFILE"

const profilerSource = `package main

import (
	"os"
	"os/signal"
	"runtime/pprof"
	"syscall"
)

func init() {
	name := os.Getenv("` + profileVariable + `")
	if name == "" {
		return
	}
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGUSR1, syscall.SIGUSR2)
	go func() {
		var f *os.File
		for s := range signals {
			if s == syscall.SIGUSR1 {
				f, _ = os.Create(name)
				_ = pprof.StartCPUProfile(f)
				continue
			}
			pprof.StopCPUProfile()
			_ = f.Close()
		}
	}()
}
`

func profiler(dir, root string) (overlay string, err error) {
	source := filepath.Join(dir, "profiler.go.txt")
	if err := os.WriteFile(source, []byte(profilerSource), 0o600); err != nil {
		return "", err
	}
	if root, err = filepath.Abs(root); err != nil {
		return "", err
	}
	b, err := json.Marshal(map[string]any{"Replace": map[string]string{filepath.Join(root, "bench_profiler.go"): source}})
	if err != nil {
		return "", err
	}
	overlay = filepath.Join(dir, "overlay.json")
	return overlay, os.WriteFile(overlay, b, 0o600)
}

// Server is a running server process.
type Server struct {
	Addr string
	// Ready is how long it took from the process's start until /health/ready answered 200.
	Ready time.Duration
	// Began is when the process was started.
	Began  time.Time
	cmd    *exec.Cmd
	log    *tail
	exited chan error
}

// Options of Start.
type Options struct {
	Bin, Data string
	// Profile is where a profiled build writes what is between BeginProfile and EndProfile.
	Profile string
	// Command is what the process does; empty: "serve".
	Command []string
	// Args go to the command beside the address and the data folder.
	Args []string
}

// readyTimeout bounds a start; recovery of a large log takes part of it.
const readyTimeout = 2 * time.Minute

// Start starts a server and returns when it is ready.
func Start(o Options) (*Server, error) {
	args := []string{"serve"}
	if o.Command != nil {
		args = slices.Clone(o.Command)
	}
	args = append(args, "--addr=127.0.0.1:0", "--data="+o.Data, "--log-format=json")
	cmd := exec.Command(o.Bin, append(args, o.Args...)...)
	if o.Profile != "" {
		cmd.Env = append(os.Environ(), profileVariable+"="+o.Profile)
	}
	stderr, err := cmd.StderrPipe()
	if err != nil {
		return nil, err
	}
	s := &Server{cmd: cmd, log: &tail{}, exited: make(chan error, 1)}
	s.Began = time.Now()
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	addr := make(chan string, 1)
	go func() {
		s.log.follow(stderr, addr)
		s.exited <- cmd.Wait()
	}()
	select {
	case s.Addr = <-addr:
	case err := <-s.exited:
		return nil, fmt.Errorf("server ended: %v\n%s", err, s.log)
	case <-time.After(readyTimeout):
		_ = s.Kill()
		return nil, fmt.Errorf("server is not ready after %s\n%s", readyTimeout, s.log)
	}
	if err := s.awaitReady(); err != nil {
		_ = s.Kill()
		return nil, fmt.Errorf("%w\n%s", err, s.log)
	}
	s.Ready = time.Since(s.Began)
	return s, nil
}

func (s *Server) awaitReady() error {
	c, err := Dial(s.Addr)
	if err != nil {
		return err
	}
	defer c.Close()
	for range 1000 {
		_, err = c.Get("/health/ready")
		var status *StatusError
		if !errors.As(err, &status) {
			return err
		}
		time.Sleep(time.Millisecond)
	}
	return err
}

// stopTimeout is longer than the server's own budget.
const stopTimeout = 20 * time.Second

// Stop ends the server in order.
func (s *Server) Stop() error {
	if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	select {
	case err := <-s.exited:
		if err != nil {
			return fmt.Errorf("server ended: %w\n%s", err, s.log)
		}
		return nil
	case <-time.After(stopTimeout):
		_ = s.Kill()
		return fmt.Errorf("server did not stop in %s\n%s", stopTimeout, s.log)
	}
}

// Kill ends the process without notice, as kill -9 does, and returns when it is gone.
func (s *Server) Kill() error {
	if err := s.cmd.Process.Kill(); err != nil {
		return err
	}
	<-s.exited
	return nil
}

// BeginProfile and EndProfile do nothing to a server that was not built for it by Build.
func (s *Server) BeginProfile() error { return s.cmd.Process.Signal(syscall.SIGUSR1) }

// EndProfile ends what BeginProfile began.
func (s *Server) EndProfile() error {
	err := s.cmd.Process.Signal(syscall.SIGUSR2)
	time.Sleep(200 * time.Millisecond) // until the file is written
	return err
}

// Warnings are the lines the server logged at warn or above, the newest ones.
func (s *Server) Warnings() []string { return s.log.warnings() }

// tail keeps the newest lines of a server's log.
type tail struct{ lines lines }

// follow reads until the end and tells the address once.
func (t *tail) follow(r io.Reader, addr chan<- string) {
	scanner := bufio.NewScanner(r)
	scanner.Buffer(nil, 1<<20)
	for scanner.Scan() {
		line := scanner.Text()
		t.lines.add(line)
		var entry struct{ Msg, Addr string }
		if strings.Contains(line, `"serving`) && json.Unmarshal([]byte(line), &entry) == nil && (entry.Msg == "serving" || entry.Msg == "serving a log") {
			addr <- entry.Addr
		}
	}
}

func (t *tail) String() string { return strings.Join(t.lines.all(), "\n") }

func (t *tail) warnings() []string {
	var out []string
	for _, line := range t.lines.all() {
		if strings.Contains(line, `"level":"WARN"`) || strings.Contains(line, `"level":"ERROR"`) {
			out = append(out, line)
		}
	}
	return out
}
