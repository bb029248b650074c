package viewstest_test

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"quipu/infra/memory"
	"quipu/projections/viewstest"
)

// The suite accepts right views; without this, failing for all views would look like proof.
func TestSuite_AcceptsRightViews(t *testing.T) {
	require.Empty(t, runSuite(t, func(testing.TB, *viewstest.Log) viewstest.Views { return &faulty{Views: memory.NewViews()} },
		viewstest.Capabilities{Again: func(_ testing.TB, v viewstest.Views, _ *viewstest.Log) viewstest.Views {
			return &faulty{Views: v.(*faulty).Again()}
		}}))
}

func TestSuite_RejectsFaultyViews(t *testing.T) {
	// What fails is to fail, not to be explained.
	require.NoError(t, flag.Set("rapid.shrinktime", "100ms"))
	for name, fault := range faults {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			with := func(v *memory.Views) viewstest.Views {
				f := &faulty{Views: v}
				fault(f)
				return f
			}
			failures := runSuite(t, func(testing.TB, *viewstest.Log) viewstest.Views { return with(memory.NewViews()) },
				viewstest.Capabilities{
					Wait: 2 * time.Second, Scripts: 10,
					Again: func(_ testing.TB, v viewstest.Views, _ *viewstest.Log) viewstest.Views {
						if f := v.(*faulty); f.again != nil {
							return with(f.again())
						}
						return with(v.(*faulty).Again())
					},
				})
			require.NotEmpty(t, failures, "the suite accepted views that %s", name)
		})
	}
}

// runSuite runs the cases against a recorder until one fails and returns the names that failed.
func runSuite(t *testing.T, open viewstest.OpenFunc, caps viewstest.Capabilities) (failed []string) {
	for _, c := range viewstest.Cases() {
		r := &recorder{TB: t, ctx: t.Context()}
		r.run(func() { viewstest.RunCase(r, c, open, caps) })
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
			if p := recover(); p != nil { // a case may trip over what faulty views return
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
