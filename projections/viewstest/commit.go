package viewstest

import (
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/stretchr/testify/require"

	"quipu/domain"
	"quipu/projections"
	"quipu/projections/view"
)

var page = view.Page{Limit: view.LimitMax, Total: true}

var commitCases = []Case{
	{Name: "Commit_NewDatabaseIsEmpty", Run: func(e *Env) {
		v := e.Open(NewLog())
		empty(e, v)
		s := e.current(v)
		require.Equal(e, view.Checkpoint{}, e.state(s).Checkpoint)
		require.Zero(e, e.state(s).Parked)
		same(e, Dump{}, e.Dump(s))
		empty(e, v)
		parked, err := s.Parked(e.Context(), 10)
		require.NoError(e, err)
		require.Empty(e, parked)
	}},
	{Name: "Commit_RowsAndCheckpoint", Run: func(e *Env) {
		w := NewWorld(1)
		p := e.pair(w)
		for range 20 {
			p.commit(w.Merge(p.at, w.Steps(7)))
			require.Equal(e, p.at, e.state(p.store).Position)
			require.Equal(e, w.LogID, e.state(p.store).Log)
			cp, err := p.views.Checkpoint(e.Context())
			require.NoError(e, err)
			require.Equal(e, view.Checkpoint{Log: w.LogID, Position: p.at}, cp)
		}
		p.check()
	}},
	{Name: "Commit_EmptyMovesTheCheckpoint", Run: func(e *Env) {
		w := NewWorld(2)
		p := e.pair(w)
		p.fill(w, 10)
		rows := e.Dump(p.store)
		p.commit(projections.Changes{Log: w.LogID, After: p.at, To: p.at + 1000, Versions: map[string]int{"tasks": 3}})
		rows.State.Position, rows.State.Versions = p.at, map[string]int{"tasks": 3}
		same(e, rows, e.Dump(p.store))
	}},
	{Name: "Commit_ElsewhereConflicts", Run: func(e *Env) {
		w := NewWorld(3)
		p := e.pair(w)
		p.fill(w, 30)
		c := w.Merge(p.at, w.Steps(10))
		for name, wrong := range map[string]func(projections.Changes) projections.Changes{
			"from the start": func(c projections.Changes) projections.Changes { c.After = 0; return c },
			"one before":     func(c projections.Changes) projections.Changes { c.After--; return c },
			"one behind":     func(c projections.Changes) projections.Changes { c.After++; return c },
			"of another log": func(c projections.Changes) projections.Changes { c.Log = "log-2"; return c },
		} {
			require.ErrorIs(e, p.store.Commit(e.Context(), wrong(c)), domain.ErrConflict, name)
			p.check()
		}
		p.commit(c)
		p.check()
	}},
	{Name: "Commit_TwiceConflicts", Run: func(e *Env) {
		w := NewWorld(4)
		p := e.pair(w)
		c := w.Merge(0, w.Steps(40))
		p.commit(c)
		require.ErrorIs(e, p.store.Commit(e.Context(), c), domain.ErrConflict)
		p.check()
	}},
	{Name: "Commit_NotForwardIsInvalid", Run: func(e *Env) {
		w := NewWorld(5)
		p := e.pair(w)
		p.fill(w, 10)
		for _, to := range []domain.Position{p.at, p.at - 1, 0} {
			err := p.store.Commit(e.Context(), projections.Changes{Log: w.LogID, After: p.at, To: to})
			require.ErrorIs(e, err, domain.ErrInvalid)
		}
		p.check()
	}},
	{Name: "Commit_KeepsNothingOfTheCaller", Run: func(e *Env) {
		w := NewWorld(6)
		p := e.pair(w)
		c := w.Merge(0, w.Steps(60))
		p.commit(c)
		for i := range c.Executions {
			spoil(c.Executions[i].Input.JSON)
			for j := range c.Executions[i].Input.Holes {
				c.Executions[i].Input.Holes[j].At = "/spoiled"
			}
		}
		for i := range c.Workflows {
			spoil(c.Workflows[i].Graph.JSON)
		}
		c.Versions["tasks"] = 99
		p.check()
		require.Equal(e, w.versions(), e.state(p.store).Versions)
	}},
	{Name: "Commit_LaterRowsKeepTheBirth", Run: func(e *Env) {
		w := NewWorld(7)
		p := e.pair(w)
		born := view.Execution{
			Position: 5, ID: "id", WorkflowID: "w", WorkflowVersion: 2, Source: "lao", Endpoint: "e", FlowName: "f", RunName: "r",
			Status: view.Running, StartedAt: w.at, Input: domain.Raw([]byte(`{"a":1}`)), LastPosition: 5,
		}
		p.commit(projections.Changes{Log: w.LogID, To: 6, Executions: []view.Execution{born}})
		p.commit(projections.Changes{Log: w.LogID, After: 6, To: 7, Executions: []view.Execution{
			{Position: 5, ID: "id", Status: view.Completed, EndedAt: w.at.Add(1e9), LastOffset: 1, LastPosition: 7, Tasks: view.TaskCounts{Total: 3, Attempts: 4}},
		}})
		p.check()
		require.Equal(e, "r", e.Dump(p.store).Executions[0].RunName)
		require.Equal(e, view.Completed, e.Dump(p.store).Executions[0].Status)
		p.commit(projections.Changes{Log: w.LogID, After: 7, To: 9, Executions: []view.Execution{
			{Position: 5, ID: "id", Status: view.Failed, Error: view.Error{Type: "T"}, FailedTask: "x", LastOffset: 2, LastPosition: 9},
		}})
		p.check()
	}},
	{Name: "Commit_LaterApprovalsKeepTheRequest", Run: func(e *Env) {
		w := NewWorld(12)
		p := e.pair(w)
		asked := view.Approval{
			Position: 5, Execution: 2, ExecutionID: "id", WorkflowID: "w", Task: "t", Iteration: 1, TaskID: "tid", Offset: 3,
			Request: domain.Raw([]byte(`{"a":1}`)), RequestedAt: w.at, DueAt: w.at.Add(1e9), Status: view.ApprovalPending, EndedOffset: domain.NoStream,
		}
		p.commit(projections.Changes{Log: w.LogID, To: 6, Approvals: []view.Approval{asked}})
		p.check()
		end := view.Approval{
			Position: 5, Status: view.ApprovalApproved, Approver: "a", Comment: "c", ActorKind: "key", ActorID: "k", EndedAt: w.at.Add(2e9), EndedOffset: 4,
		}
		p.commit(projections.Changes{Log: w.LogID, After: 6, To: 7, Approvals: []view.Approval{end}})
		p.check()
		got := e.Dump(p.store).Approvals[0]
		require.Equal(e, "tid", got.TaskID)
		require.Equal(e, view.ApprovalApproved, got.Status)
		require.EqualValues(e, 4, got.EndedOffset)
	}},
	{Name: "Commit_AnyBatching", Run: func(e *Env) {
		for _, size := range []int{1, 2, 7, 50, 300} {
			w := NewWorld(8)
			steps := w.Steps(300)
			p := e.pair(w)
			for len(steps) > 0 {
				n := min(size, len(steps))
				require.NoError(e, p.store.Commit(e.Context(), w.Merge(p.at, steps[:n])))
				for _, s := range steps[:n] {
					require.NoError(e, p.twin.Commit(e.Context(), w.Merge(p.at, []Step{s})))
					p.at = s.Position
				}
				steps = steps[n:]
			}
			p.check()
		}
	}},
	{Name: "Commit_BigBatch", Run: func(e *Env) {
		w := NewWorld(9)
		p := e.pair(w)
		p.fill(w, 50)
		p.commit(w.Merge(p.at, w.Steps(5000)))
		p.check()
	}},
	{Name: "Commit_OneWinner", Run: func(e *Env) {
		w := NewWorld(10)
		v := e.Open(w.Log)
		c := w.Merge(0, w.Steps(50))
		e.current(v) // makes the first generation
		var won atomic.Int32
		var wg sync.WaitGroup
		for range 8 {
			s, ctx := e.current(v), e.Context()
			wg.Go(func() {
				switch err := s.Commit(ctx, c); domain.KindOf(err) {
				case domain.KindConflict:
				default:
					if err != nil {
						e.Errorf("a loser got %v", err)
					}
					won.Add(1)
				}
			})
		}
		wg.Wait()
		require.EqualValues(e, 1, won.Load())
		require.Equal(e, c.To, e.state(e.current(v)).Position)
		require.Len(e, e.Dump(e.current(v)).Events, 50)
	}},
	{Name: "Commit_StoresOfOneGenerationAgree", Run: func(e *Env) {
		w := NewWorld(11)
		v := e.Open(w.Log)
		a, b := e.current(v), e.current(v)
		require.NoError(e, a.Commit(e.Context(), w.Merge(0, w.Steps(10))))
		at := e.state(b).Position
		require.Equal(e, w.pos, at)
		require.NoError(e, b.Commit(e.Context(), w.Merge(at, w.Steps(10))))
		same(e, e.Dump(a), e.Dump(b))
		require.Len(e, e.Dump(a).Events, 20)
	}},
}

func spoil(b []byte) {
	for i := range b {
		b[i] = 'x'
	}
}

// empty requires that v answers as an empty database.
func empty(e *Env, v Views) {
	e.Helper()
	cp, err := v.Checkpoint(e.Context())
	require.NoError(e, err)
	require.Zero(e, cp)
	for name, count := range counts(e, v) {
		require.Zero(e, count, name)
	}
	_, cp, err = v.Tasks(e.Context(), "id")
	require.ErrorIs(e, err, domain.ErrNotFound)
	require.Zero(e, cp)
	_, _, err = v.Name(e.Context(), "f", "r")
	require.ErrorIs(e, err, domain.ErrNotFound)
}

// counts is the total of each list.
func counts(e *Env, v Views) map[string]int {
	e.Helper()
	all := map[string]int{}
	ctx := e.Context()
	executions, err := v.Executions(ctx, view.ExecutionQuery{Page: page})
	require.NoError(e, err)
	all["executions"] = executions.Total
	approvals, err := v.Approvals(ctx, view.ApprovalQuery{Page: page})
	require.NoError(e, err)
	all["approvals"] = approvals.Total
	events, err := v.Events(ctx, view.EventQuery{Page: page})
	require.NoError(e, err)
	all["events"] = events.Total
	workflows, err := v.Workflows(ctx, view.WorkflowQuery{Page: page})
	require.NoError(e, err)
	all["workflows"] = workflows.Total
	endpoints, err := v.Endpoints(ctx, page)
	require.NoError(e, err)
	all["endpoints"] = endpoints.Total
	versions, err := v.Versions(ctx, "none", page)
	require.NoError(e, err)
	all["versions of none"] = versions.Total
	return all
}

var loadCases = []Case{
	{Name: "Runs_WithOpenTasks", Run: func(e *Env) {
		w := NewWorld(20)
		p := e.pair(w)
		p.fill(w, 600)
		ids := append([]string{"unknown", "", w.ids[0]}, w.ids...) // one twice
		want, err := p.twin.Runs(e.Context(), ids)
		require.NoError(e, err)
		got, err := p.store.Runs(e.Context(), ids)
		require.NoError(e, err)
		same(e, want, got)
		require.Len(e, got, len(w.ids))
		got, err = p.store.Runs(e.Context(), nil)
		require.NoError(e, err)
		require.Empty(e, got)
		for _, r := range want {
			one, err := p.store.Runs(e.Context(), []string{r.Execution.ID})
			require.NoError(e, err)
			same(e, map[string]projections.Run{r.Execution.ID: r}, one)
		}
	}},
	{Name: "Runs_Thousands", Run: func(e *Env) {
		w := NewWorld(21)
		p := e.pair(w)
		var rows []view.Execution
		var ids []string
		for i := range 3000 {
			rows = append(rows, view.Execution{Position: domain.Position(i + 1), ID: w.uuid(), Status: view.Running, StartedAt: w.at})
			ids = append(ids, rows[i].ID)
		}
		p.commit(projections.Changes{Log: w.LogID, To: 3000, Executions: rows})
		got, err := p.store.Runs(e.Context(), ids)
		require.NoError(e, err)
		require.Len(e, got, 3000)
		for i := range rows {
			same(e, rows[i], got[ids[i]].Execution)
		}
	}},
	{Name: "Workflows_DeletedToo", Run: func(e *Env) {
		w := NewWorld(22)
		p := e.pair(w)
		p.fill(w, 400)
		ids := []string{"unknown"}
		deleted := 0
		for _, f := range w.workflows {
			ids = append(ids, f.ID)
			if f.Deleted {
				deleted++
			}
		}
		require.NotZero(e, deleted)
		got, err := p.store.Workflows(e.Context(), ids)
		require.NoError(e, err)
		want, err := p.twin.Workflows(e.Context(), ids)
		require.NoError(e, err)
		same(e, want, got)
		require.Len(e, got, len(w.workflows))
	}},
	{Name: "Parked_OldestFirst", Run: func(e *Env) {
		w := NewWorld(23)
		p := e.pair(w)
		p.fill(w, 400)
		all := e.state(p.store).Parked
		require.Greater(e, all, 5)
		for _, max := range []int{1, 3, all, all + 100} {
			want, err := p.twin.Parked(e.Context(), max)
			require.NoError(e, err)
			got, err := p.store.Parked(e.Context(), max)
			require.NoError(e, err)
			same(e, want, got, fmt.Sprint(max))
		}
	}},
}
