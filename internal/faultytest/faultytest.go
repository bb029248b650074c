// Package faultytest proves suites: a conformance suite that no faulty adapter can fail proves nothing, so
// each is run over adapters with one fault, and has to fail.
package faultytest

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"testing"
)

// Fails runs a case of a suite to its end, its cleanups included, and reports whether it failed or
// panicked: a case may trip over what a faulty adapter returns. t itself neither fails by that nor prints
// anything; it lends its context and its folders. Safe for concurrent use with a t for each.
func Fails(t testing.TB, run func(testing.TB)) bool {
	r := &recorder{TB: t, ctx: t.Context()}
	done := make(chan struct{})
	go func() { // of its own, since FailNow ends it
		defer close(done)
		defer r.cleanup()
		defer func() {
			if recover() != nil {
				r.Fail()
			}
		}()
		run(r)
	}()
	<-done
	return r.Failed()
}

// recorder is a testing.TB that notes that it failed, instead of failing the test it runs in.
type recorder struct {
	testing.TB
	ctx context.Context

	mu       sync.Mutex
	failed   bool
	cleanups []func()
	dirs     int
}

// cleanup calls the cleanups, the last one first; one may add others.
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

func (r *recorder) Fail() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.failed = true
}

func (r *recorder) FailNow()                 { r.Fail(); runtime.Goexit() }
func (r *recorder) Error(...any)             { r.Fail() }
func (r *recorder) Errorf(string, ...any)    { r.Fail() }
func (r *recorder) Fatal(...any)             { r.FailNow() }
func (r *recorder) Fatalf(string, ...any)    { r.FailNow() }
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
	r.mu.Lock()
	r.dirs++
	dir := filepath.Join(r.TB.TempDir(), fmt.Sprint(r.dirs))
	r.mu.Unlock()
	if err := os.MkdirAll(dir, 0o700); err != nil {
		r.Fatal(err)
	}
	return dir
}
