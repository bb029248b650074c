package viewstest

import (
	"bytes"
	"strings"
	"time"

	"github.com/stretchr/testify/require"

	"quipu/domain"
	"quipu/projections"
	"quipu/projections/view"
)

// hostile are texts that stores trip over. Names are checked before they get here; a store keeps
// whatever it is given all the same.
var hostile = []string{
	"a", "A", "a ", " a", "é", "e\u0301", "😀", "漢字", "%", "_", "a%", "a_", `\`, `\x41`, `a\`, "'", `"`, "''", `a'b"c`,
	"'; DROP TABLE executions; --", "$1", "?1", ":name", "@p", "NULL", "null", "0", "1", "1e3", "0x10", "-1", "true", "{}", "[1]",
	"\x00", "a\x00", "a\x00b", "\x1f", "\u007f", "\u2028", "\ufeff", "\ufffd", "\xff\xfe", "a\xc3", "\n", "\t\r\n",
	strings.Repeat("n", domain.NameBytesMax), strings.Repeat("é", domain.NameBytesMax/2), strings.Repeat("n", domain.NameBytesMax-1) + "m",
}

var hostileCases = []Case{
	{Name: "Hostile_StringsEverywhere", Run: func(e *Env) {
		w := NewWorld(40)
		w.words = hostile
		p := e.pair(w)
		p.fill(w, 2500)
		p.check()
		for _, s := range hostile {
			pg := view.Page{Limit: 20, Total: true}
			for _, q := range []view.ExecutionQuery{{WorkflowID: s}, {Source: s}, {FlowName: s}, {RunName: s}, {ConnectionID: s}, {RetryOf: s}, {Status: view.Status(s)}} {
				q.Page = pg
				p.executionsOnce(e, q)
			}
			for _, q := range []view.EventQuery{{WorkflowID: s}, {ExecutionID: s}, {Node: s}, {Types: []string{s}}, {Types: hostile}} {
				q.Page = pg
				p.eventsOnce(e, q)
			}
			p.tasks(s)
			p.approvals(view.ApprovalQuery{WorkflowID: s})
			p.approvals(view.ApprovalQuery{ExecutionID: s, Status: view.ApprovalStatus(s)})
			for _, f := range []view.WorkflowQuery{{Name: s}, {Endpoint: s}} {
				f.Page = pg
				p.workflows(f)
			}
			for _, other := range hostile {
				p.name(s, other)
			}
		}
	}},
	{Name: "Hostile_IDs", Run: func(e *Env) {
		w := NewWorld(41)
		p := e.pair(w)
		c := projections.Changes{Log: domain.LogID(hostile[0]), To: 1000, Versions: map[string]int{"a": 1 << 40}}
		for i, s := range hostile {
			w.pos = domain.Position(i + 1)
			row := view.Execution{
				Position: w.pos, ID: s, Status: view.Running, StartedAt: w.at, FailedTask: s, CurrentNode: s,
				Error: view.Error{Type: s, Code: s, Message: s}, ConnectionID: s, RetryOf: s,
			}
			c.Approvals = append(c.Approvals, view.Approval{
				Position: w.pos, Execution: w.pos, ExecutionID: s, WorkflowID: s, Task: s, TaskID: s, Request: domain.Raw([]byte(s)),
				Status: view.ApprovalRejected, Approver: s, Comment: s, ActorKind: s, ActorID: s,
			})
			c.Executions = append(c.Executions, row)
			c.Tasks = append(c.Tasks, view.Task{Execution: w.pos, Task: s, TaskID: s, Function: s, Status: view.Running, EndedOffset: domain.NoStream, Error: view.Error{Type: s, Message: s}, Wait: view.Wait{Kind: view.WaitEvent, Channel: s}})
			event := w.event(domain.StreamID("run-"+s), s, &row, s)
			event.Metadata, event.Data, event.NodeType = nil, nil, s
			c.Events = append(c.Events, event)
			f := view.Workflow{Position: w.pos, ID: s, Name: s, Description: s, Endpoint: s, Version: 1}
			c.Workflows = append(c.Workflows, f)
			c.WorkflowVersions = append(c.WorkflowVersions, view.WorkflowVersion{WorkflowID: s, Version: 1, Name: s, Description: s, Endpoint: s, Position: w.pos})
			c.Endpoints = append(c.Endpoints, view.Endpoint{ID: s, Slug: s, Position: w.pos})
			c.Parked = append(c.Parked, view.Parked{Projector: s, Position: w.pos, Stream: domain.StreamID(s), Type: s, Reason: s})
		}
		withoutBytes(w.Log)
		p.commit(c)
		p.check()
		for _, s := range hostile {
			runs, err := p.store.Runs(e.Context(), []string{s})
			require.NoError(e, err)
			require.Len(e, runs, 1)
			require.Len(e, runs[s].Open, 1)
			flows, err := p.store.Workflows(e.Context(), []string{s})
			require.NoError(e, err)
			require.Equal(e, s, flows[s].Name)
			p.tasks(s)
			p.events(view.EventQuery{ExecutionID: s})
			p.events(view.EventQuery{Types: []string{s}, Node: s})
		}
		want, err := p.twin.Parked(e.Context(), 1000)
		require.NoError(e, err)
		got, err := p.store.Parked(e.Context(), 1000)
		require.NoError(e, err)
		same(e, want, got)
	}},
	{Name: "Hostile_Payloads", Run: func(e *Env) {
		w := NewWorld(42)
		p := e.pair(w)
		contents := [][]byte{
			[]byte(`"\u0000"`), []byte(`{"\u0000":"\ud800","\udfff\ud800":1}`), []byte(`1e400`), []byte(`-0`), []byte(`{"b":1,"a":1,"a":2}`),
			[]byte(" { \"a\" :\t1 }\n"), []byte(`0.1000000000000000055511151231257827`), []byte("\xff"),
			{0},
			[]byte(`"` + strings.Repeat("\x00", 1000) + `"`),
			bytes.Repeat([]byte("0123456789abcdef"), 32<<10), // 512 KiB
		}
		c := projections.Changes{Log: w.LogID}
		for _, b := range contents {
			for _, holes := range [][]domain.Hole{nil, {{At: "/\x00/~1", Sealed: "s", FP: "\u0000"}, {At: "", Blob: "zz", Bytes: -1}}} {
				w.tick()
				v := domain.Value{JSON: b, Holes: holes}
				row := view.Execution{Position: w.pos, ID: w.uuid(), Status: view.Running, StartedAt: w.at, Input: v}
				c.Executions = append(c.Executions, row)
				event := w.event(domain.StreamID("run-"+row.ID), "run.started.v1", &row, "")
				event.Data, event.Metadata = b, b[:min(len(b), 1000)]
				w.Log.set(event)
				c.Events = append(c.Events, event)
				c.Workflows = append(c.Workflows, view.Workflow{Position: w.pos, ID: w.uuid(), Graph: v, Version: 1})
				c.WorkflowVersions = append(c.WorkflowVersions, view.WorkflowVersion{WorkflowID: "w", Version: len(c.WorkflowVersions), Graph: v, Position: w.pos})
			}
		}
		c.To = w.pos
		p.commit(c)
		p.check()
		p.events(view.EventQuery{})
		p.executions(view.ExecutionQuery{})
	}},
	{Name: "Hostile_Clocks", Run: func(e *Env) {
		w := NewWorld(43)
		w.wild = true
		p := e.pair(w)
		p.fill(w, 3000)
		p.check()
		instants := append([]time.Time{time.Time{}.Add(1e6), w.at, w.at.Add(1e6), w.at.Add(-time.Hour)}, wildTimes...)
		for _, from := range instants {
			for _, to := range instants {
				pg := view.Page{Limit: 50, Total: true, Ascending: w.chance(2)}
				p.executionsOnce(e, view.ExecutionQuery{StartedFrom: from, StartedTo: to, Page: pg})
				p.eventsOnce(e, view.EventQuery{From: from, To: to, Page: pg})
				p.eventsOnce(e, view.EventQuery{From: from, Page: pg, Types: []string{"run.started.v1"}})
				p.eventsOnce(e, view.EventQuery{To: to, Page: pg, Node: "alpha"})
			}
		}
	}},
	{Name: "Hostile_Positions", Run: func(e *Env) {
		const top = 1<<63 - 1 // what two of the databases call the largest integer
		w := NewWorld(44)
		w.stride = 1 << 30
		p := e.pair(w)
		p.fill(w, 90) // each a partition of its own
		w.pos, w.stride = top-1000, 2
		p.commit(w.Merge(p.at, w.Steps(90)))
		w.pos = top - 1
		w.stride = 1
		p.commit(w.Merge(p.at, w.Steps(1)))
		require.EqualValues(e, top, e.state(p.store).Position)
		p.check()
		for _, at := range []domain.Position{1, top - 1000, top - 1, top} {
			p.events(view.EventQuery{After: at})
			p.events(view.EventQuery{Before: at})
			p.events(view.EventQuery{Before: at, From: w.at.Add(-time.Minute)})
			p.executions(view.ExecutionQuery{AsOf: at})
			p.executions(view.ExecutionQuery{AsOf: at, Status: view.Running})
			p.executions(view.ExecutionQuery{StartedFrom: w.at.Add(-time.Minute)})
		}
		// Questions may name what no log reaches.
		p.events(view.EventQuery{After: 1<<64 - 1})
		p.events(view.EventQuery{Before: 1<<64 - 1})
		p.executions(view.ExecutionQuery{AsOf: 1<<64 - 1, Status: view.Running})
		p.eventsOnce(e, view.EventQuery{Page: view.Page{Limit: 5, Key: 1<<64 - 1}})
		p.eventsOnce(e, view.EventQuery{Page: view.Page{Limit: 5, Key: 1<<64 - 1, Ascending: true}})
	}},
	{Name: "Hostile_FinerInstantsAreCut", Run: func(e *Env) {
		w := NewWorld(45)
		p := e.pair(w)
		at := time.Date(2026, 1, 2, 3, 4, 5, 6_999_999, time.FixedZone("east", 3600))
		p.commit(projections.Changes{Log: w.LogID, To: 1, Executions: []view.Execution{{Position: 1, ID: "a", Status: view.Completed, StartedAt: at, EndedAt: at}}})
		p.check()
		require.True(e, e.Dump(p.store).Executions[0].StartedAt.Equal(domain.Instant(at)))
	}},
}

// withoutBytes drops data and metadata of all events.
func withoutBytes(l *Log) {
	for _, events := range l.streams {
		for i := range events {
			events[i].Data, events[i].Metadata = nil, nil
		}
	}
}

// set replaces what was recorded of e.
func (l *Log) set(e view.Event) { l.streams[e.Stream][e.Revision] = e.Recorded }
