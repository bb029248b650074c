package logtest_test

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"quipu/commands"
	"quipu/commands/logtest"
	"quipu/infra/memory"
)

// keeping is a memory log that survives Close, for the cases that reopen.
func keeping(_ testing.TB, l commands.Log) commands.Log { return l }

// The suite accepts a right log; without this, failing for every log would look like proof.
func TestSuite_AcceptsARightLog(t *testing.T) {
	failures := runSuite(t, func(testing.TB) commands.Log { return memory.NewLog() },
		logtest.Capabilities{Durable: true, Reopen: keeping})
	require.Empty(t, failures)
}

func TestSuite_RejectsFaultyLogs(t *testing.T) {
	for name, fault := range faults {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			failures := runSuite(t, func(testing.TB) commands.Log {
				f := &faulty{Log: memory.NewLog()}
				fault(f)
				return f
			}, logtest.Capabilities{Wait: 2 * time.Second, SlowOpen: true})
			require.NotEmpty(t, failures, "the suite accepted a log that %s", name)
		})
	}
	for name, reopen := range reopenFaults {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			failures := runSuite(t, func(testing.TB) commands.Log { return memory.NewLog() },
				logtest.Capabilities{Durable: true, Reopen: reopen, Wait: 2 * time.Second})
			require.NotEmpty(t, failures, "the suite accepted a log that %s", name)
		})
	}
}

// runSuite runs every case against a recorder until one fails and returns the names that failed.
func runSuite(t *testing.T, open func(testing.TB) commands.Log, caps logtest.Capabilities) (failed []string) {
	for _, c := range logtest.Cases() {
		if c.Durable != caps.Durable && c.Durable {
			continue
		}
		r := &recorder{TB: t, ctx: t.Context()}
		r.run(func() { logtest.RunCase(r, c, open, caps) })
		if r.Failed() {
			return append(failed, c.Name)
		}
	}
	return nil
}

// recorder is a testing.TB that notes failures instead of failing the test it runs in.
type recorder struct {
	testing.TB
	ctx context.Context

	mu       sync.Mutex
	failed   bool
	messages []string
	cleanups []func()
	dirs     int
}

// run calls f on a goroutine of its own, since FailNow ends that.
func (r *recorder) run(f func()) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer r.cleanup()
		defer func() {
			if p := recover(); p != nil { // a case may trip over what a faulty log returns
				r.Errorf("panic: %v", p)
			}
		}()
		f()
	}()
	<-done
}

func (r *recorder) cleanup() {
	for {
		r.mu.Lock()
		n := len(r.cleanups)
		if n == 0 {
			r.mu.Unlock()
			return
		}
		last := r.cleanups[n-1]
		r.cleanups = r.cleanups[:n-1]
		r.mu.Unlock()
		last()
	}
}

func (r *recorder) Errorf(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.failed = true
	r.messages = append(r.messages, fmt.Sprintf(format, args...))
}

func (r *recorder) Error(args ...any) { r.Errorf("%s", fmt.Sprint(args...)) }
func (r *recorder) Fail()             { r.Errorf("failed") }
func (r *recorder) FailNow()          { r.Fail(); runtime.Goexit() }
func (r *recorder) Fatal(args ...any) { r.Error(args...); runtime.Goexit() }
func (r *recorder) Fatalf(format string, args ...any) {
	r.Errorf(format, args...)
	runtime.Goexit()
}
func (r *recorder) Log(...any)               {}
func (r *recorder) Logf(string, ...any)      {}
func (r *recorder) Helper()                  {}
func (r *recorder) Name() string             { return "recorded" }
func (r *recorder) Context() context.Context { return r.ctx }
func (r *recorder) Output() io.Writer        { return io.Discard }

func (r *recorder) Cleanup(f func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.cleanups = append(r.cleanups, f)
}

func (r *recorder) Failed() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.failed
}

func (r *recorder) TempDir() string {
	r.dirs++
	dir := filepath.Join(r.TB.TempDir(), fmt.Sprint(r.dirs))
	if err := os.MkdirAll(dir, 0o700); err != nil {
		r.Fatal(err)
	}
	return dir
}
