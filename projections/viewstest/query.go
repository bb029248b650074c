package viewstest

import (
	"fmt"
	"slices"
	"sync"

	"github.com/stretchr/testify/require"

	"quipu/domain"
	"quipu/projections"
	"quipu/projections/view"
)

var queryCases = []Case{
	{Name: "Query_ExecutionsEachFilterAlone", Run: func(e *Env) {
		w := NewWorld(30)
		p := e.pair(w)
		p.fill(w, 600)
		rows := e.Dump(p.twin).Executions
		for i := 0; i < len(rows); i += 9 {
			r := rows[i]
			for k, q := range []view.ExecutionQuery{
				{WorkflowID: r.WorkflowID},
				{Source: r.Source},
				{FlowName: r.FlowName},
				{RunName: r.RunName},
				{ConnectionID: r.ConnectionID},
				{RetryOf: r.RetryOf},
				{RetryOf: r.ID},
				{ConnectionID: r.ConnectionID, Status: view.Running},
				{RetryOf: r.RetryOf, Status: r.Status},
				{FlowName: r.FlowName, Status: view.Paused},
				{Status: r.Status},
				{Status: view.Paused},
				{AsOf: r.LastPosition - 1, Status: view.Paused},
				{StartedFrom: r.StartedAt},
				{StartedTo: r.StartedAt},
				{StartedFrom: r.StartedAt, StartedTo: r.StartedAt.Add(5e9)},
				{StartedFrom: r.StartedAt.Add(1e6)},
				{AsOf: r.Position},
				{AsOf: r.LastPosition},
				{AsOf: r.LastPosition - 1, Status: view.Running},
				{AsOf: r.LastPosition, Status: r.Status},
			} {
				if sampled(i/9, k) {
					p.executions(q)
				}
			}
		}
		p.executions(view.ExecutionQuery{FlowName: "nobody"})
		p.executions(view.ExecutionQuery{Status: view.Skipped})
	}},
	{Name: "Query_Approvals", Run: func(e *Env) {
		w := NewWorld(39)
		p := e.pair(w)
		p.fill(w, 900)
		seen := map[view.ApprovalStatus]bool{}
		for _, a := range e.Dump(p.twin).Approvals {
			seen[a.Status] = true
			p.approvals(view.ApprovalQuery{ExecutionID: a.ExecutionID})
			p.approvals(view.ApprovalQuery{ExecutionID: a.ExecutionID, Status: a.Status})
		}
		require.Len(e, seen, 5, "the world has approvals of every status")
		for _, word := range append(w.words, "", "nobody") {
			p.approvals(view.ApprovalQuery{WorkflowID: word})
			p.approvals(view.ApprovalQuery{WorkflowID: word, Status: view.ApprovalPending})
			p.approvals(view.ApprovalQuery{WorkflowID: word, ExecutionID: w.ids[0], Status: view.ApprovalExpired})
		}
		for status := range seen {
			p.approvals(view.ApprovalQuery{Status: status})
		}
		p.approvals(view.ApprovalQuery{})
		p.approvals(view.ApprovalQuery{Status: "nonsense"})
	}},
	{Name: "Query_EventsEachFilterAlone", Run: func(e *Env) {
		w := NewWorld(31)
		p := e.pair(w)
		p.fill(w, 700)
		rows := e.Dump(p.twin).Events
		for i := 0; i < len(rows); i += 47 {
			r := rows[i]
			for k, q := range []view.EventQuery{
				{WorkflowID: r.WorkflowID},
				{ExecutionID: r.ExecutionID},
				{Node: r.Node},
				{Types: []string{r.Type}},
				{Types: []string{"run.started.v1", r.Type, "nothing.v1"}},
				{From: r.At},
				{To: r.At},
				{From: r.At, To: r.At.Add(3e9)},
				{To: r.At.Add(1e6)},
				{After: r.Position},
				{Before: r.Position},
				{After: r.Position - 1, Before: r.Position + 1},
				{After: r.Position, Before: r.Position},
			} {
				if sampled(i/47, k) {
					p.events(q)
				}
			}
		}
		p.events(view.EventQuery{Types: []string{"nothing.v1"}})
		p.events(view.EventQuery{Node: "nobody"})
		p.events(view.EventQuery{After: 1 << 62})
	}},
	{Name: "Query_EventsWithoutExecution", Run: func(e *Env) {
		w := NewWorld(32)
		p := e.pair(w)
		p.fill(w, 800)
		found := 0
		for _, r := range e.Dump(p.twin).Events {
			if r.Execution == 0 && r.ExecutionID != "" && found < 25 {
				found++
				p.events(view.EventQuery{ExecutionID: r.ExecutionID})
				p.events(view.EventQuery{ExecutionID: r.ExecutionID, WorkflowID: r.WorkflowID})
			}
		}
		require.NotZero(e, found)
	}},
	{Name: "Query_Workflows", Run: func(e *Env) {
		w := NewWorld(33)
		p := e.pair(w)
		p.fill(w, 700)
		for _, word := range append(w.words, "", "nobody") {
			p.workflows(view.WorkflowQuery{Endpoint: word})
			p.workflows(view.WorkflowQuery{Name: word})
			p.workflows(view.WorkflowQuery{Name: word, Endpoint: w.words[0]})
		}
		for _, f := range w.workflows {
			for _, pg := range pages(f.Position) {
				want, err := p.model.Versions(e.Context(), f.ID, pg)
				require.NoError(e, err)
				got, err := p.views.Versions(e.Context(), f.ID, pg)
				require.NoError(e, err)
				same(e, want, got)
			}
		}
		for _, pg := range pages(e.Dump(p.twin).Endpoints[3].Position) {
			want, err := p.model.Endpoints(e.Context(), pg)
			require.NoError(e, err)
			got, err := p.views.Endpoints(e.Context(), pg)
			require.NoError(e, err)
			same(e, want, got)
		}
	}},
	{Name: "Query_TasksAndNames", Run: func(e *Env) {
		w := NewWorld(34)
		p := e.pair(w)
		p.fill(w, 500)
		for _, id := range append(w.ids, "unknown", "") {
			p.tasks(id)
		}
		for _, flow := range append(w.words, "nobody") {
			for _, run := range append(w.words, "", "nobody") {
				p.name(flow, run)
			}
		}
	}},
	{Name: "Query_PagesGiveTheWholeList", Run: func(e *Env) {
		w := NewWorld(35)
		p := e.pair(w)
		p.fill(w, 500)
		d := e.Dump(p.twin)
		for _, limit := range []int{1, 7, view.LimitMax} {
			for _, ascending := range []bool{true, false} {
				about := fmt.Sprintf("limit %d, ascending %v", limit, ascending)
				pg := view.Page{Limit: limit, Ascending: ascending}
				walked := walk(e, pg, func(pg view.Page) (view.Slice[view.Execution], error) {
					return p.views.Executions(e.Context(), view.ExecutionQuery{Page: pg})
				}, func(r view.Execution) domain.Position { return r.Position })
				same(e, ordered(d.Executions, ascending), walked, about)
				events := walk(e, pg, func(pg view.Page) (view.Slice[view.Event], error) {
					return p.views.Events(e.Context(), view.EventQuery{Page: pg})
				}, func(r view.Event) domain.Position { return r.Position })
				same(e, ordered(d.Events, ascending), events, about)
				typed := walk(e, pg, func(pg view.Page) (view.Slice[view.Event], error) {
					return p.views.Events(e.Context(), view.EventQuery{Types: []string{"run.started.v1", "run.completed.v1"}, Page: pg})
				}, func(r view.Event) domain.Position { return r.Position })
				same(e, ordered(slices.DeleteFunc(slices.Clone(d.Events), func(r view.Event) bool {
					return r.Type != "run.started.v1" && r.Type != "run.completed.v1"
				}), ascending), typed, about)
			}
		}
	}},
	{Name: "Query_PagesStayRightWhileRowsArrive", Run: func(e *Env) {
		for _, ascending := range []bool{true, false} {
			for _, status := range []view.Status{"", view.Running, view.Completed} {
				w := NewWorld(37)
				p := e.pair(w)
				p.fill(w, 400)
				q := view.ExecutionQuery{Status: status, AsOf: p.at, Page: view.Page{Ascending: ascending, Limit: view.LimitMax}}
				want, err := p.model.Executions(e.Context(), q)
				require.NoError(e, err)
				require.False(e, want.More)
				var ids []string
				q.Limit = 3
				for len(ids) <= len(want.Rows) {
					got, err := p.views.Executions(e.Context(), q)
					require.NoError(e, err)
					for _, r := range got.Rows {
						ids = append(ids, r.ID)
						if status != "" {
							require.Equal(e, status, r.Status, "the status as it was")
						}
						q.Key = r.Position
					}
					if !got.More {
						break
					}
					p.fill(w, 40) // executions start and change their status meanwhile
				}
				var wanted []string
				for _, r := range want.Rows {
					wanted = append(wanted, r.ID)
				}
				require.Equal(e, wanted, ids, "status %q, ascending %v", status, ascending)
			}
		}
	}},
	{Name: "Query_RowsAndCheckpointAgree", Run: func(e *Env) {
		// Execution k starts at position k: the newest row tells what the checkpoint must be.
		w := NewWorld(38)
		v := e.Open(w.Log)
		s := e.current(v)
		ctx := e.Context()
		done, reads := make(chan struct{}), make(chan struct{}, 1)
		var wg sync.WaitGroup
		wg.Go(func() {
			defer close(done)
			for k := domain.Position(1); k <= 300; k++ {
				<-reads // so that each commit meets a reading
				c := projections.Changes{
					Log: w.LogID, After: k - 1, To: k,
					Executions: []view.Execution{{Position: k, ID: fmt.Sprint(k), Status: view.Running, StartedAt: w.at}},
					Statuses:   []view.StatusInterval{{Execution: k, Status: view.Running, From: k}},
				}
				if err := s.Commit(ctx, c); err != nil {
					e.Errorf("commit: %v", err)
					return
				}
			}
		})
		for running := true; running; {
			select {
			case <-done:
				running = false
			case reads <- struct{}{}:
			}
			got, err := v.Executions(ctx, view.ExecutionQuery{Status: view.Running, Page: view.Page{Limit: 1, Total: true}})
			require.NoError(e, err)
			require.EqualValues(e, got.As.Position, got.Total)
			if got.As.Position > 0 {
				require.Equal(e, got.As.Position, got.Rows[0].Position)
			}
			if got.Total%10 != 0 {
				continue
			}
			snap, err := s.Snapshot(ctx)
			require.NoError(e, err)
			rows := e.dump(snap).Executions
			require.EqualValues(e, snap.State().Position, len(rows))
			require.NoError(e, snap.Close())
		}
		wg.Wait()
	}},
	{Name: "Query_TotalIsCapped", Run: func(e *Env) {
		w := NewWorld(36)
		v := e.Open(w.Log)
		s := e.current(v)
		at := domain.Position(0)
		for range 11 {
			c := projections.Changes{Log: w.LogID, After: at}
			for range 1000 {
				w.tick()
				c.Events = append(c.Events, w.event("odd-1", "odd.happened.v1", nil, ""))
				c.Executions = append(c.Executions, view.Execution{Position: w.pos, ID: w.uuid(), Status: view.Running, StartedAt: w.at})
				c.Statuses = append(c.Statuses, view.StatusInterval{Execution: w.pos, Status: view.Running, From: w.pos})
			}
			c.To, at = w.pos, w.pos
			require.NoError(e, s.Commit(e.Context(), c))
		}
		for _, q := range []view.EventQuery{{}, {Types: []string{"odd.happened.v1"}}, {Types: []string{"odd.happened.v1", "b"}}} {
			q.Page = view.Page{Limit: 1, Total: true}
			events, err := v.Events(e.Context(), q)
			require.NoError(e, err)
			require.Equal(e, view.TotalMax+1, events.Total)
			require.True(e, events.More)
		}
		for _, q := range []view.ExecutionQuery{{}, {Status: view.Running}, {Status: view.Running, AsOf: at}} {
			q.Page = view.Page{Limit: 1, Total: true}
			executions, err := v.Executions(e.Context(), q)
			require.NoError(e, err)
			require.Equal(e, view.TotalMax+1, executions.Total)
		}
		far, err := v.Events(e.Context(), view.EventQuery{Page: view.Page{Limit: 5, Offset: 10_998}})
		require.NoError(e, err)
		require.Len(e, far.Rows, 2)
		require.False(e, far.More)
	}},
}

// walk reads a list page by page.
func walk[Row any](e *Env, pg view.Page, read func(view.Page) (view.Slice[Row], error), key func(Row) domain.Position) []Row {
	e.Helper()
	var all []Row
	for {
		s, err := read(pg)
		require.NoError(e, err)
		require.LessOrEqual(e, len(s.Rows), pg.Limit)
		all = append(all, s.Rows...)
		if !s.More {
			return all
		}
		require.NotEmpty(e, s.Rows, "more rows follow, yet the page is empty")
		last := key(s.Rows[len(s.Rows)-1])
		require.True(e, pg.Key == 0 || last > pg.Key == pg.Ascending && last != pg.Key, "a page after %d ends at %d", pg.Key, last)
		pg.Key = last
	}
}

func ordered[Row any](rows []Row, ascending bool) []Row {
	rows = slices.Clone(rows)
	if !ascending {
		slices.Reverse(rows)
	}
	return rows
}

// pages lists shapes of a page around a key.
func pages(key domain.Position) []view.Page {
	var all []view.Page
	for _, ascending := range []bool{true, false} {
		all = append(all,
			view.Page{Ascending: ascending, Limit: view.LimitMax, Total: true},
			view.Page{Ascending: ascending, Limit: 1},
			view.Page{Ascending: ascending, Limit: 3, Key: key, Total: true},
			view.Page{Ascending: ascending, Limit: 2, Key: key, Offset: 1},
			view.Page{Ascending: ascending, Limit: 2, Offset: 2},
			view.Page{Ascending: ascending, Limit: 2, Offset: view.OffsetMax},
			view.Page{Ascending: ascending, Limit: 2, Key: 1<<63 - 1},
		)
	}
	return all
}

// executions requires equal answers to q in several shapes of page.
func (p *pair) executions(q view.ExecutionQuery) {
	p.e.Helper()
	for _, pg := range pages(p.at / 2) {
		q.Page = pg
		p.executionsOnce(p.e, q)
	}
}

func (p *pair) executionsOnce(t require.TestingT, q view.ExecutionQuery) {
	want, err := p.model.Executions(p.e.Context(), q)
	require.NoError(t, err)
	got, err := p.views.Executions(p.e.Context(), q)
	require.NoError(t, err)
	same(t, want, got, fmt.Sprintf("%+v", q))
}

func (p *pair) events(q view.EventQuery) {
	p.e.Helper()
	for _, pg := range pages(p.at / 2) {
		q.Page = pg
		p.eventsOnce(p.e, q)
	}
}

func (p *pair) eventsOnce(t require.TestingT, q view.EventQuery) {
	want, err := p.model.Events(p.e.Context(), q)
	require.NoError(t, err)
	got, err := p.views.Events(p.e.Context(), q)
	require.NoError(t, err)
	same(t, want, got, fmt.Sprintf("%+v", q))
}

func (p *pair) approvals(q view.ApprovalQuery) {
	p.e.Helper()
	for _, pg := range pages(p.at / 2) {
		q.Page = pg
		want, err := p.model.Approvals(p.e.Context(), q)
		require.NoError(p.e, err)
		got, err := p.views.Approvals(p.e.Context(), q)
		require.NoError(p.e, err)
		same(p.e, want, got, fmt.Sprintf("%+v", q))
	}
}

func (p *pair) workflows(q view.WorkflowQuery) {
	p.e.Helper()
	for _, pg := range pages(p.at / 2) {
		q.Page = pg
		want, err := p.model.Workflows(p.e.Context(), q)
		require.NoError(p.e, err)
		got, err := p.views.Workflows(p.e.Context(), q)
		require.NoError(p.e, err)
		same(p.e, want, got, fmt.Sprintf("%+v", q))
	}
}

func (p *pair) tasks(id string) {
	p.e.Helper()
	want, wantAs, wantErr := p.model.Tasks(p.e.Context(), id)
	got, as, err := p.views.Tasks(p.e.Context(), id)
	require.Equal(p.e, wantErr == nil, err == nil, "%v", err)
	if err != nil {
		require.ErrorIs(p.e, err, domain.ErrNotFound)
	}
	same(p.e, want, got)
	require.Equal(p.e, wantAs, as)
}

func (p *pair) name(flow, run string) {
	p.e.Helper()
	want, wantAs, wantErr := p.model.Name(p.e.Context(), flow, run)
	got, as, err := p.views.Name(p.e.Context(), flow, run)
	require.Equal(p.e, wantErr == nil, err == nil, "%v", err)
	if err != nil {
		require.ErrorIs(p.e, err, domain.ErrNotFound)
	}
	same(p.e, want, got)
	require.Equal(p.e, wantAs, as)
}

// sampled takes each filter with every twelfth row, another one for each filter: all filters with all rows
// take minutes of a database and find nothing more.
func sampled(row, filter int) bool { return (row+filter)%12 == 0 }
