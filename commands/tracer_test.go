package commands

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"quipu/domain/workflow"
)

// Without a tracer, and without a client's trace under one, the hot path pays nothing.
func TestRunner_TracesOnlyWhatHasATrace(t *testing.T) {
	n := &workflow.Node{Name: "a", Type: "bench_noop"}
	for name, r := range map[string]*runner{"no tracer": {}, "no trace": {tracer: failingTracer{t}}} {
		a := &attempt{runID: "r", ctx: t.Context()}
		require.Zero(t, testing.AllocsPerRun(100, func() {
			ctx, trace, end := r.trace(a, n)
			if ctx != a.ctx || trace != "" {
				t.Error("changed")
			}
			end("completed")
		}), name)
	}
	const given = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	_, trace, _ := (&runner{}).trace(&attempt{trace: given}, n)
	require.Equal(t, given, trace, "it is passed on")
}

type failingTracer struct{ t *testing.T }

func (f failingTracer) Attempt(ctx context.Context, parent string, _ TracedAttempt) (context.Context, string, func(string)) {
	f.t.Error("there is nothing to trace")
	return ctx, parent, nil
}

func (f failingTracer) Appending(ctx context.Context, _ string) context.Context {
	f.t.Error("there is nothing to trace")
	return ctx
}
