package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// readyLimit is generous: the machine may be busy.
const readyLimit = 30 * time.Second

// server is the product's binary as a process of its own.
type server struct {
	binary, data, logFile string
	addr                  string // as asked for, then as served on

	cmd    *exec.Cmd
	exited chan struct{}
}

// moduleRoot is the folder of the product's module, whatever folder this is called in.
func moduleRoot(ctx context.Context) (string, error) {
	out, err := exec.CommandContext(ctx, "go", "env", "GOMOD").Output()
	if err != nil {
		return "", fmt.Errorf("go env: %w", err)
	}
	file := strings.TrimSpace(string(out))
	if filepath.Base(file) != "go.mod" {
		return "", errors.New("run the demo inside the repository")
	}
	return filepath.Dir(file), nil
}

// build makes the server as make build does.
func build(ctx context.Context, root, into string) error {
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-o", into, ".")
	cmd.Dir, cmd.Env = root, append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("go build: %w\n%s", err, out)
	}
	return nil
}

// environment is the caller's without what would be settings of the server.
func environment() []string {
	var env []string
	for _, e := range os.Environ() {
		if !strings.HasPrefix(e, "QUIPU_") {
			env = append(env, e)
		}
	}
	return env
}

// start runs the server and returns once it is ready. The address it got is kept for later starts.
func (s *server) start(ctx context.Context) (time.Duration, error) {
	began := time.Now()
	log, err := os.OpenFile(s.logFile, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return 0, err
	}
	s.cmd = exec.Command(s.binary, "serve", "--addr", s.addr, "--data", s.data, "--log-format", "json")
	s.cmd.Env = environment()
	// Ctrl-C is for the demo, which then stops the server; a second signal would be a kill.
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	stderr, err := s.cmd.StderrPipe()
	if err == nil {
		err = s.cmd.Start()
	}
	if err != nil {
		_ = log.Close()
		return 0, fmt.Errorf("start the server: %w", err)
	}
	s.exited = make(chan struct{})
	addr := make(chan string, 1)
	go func() {
		defer close(s.exited)
		defer func() { _ = log.Close() }()
		followLog(io.TeeReader(stderr, log), addr)
		_ = s.cmd.Wait()
	}()
	ctx, cancel := context.WithTimeout(ctx, readyLimit)
	defer cancel()
	select {
	case s.addr = <-addr:
	case <-s.exited:
		return 0, fmt.Errorf("the server has ended at once: %s", s.lastLog())
	case <-ctx.Done():
		return 0, fmt.Errorf("the server does not serve: %w: %s", ctx.Err(), s.lastLog())
	}
	err = until(ctx, func() bool { return s.isReady(ctx) })
	if err != nil {
		return 0, fmt.Errorf("the server is not ready: %w: %s", err, s.lastLog())
	}
	return time.Since(began), nil
}

// followLog reads the log to its end; the address that it names goes to addr once.
func followLog(log io.Reader, addr chan<- string) {
	lines := bufio.NewReader(log)
	for found := false; ; {
		line, err := lines.ReadBytes('\n')
		var entry struct{ Msg, Addr string }
		if !found && json.Unmarshal(line, &entry) == nil && entry.Msg == "serving" {
			addr <- entry.Addr
			found = true
		}
		if err != nil {
			return
		}
	}
}

func (s *server) lastLog() string {
	b, _ := os.ReadFile(s.logFile)
	lines := bytes.Split(bytes.TrimSpace(b), []byte("\n"))
	return string(bytes.Join(lines[max(0, len(lines)-3):], []byte("\n")))
}

func (s *server) isReady(ctx context.Context) bool {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+s.addr+"/health/ready", nil)
	if err != nil {
		return false
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return false
	}
	_ = resp.Body.Close()
	return resp.StatusCode == http.StatusOK
}

// kill ends the process as a power cut would.
func (s *server) kill() {
	if s.cmd == nil || s.cmd.Process == nil {
		return
	}
	_ = s.cmd.Process.Kill()
	<-s.exited
}

// stop asks the process to end in order.
func (s *server) stop() error {
	_ = s.cmd.Process.Signal(os.Interrupt)
	select {
	case <-s.exited:
	case <-time.After(readyLimit):
		s.kill()
		return errors.New("the server does not stop when asked")
	}
	if code := s.cmd.ProcessState.ExitCode(); code != 0 {
		return fmt.Errorf("the server stopped with exit code %d: %s", code, s.lastLog())
	}
	return nil
}

// until looks at ok every few milliseconds until it holds or ctx ends.
func until(ctx context.Context, ok func() bool) error {
	ticker := time.NewTicker(10 * time.Millisecond)
	defer ticker.Stop()
	for !ok() {
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}
