package sqlite_test

import (
	"context"
	"fmt"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"quipu/domain"
	"quipu/infra/sqlite"
	"quipu/projections/view"
	"quipu/projections/viewstest"
)

func BenchmarkViews(b *testing.B) {
	viewstest.Benchmark(b, func(tb testing.TB, log *viewstest.Log) viewstest.Views {
		v, err := sqlite.Open(tb.TempDir(), log, sqlite.Options{})
		require.NoError(tb, err)
		return v
	})
}

// benchLog makes up the events of viewstest.BenchRuns.
type benchLog struct{}

var benchTypes = map[bool]string{false: "run.task_completed.v1", true: "run.task_started.v1"}

func (benchLog) ReadStream(_ context.Context, stream domain.StreamID, from domain.Revision, max int) ([]domain.Recorded, error) {
	n, err := strconv.ParseInt(string(stream[len(stream)-12:]), 16, 64)
	if err != nil {
		return nil, err
	}
	var all []domain.Recorded
	for r := from; r < viewstest.RunEvents && len(all) < max; r++ {
		typ := benchTypes[r%2 == 1]
		switch r {
		case 0:
			typ = "run.started.v1"
		case viewstest.RunEvents - 1:
			typ = "run.completed.v1"
		}
		all = append(all, domain.Recorded{Stream: stream, Revision: r, Type: typ, Position: domain.Position(n*viewstest.RunEvents + 1 + int64(r))})
	}
	return all, nil
}

// benchHistory is how many runs stand in the views of BenchmarkQueries: a million events.
const benchHistory = 84_000

func BenchmarkQueries(b *testing.B) {
	v, err := sqlite.Open(b.TempDir(), benchLog{}, sqlite.Options{})
	require.NoError(b, err)
	s, err := v.Current(b.Context())
	require.NoError(b, err)
	const batch = 840
	for n := 0; n < benchHistory; n += batch {
		require.NoError(b, s.Commit(b.Context(), viewstest.BenchRuns("bench", n, batch)))
	}
	at := time.UnixMilli(1_800_000_000_000 + benchHistory/2)
	newest := view.Page{Limit: 100}
	for name, q := range map[string]view.ExecutionQuery{
		"newest":    {Page: newest},
		"total":     {Page: view.Page{Limit: 100, Total: true}},
		"workflow":  {WorkflowID: "lao-0000000000000007", Page: newest},
		"run":       {RunName: "ticket/4711", Page: newest},
		"completed": {Status: view.Completed, Page: newest},
		"running":   {Status: view.Running, Page: newest},
		"started":   {StartedFrom: at, StartedTo: at.Add(time.Second), Page: newest},
		"deep":      {Page: view.Page{Limit: 100, Key: 500_000}},
	} {
		b.Run("Executions_"+name, func(b *testing.B) {
			for b.Loop() {
				if _, err := v.Executions(b.Context(), q); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	for name, q := range map[string]view.EventQuery{
		"newest":    {Page: newest},
		"total":     {Page: view.Page{Limit: 100, Total: true}},
		"execution": {ExecutionID: fmt.Sprintf("0190a0b0-%04x-7000-8000-%012x", 4711>>16, 4711), Page: newest},
		"workflow":  {WorkflowID: "lao-0000000000000007", Page: newest},
		"node":      {Node: "send", Page: newest},
		"types":     {Types: []string{"run.started.v1", "run.completed.v1"}, Page: newest},
		"rare type": {Types: []string{"run.failed.v1"}, Page: newest},
		"at":        {From: at, To: at.Add(time.Second), Page: newest},
		"at, node":  {From: at, To: at.Add(time.Second), Node: "send", Page: newest},
	} {
		b.Run("Events_"+name, func(b *testing.B) {
			for b.Loop() {
				if _, err := v.Events(b.Context(), q); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	require.NoError(b, v.Close())
}
