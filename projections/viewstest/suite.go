// Package viewstest states the contract of the views in tests, of projections.Generations and of the
// queries alike, and runs it over any adapter.
//
// An adapter's test calls Run. viewstest_test.go proves the suite itself: each of a row of faulty
// views must fail it.
package viewstest

import (
	"context"
	"testing"
	"time"

	"quipu/projections"
	"quipu/projections/view"
)

// Views is what an adapter offers: what projectors write to and what readers ask. Queries answer from
// the current generation, rows and checkpoint from one transaction; a database without a generation
// answers as an empty one. Errors of queries: as projections.Store.
type Views interface {
	projections.Generations
	Checkpoint(ctx context.Context) (view.Checkpoint, error)
	Executions(ctx context.Context, q view.ExecutionQuery) (view.Slice[view.Execution], error)
	Approvals(ctx context.Context, q view.ApprovalQuery) (view.Slice[view.Approval], error)
	Events(ctx context.Context, q view.EventQuery) (view.Slice[view.Event], error)
	Workflows(ctx context.Context, q view.WorkflowQuery) (view.Slice[view.Workflow], error)
	Versions(ctx context.Context, workflowID string, p view.Page) (view.Slice[view.WorkflowVersion], error)
	Endpoints(ctx context.Context, p view.Page) (view.Slice[view.Endpoint], error)
	Tasks(ctx context.Context, executionID string) ([]view.Task, view.Checkpoint, error)
	Name(ctx context.Context, flow, run string) (view.Name, view.Checkpoint, error)
}

// OpenFunc opens views on a new, empty database. An adapter that keeps no copy of event bytes reads
// them from log.
type OpenFunc func(tb testing.TB, log *Log) Views

// Capabilities says what an adapter promises beyond the common contract.
type Capabilities struct {
	// Again opens another handle on the database of v, as another process would. v may be closed
	// already, or will go on. nil: the views live and die with their handle.
	Again func(tb testing.TB, v Views, log *Log) Views
	// Wait bounds every single call in the suite; a call that takes longer fails. Default two minutes.
	Wait time.Duration
	// Scripts is how many random scripts the differential case runs. Default 50; each opens a
	// database.
	Scripts int
}

// Case is one test of the contract.
type Case struct {
	Name  string
	Again bool // needs Capabilities.Again
	Run   func(e *Env)
}

// Env is what a case works with.
type Env struct {
	testing.TB
	Caps Capabilities
	open OpenFunc
}

// Open returns views on a new database, closed at the end of the case.
func (e *Env) Open(log *Log) Views {
	v := e.open(e.TB, log)
	e.Cleanup(func() { _ = v.Close() }) // closing is a case of its own
	return v
}

// Again opens another handle on v's database, closed at the end of the case.
func (e *Env) Again(v Views, log *Log) Views {
	again := e.Caps.Again(e.TB, v, log)
	e.Cleanup(func() { _ = again.Close() }) // closing is a case of its own
	return again
}

// Context is over after Capabilities.Wait.
func (e *Env) Context() context.Context {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(e.TB.Context()), e.Caps.Wait)
	e.Cleanup(cancel)
	return ctx
}

// Run runs every case as a parallel subtest. A case whose capability is missing logs that.
func Run(t *testing.T, open OpenFunc, caps Capabilities) {
	for _, c := range Cases() {
		t.Run(c.Name, func(t *testing.T) {
			t.Parallel()
			if c.Again && caps.Again == nil {
				t.Log("not run: the views live and die with their handle")
				return
			}
			RunCase(t, c, open, caps)
		})
	}
}

// RunCase runs one case on tb.
func RunCase(tb testing.TB, c Case, open OpenFunc, caps Capabilities) {
	if caps.Wait == 0 {
		caps.Wait = 2 * time.Minute
	}
	if caps.Scripts == 0 {
		caps.Scripts = 50
	}
	c.Run(&Env{TB: tb, Caps: caps, open: open})
}

// Cases lists the suite, quick cases first.
func Cases() []Case {
	var all []Case
	all = append(all, commitCases...)
	all = append(all, loadCases...)
	all = append(all, closeCases...)
	all = append(all, generationCases...)
	all = append(all, hostileCases...)
	all = append(all, queryCases...)
	return append(all, Case{Name: "Differential_EqualsMemoryModel", Run: differential})
}
