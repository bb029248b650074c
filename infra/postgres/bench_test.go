package postgres

import (
	"bytes"
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"quipu/domain"
	"quipu/infra/postgres/pgtest"
	"quipu/projections"
	"quipu/projections/view"
)

// recorder keeps changes instead of storing them.
type recorder struct {
	projections.Store
	all []projections.Changes
}

func (r *recorder) Commit(_ context.Context, c projections.Changes) error {
	r.all = append(r.all, c)
	return nil
}

func benchStore(b *testing.B) (*Views, *store) {
	v, err := Open(b.Context(), pgtest.URL(b), Options{})
	require.NoError(b, err)
	b.Cleanup(func() { require.NoError(b, v.Close()) })
	s, err := v.Current(b.Context())
	require.NoError(b, err)
	return v, s.(*store)
}

// BenchmarkCatchUp compares commits of 6,000 events with a bare COPY of the same rows into the same
// tables and indexes, from buffers made before. One operation is 60,000 events.
func BenchmarkCatchUp(b *testing.B) {
	var r recorder
	n := float64(fill(b, &r, 60_000))
	run := func(b *testing.B, fill func(s *store)) {
		for b.Loop() {
			b.StopTimer()
			_, s := benchStore(b)
			b.StartTimer()
			fill(s)
		}
		b.ReportMetric(n*float64(b.N)/b.Elapsed().Seconds(), "events/s")
	}
	b.Run("bare COPY", func(b *testing.B) {
		type load struct {
			sql  func(string) string
			data []byte
		}
		var loads []load
		always := func(t *table, c any) {
			var fresh *rows
			switch all := c.(type) {
			case []view.Execution:
				fresh, _ = split(t, true, all, func(*view.Execution) bool { return true }, (*rows).execution)
			case []view.StatusInterval:
				fresh, _ = split(t, true, all, func(*view.StatusInterval) bool { return true }, (*rows).status)
			case []view.Task:
				fresh, _ = split(t, true, all, func(*view.Task) bool { return true }, (*rows).task)
			case []view.Event:
				fresh, _ = split(t, true, all, func(*view.Event) bool { return true }, (*rows).event)
			}
			loads = append(loads, load{t.copySQL, fresh.stream()})
		}
		for i := range r.all {
			always(&executions, r.all[i].Executions)
			always(&statuses, r.all[i].Statuses)
			always(&tasks, r.all[i].Tasks)
			always(&events, r.all[i].Events)
		}
		run(b, func(s *store) {
			b.StopTimer()
			require.NoError(b, s.Commit(b.Context(), projections.Changes{Log: "log", To: 1})) // reads the shape
			var make batch
			for _, p := range need(nil, &r.all[0], s.shape.width) {
				s.addPartition(&make, p)
			}
			require.NoError(b, send(b.Context(), s.v.writers, &make))
			b.StartTimer()
			conn, err := s.v.writers.Acquire(b.Context())
			require.NoError(b, err)
			defer conn.Release()
			pg := conn.Conn().PgConn()
			for i, l := range loads {
				if i%4 == 0 {
					require.NoError(b, pg.Exec(b.Context(), "BEGIN").Close())
				}
				_, err := pg.CopyFrom(b.Context(), bytes.NewReader(l.data), l.sql(s.schema))
				require.NoError(b, err)
				if i%4 == 3 {
					require.NoError(b, pg.Exec(b.Context(), "COMMIT").Close())
				}
			}
		})
	})
	b.Run("commits", func(b *testing.B) {
		run(b, func(s *store) {
			for i := range r.all {
				require.NoError(b, s.Commit(b.Context(), r.all[i]))
			}
		})
	})
}

// BenchmarkCommit measures small commits, as they come live: whole executions of twelve events each.
func BenchmarkCommit(b *testing.B) {
	for name, runs := range map[string]int{"1 run": 1, "8 runs": 8, "20 runs": 20, "40 runs": 40} {
		b.Run(name, func(b *testing.B) {
			_, s := benchStore(b)
			var r recorder
			fill(b, &r, 6000)
			whole := r.all[0]
			var at domain.Position
			for b.Loop() {
				c := projections.Changes{Log: "log", After: at, To: at + domain.Position(12*runs), Versions: whole.Versions}
				c.Events = append(c.Events, whole.Events[:12*runs]...)
				c.Executions = append(c.Executions, whole.Executions[:runs]...)
				c.Tasks = append(c.Tasks, whole.Tasks[:5*runs]...)
				for i := range c.Events {
					c.Events[i].Position += at
					c.Events[i].Execution += at
				}
				for i := range c.Tasks {
					c.Tasks[i].Execution += at
				}
				for i := range c.Executions {
					c.Executions[i].Position += at
					p := c.Executions[i].Position
					c.Statuses = append(c.Statuses, view.StatusInterval{Execution: p, Status: view.Running, From: p, To: p + 11},
						view.StatusInterval{Execution: p, Status: view.Completed, From: p + 11})
				}
				require.NoError(b, s.Commit(b.Context(), c))
				at = c.To
			}
			b.ReportMetric(float64(12*runs*b.N)/b.Elapsed().Seconds(), "events/s")
		})
	}
}

// BenchmarkQuery measures lists over 200,000 events, from the adapter.
func BenchmarkQuery(b *testing.B) {
	v, s := benchStore(b)
	head := fill(b, s, 200_000)
	page := view.Page{Limit: 100}
	for name, ask := range map[string]func() (int, error){
		"executions newest": func() (int, error) {
			got, err := v.Executions(b.Context(), view.ExecutionQuery{Page: page})
			return len(got.Rows), err
		},
		"executions running": func() (int, error) {
			got, err := v.Executions(b.Context(), view.ExecutionQuery{Status: view.Running, AsOf: head, Page: view.Page{Limit: 10}})
			return len(got.Rows), err
		},
		"events of an execution": func() (int, error) {
			got, err := v.Events(b.Context(), view.EventQuery{ExecutionID: "0190a0b0-0000-7000-8000-000000000011", Page: page})
			return len(got.Rows), err
		},
		"events of a workflow": func() (int, error) {
			got, err := v.Events(b.Context(), view.EventQuery{WorkflowID: "lao-13", Page: page})
			return len(got.Rows), err
		},
		"events with total": func() (int, error) {
			got, err := v.Events(b.Context(), view.EventQuery{Page: view.Page{Limit: 100, Total: true}})
			return len(got.Rows), err
		},
		"tasks": func() (int, error) {
			got, _, err := v.Tasks(b.Context(), "0190a0b0-0000-7000-8000-000000000011")
			return len(got), err
		},
	} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				n, err := ask()
				require.NoError(b, err)
				require.NotZero(b, n)
			}
		})
	}
}
