package history_test

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"quipu/domain"
	"quipu/projections/view"
	"quipu/readapi/history"
)

// S2-12, D21: every run of every dialect is listed, newest first, with what the object by id says.
func TestS2_12_D21_OneHistory(t *testing.T) { eachStore(t, testS2_12_D21_OneHistory) }

func testS2_12_D21_OneHistory(t *testing.T, open openFunc) {
	w := open(t, nil)
	lao := w.dag("f", "r", noop("a"))
	w.ended(lao)
	api := w.execute(w.createWorkflow("w"), `{}`)
	p := w.get("/api/executions").list()
	require.Equal(t, []string{api, lao}, p.ids())
	require.True(t, p.Fresh)
	require.Equal(t, 50, p.Limit)
	require.Nil(t, p.NextCursor)
	require.Nil(t, p.Total)
	require.Nil(t, p.Offset)
	for _, item := range p.Items {
		one := w.get("/api/executions/" + item["id"].(string)).ok()
		for _, left := range []string{"output_data", "node_outputs", "nodes", "metadata", "is_paused", "waiting_for"} {
			require.Contains(t, one, left)
			delete(one, left)
		}
		require.Equal(t, one, item)
	}
	require.Equal(t, []string{api}, w.get("/api/executions?source=api").list().ids())
	require.Equal(t, []string{lao}, w.get("/api/executions?source=lao").list().ids())
	require.Empty(t, w.get("/api/executions?source=agnt5").list().Items)
}

// D18: each filter alone, and together.
func TestD18_ExecutionFilters(t *testing.T) { eachStore(t, testD18_ExecutionFilters) }

func testD18_ExecutionFilters(t *testing.T, open openFunc) {
	w := open(t, nil)
	done := w.dag("flow one", "r1", noop("a"))
	bad := w.dag("flow one", "r2", of("bad", "b"))
	held := w.dag("flow two", "r1", of("hold", "h"))
	gone := w.dag("flow two", "r2", of("hold", "h"))
	w.ended(done)
	w.ended(bad)
	require.Equal(t, 202, w.do(http.MethodPost, "/api/executions/exec_"+gone+"/cancel", "").status)
	ids := func(pairs ...string) []string {
		t.Helper()
		return w.get("/api/executions" + query(pairs...)).list().ids()
	}
	require.Equal(t, []string{gone, held, bad, done}, ids())
	require.Equal(t, []string{done, bad, held, gone}, ids("order", "asc"))
	require.Equal(t, []string{done}, ids("status", "completed"))
	require.Equal(t, []string{bad}, ids("status", "failed"))
	require.Equal(t, []string{held}, ids("status", "running"))
	require.Equal(t, []string{gone}, ids("status", "cancelled"))
	require.Equal(t, []string{gone}, ids("status", "canceled"))
	require.Equal(t, []string{bad, done}, ids("flow_name", "flow one"))
	require.Equal(t, []string{held, done}, ids("run_name", "r1"))
	require.Equal(t, []string{held}, ids("run_name", "r1", "flow_name", "flow two", "status", "running", "source", "lao"))
	workflow := w.get("/api/executions/" + done).ok()["workflow_id"].(string)
	require.Equal(t, []string{bad, done}, ids("workflow_id", workflow))
	require.Empty(t, ids("workflow_id", "' or 1=1 --"))
	require.Empty(t, ids("flow_name", "flow"), "filters are exact")
	at := w.get("/api/executions/" + bad).ok()["started_at"].(string)
	require.Contains(t, ids("started_after", at), bad)
	require.NotContains(t, ids("started_before", at), bad)
	require.Empty(t, ids("started_after", "2999-01-01T00:00:00Z"))
	require.Len(t, ids("started_after", "0"), 4)
	require.Empty(t, ids("started_before", "1.5"))
	// Unknown parameters and empty ones do not filter.
	require.Len(t, ids("colour", "red", "status", ""), 4)
}

// D18: pages by cursor, by offset and by number; together they are the whole list.
func TestD18_Paging(t *testing.T) { eachStore(t, testD18_Paging) }

func testD18_Paging(t *testing.T, open openFunc) {
	w := open(t, nil)
	var want []string
	for i := range 7 {
		id := w.dag("f", fmt.Sprint(i), noop("a"))
		w.ended(id)
		want = append([]string{id}, want...)
	}
	for _, order := range []string{"desc", "asc"} {
		if order == "asc" {
			slices.Reverse(want)
		}
		for _, limit := range []string{"1", "2", "3", "7", "200"} {
			var got []string
			path := "/api/executions" + query("limit", limit, "order", order)
			for next := ""; ; {
				p := w.get(path + next).list()
				got = append(got, p.ids()...)
				if p.NextCursor == nil {
					break
				}
				next = "&cursor=" + *p.NextCursor
			}
			require.Equal(t, want, got)
		}
	}
	slices.Reverse(want)
	p := w.get("/api/executions?page=2&page_size=3").list()
	require.Equal(t, want[3:6], p.ids())
	require.Equal(t, 7, *p.Total)
	require.False(t, *p.TotalCapped)
	require.Equal(t, 3, *p.Offset)
	require.Equal(t, 3, p.Limit)
	p = w.get("/api/executions?cursor=" + *p.NextCursor).list()
	require.Equal(t, want[6:], p.ids(), "a page by number goes on by cursor")
	p = w.get("/api/executions?offset=5&limit=10&total=true").list()
	require.Equal(t, want[5:], p.ids())
	require.Equal(t, 7, *p.Total)
	require.Nil(t, w.get("/api/executions?page=1&total=false").list().Total)
	require.Empty(t, w.get("/api/executions?offset=100000").list().Items)
}

// D18: a cursor stays right while executions arrive and change their status.
func TestD18_CursorWhileStatusesChange(t *testing.T) { eachStore(t, testD18_CursorWhileStatusesChange) }

func testD18_CursorWhileStatusesChange(t *testing.T, open openFunc) {
	w := open(t, nil)
	var held []string
	for i := range 4 {
		held = append([]string{w.dag("f", fmt.Sprint(i), of("hold", "h"))}, held...)
	}
	first := w.get("/api/executions?status=running&limit=2").list()
	require.Equal(t, held[:2], first.ids())
	w.release()
	for _, id := range held {
		w.ended(id)
	}
	later := w.dag("f", "later", noop("a"))
	w.ended(later)
	second := w.get("/api/executions?status=running&limit=2&cursor=" + *first.NextCursor).list()
	require.Equal(t, held[2:], second.ids(), "the list as it was when its first page was read")
	require.Equal(t, "running", second.Items[0]["status"])
	require.Nil(t, second.Items[0]["completed_at"])
	require.Empty(t, w.get("/api/executions?status=running").list().Items)
}

// A list shows small inputs, and says where a large one is.
func TestExecutions_LargeInputIsALink(t *testing.T) { eachStore(t, testExecutions_LargeInputIsALink) }

func testExecutions_LargeInputIsALink(t *testing.T, open openFunc) {
	w := open(t, nil)
	id := w.dagWith("f", "r", map[string]any{"doc": string(make80K()[:5000])}, noop("a"))
	blob := w.dagWith("f", "r2", map[string]any{"doc": string(make80K())}, noop("a"))
	for _, item := range w.get("/api/executions").list().Items {
		input := item["input_data"].(map[string]any)
		require.Contains(t, input, "href")
		require.Greater(t, input["bytes"], 4096.0)
	}
	for _, one := range []string{id, blob} {
		require.NotEmpty(t, w.get("/api/executions/" + one).ok()["input_data"].(map[string]any)["doc"])
	}
}

// A page of large items ends early, with a cursor, and none is lost.
func TestLists_PageBytesAreBounded(t *testing.T) {
	w := newWorld(t, func(p *ports) { p.options.PageBytesMax = 2000 })
	for i := range 6 {
		w.ended(w.dag("f", fmt.Sprint(i), noop("a")))
	}
	seen, pages := map[string]bool{}, 0
	for next := ""; ; pages++ {
		p := w.get("/api/executions?limit=200" + next).list()
		require.NotEmpty(t, p.Items)
		for _, id := range p.ids() {
			require.False(t, seen[id])
			seen[id] = true
		}
		if p.NextCursor == nil {
			break
		}
		next = "&cursor=" + *p.NextCursor
	}
	require.Len(t, seen, 6)
	require.Positive(t, pages)
}

// D22: a list right after a write shows it; one whose view stands still says so.
func TestD22_ListsWaitForWhatWasAcknowledged(t *testing.T) {
	eachStore(t, testD22_ListsWaitForWhatWasAcknowledged)
}

func testD22_ListsWaitForWhatWasAcknowledged(t *testing.T, open openFunc) {
	w := open(t, nil)
	for i := range 30 {
		id := w.dag("f", fmt.Sprint(i), noop("a"))
		p := w.get("/api/executions?limit=1").list()
		require.Equal(t, []string{id}, p.ids())
		require.True(t, p.Fresh)
	}
}

func TestD22_StoppedProjectionIsNeverCalledFresh(t *testing.T) {
	w := newWorld(t, func(p *ports) { p.stopped = true; p.options.FreshWait = 20 * time.Millisecond })
	require.True(t, w.get("/api/executions").list().Fresh, "nothing was written yet")
	a := w.do(http.MethodPost, "/run-dag", `{"flow_name":"f","run_name":"r","tasks":[{"name":"a","function":"bench_noop","params":{}}],"edges":[],"default_inputs":{}}`)
	position := a.header.Get("Quipu-Position")
	p := w.get("/api/executions").list()
	require.Empty(t, p.Items)
	require.False(t, p.Fresh)
	require.Equal(t, domain.Position(0).Cursor(w.log.ID()), p.ViewPosition)
	for _, path := range []string{"/api/executions", "/api/events", "/api/workflows", "/api/endpoints"} {
		stale := w.get(path + "?at_least=" + position)
		problem := stale.refused(503)
		require.Equal(t, "STALE", problem.Error.Code)
		require.Equal(t, domain.Position(0).Cursor(w.log.ID()), problem.Error.Details["view_position"])
		require.NotEmpty(t, stale.header.Get("Retry-After"))
	}
}

// refusedViews have rows that reach as far as the log and are not its own.
type refusedViews struct{ fresh }

func (refusedViews) Wait(context.Context, domain.Position) (domain.Position, error) {
	return 0, domain.E(domain.KindUnavailable, "wait for", "views", "they are of another log").WithCode("LOG_CHANGED")
}

func TestD22_RefusedViewsAreNeverCalledFresh(t *testing.T) {
	for _, wait := range []time.Duration{20 * time.Millisecond, -1} {
		var own history.Freshness
		w := newWorld(t, func(p *ports) {
			p.options.FreshWait = wait
			own = p.freshness
			p.freshness = refusedViews{p.freshness.(fresh)}
		})
		a := w.do(http.MethodPost, "/run-dag", `{"flow_name":"f","run_name":"r","tasks":[{"name":"a","function":"bench_noop","params":{}}],"edges":[],"default_inputs":{}}`)
		_, err := own.Wait(t.Context(), own.Seen())
		require.NoError(t, err)
		p := w.get("/api/executions").list()
		require.Len(t, p.Items, 1)
		require.False(t, p.Fresh, "the rows reach the head, but they are refused")
		require.Equal(t, "STALE", w.get("/api/executions?at_least="+a.header.Get("Quipu-Position")).refused(503).Error.Code)
		require.Equal(t, "STALE", w.get("/api/workflows/lao-nobody/events").refused(503).Error.Code, "it may be there")
	}
}

func TestD22_AtLeast(t *testing.T) {
	w := newWorld(t, nil)
	a := w.do(http.MethodPost, "/run-dag", `{"flow_name":"f","run_name":"r","tasks":[{"name":"a","function":"bench_noop","params":{}}],"edges":[],"default_inputs":{}}`)
	position := a.header.Get("Quipu-Position")
	p := w.get("/api/executions?at_least=" + position).list()
	require.Len(t, p.Items, 1)
	require.GreaterOrEqual(t, p.ViewPosition, position)
	other := domain.Position(1).Cursor("0190a0b0-0000-7000-8000-00000000ffff")
	problem := w.get("/api/executions?at_least=" + other).refused(409)
	require.Equal(t, "LOG_CHANGED", problem.Error.Code)
	require.Equal(t, []string{"query/at_least"}, problem.fields())
	problem = w.get("/api/executions?at_least=" + domain.Position(1<<40).Cursor(w.log.ID())).refused(422)
	require.Equal(t, "BEYOND_HEAD", problem.Error.Code)
	require.NotEmpty(t, problem.Error.Details["head"])
	require.Equal(t, []string{"query/at_least"}, w.get("/api/executions?at_least=7").refused(422).fields())
}

// A views database that is down says so, without its address, and takes nothing else along.
func TestLists_ViewsDown(t *testing.T) {
	w := newWorld(t, func(p *ports) { p.views = downViews{} })
	id := w.createWorkflow("w")
	for _, path := range []string{"/api/executions", "/api/events", "/api/workflows", "/api/endpoints", "/api/workflows/" + id + "/versions", "/api/workflows/" + id + "/events"} {
		a := w.get(path)
		p := a.refused(503)
		require.Equal(t, "VIEWS_UNAVAILABLE", p.Error.Code, path)
		require.NotContains(t, string(a.raw), "hunter2")
		require.NotEmpty(t, a.header.Get("Retry-After"))
	}
}

// Damaged rows are built anew, so lists are to be asked again later; what is wrong with the file is for
// the log lines.
func TestLists_ViewsDamaged(t *testing.T) {
	w := newWorld(t, func(p *ports) {
		p.views = downViews{domain.E(domain.KindCorrupt, "read", "views", "page 7 is torn; rebuild the views")}
	})
	for _, path := range []string{"/api/executions", "/api/events", "/api/workflows", "/api/endpoints"} {
		a := w.get(path)
		p := a.refused(503)
		require.Equal(t, "VIEWS_UNAVAILABLE", p.Error.Code, path)
		require.Contains(t, p.Error.Message, "damaged")
		require.NotContains(t, string(a.raw), "page 7")
		require.NotEmpty(t, a.header.Get("Retry-After"))
	}
}

// Damage of the log does not pass, so nobody is asked to come back.
func TestLists_LogDamaged(t *testing.T) {
	w := newWorld(t, func(p *ports) {
		p.views = downViews{domain.E(domain.KindCorrupt, "read", "log", "offset 7: torn").WithCode(view.CodeLogDamaged)}
	})
	a := w.get("/api/events")
	require.Equal(t, 500, a.status)
	require.Empty(t, a.header.Get("Retry-After"))
	require.NotContains(t, string(a.raw), "offset 7")
}

// Dashboards cannot take more than their share: one list more than allowed is refused, and one that
// takes too long is given up.
func TestLists_AreBounded(t *testing.T) {
	views := heldViews{entered: make(chan struct{}, 8), release: make(chan struct{})}
	w := newWorld(t, func(p *ports) {
		views.Views = p.views
		p.views = views
		p.options.ListsMax, p.options.GateWait = 1, time.Millisecond
	})
	first := make(chan answer, 1)
	go func() { first <- w.get("/api/executions") }()
	<-views.entered
	a := w.get("/api/executions")
	require.Equal(t, "TOO_MANY_READS", a.refused(429).Error.Code)
	require.NotEmpty(t, a.header.Get("Retry-After"))
	require.Equal(t, 404, w.get("/api/executions/x").status, "reads by id have their own share")
	close(views.release)
	require.Equal(t, 200, (<-first).status)
	require.Equal(t, 200, w.get("/api/executions").status)

	slow := newWorld(t, func(p *ports) {
		p.views = heldViews{Views: p.views, entered: make(chan struct{}, 8), release: make(chan struct{})}
		p.options.ReadTimeout = 20 * time.Millisecond
	})
	require.Equal(t, "READ_TIMEOUT", slow.get("/api/executions").refused(504).Error.Code)
}
