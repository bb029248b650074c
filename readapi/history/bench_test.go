package history

import (
	"context"
	"testing"
	"time"

	"quipu/domain"
	"quipu/domain/wire"
	"quipu/projections/view"
	"quipu/readapi/orchestrator"
)

// plain shows values that have no holes.
type plain struct{}

func (plain) Render(_ context.Context, _ string, v domain.Value, _ int) ([]byte, error) {
	return v.JSON, nil
}

func (plain) Definition(_ context.Context, v domain.Value, _ int) ([]byte, error) { return v.JSON, nil }

type oneLog struct{ Log }

func (oneLog) ID() domain.LogID { return "0190a0b0-0000-7000-8000-000000000001" }

// What rendering adds to the database's time of a list.
func BenchmarkRender_100Executions(b *testing.B) {
	r := &Routes{deps: Deps{Payloads: plain{}, Log: oneLog{}}}
	at := time.UnixMilli(1756806125043).UTC()
	e := view.Execution{
		Position: 7, ID: "0190a0b0-0000-7000-8000-000000000001", WorkflowID: "lao-0011223344556677", Source: "lao", FlowName: "Customer_Support",
		RunName: "ticket_78453", Status: view.Completed, StartedAt: at, EndedAt: at.Add(time.Second), Input: domain.Raw([]byte(`{"q":"hello"}`)),
		LastOffset: 11, LastPosition: 4711, Tasks: view.TaskCounts{Total: 5, Started: 5, Completed: 5, Attempts: 5},
	}
	b.ReportAllocs()
	var buf []byte
	for b.Loop() {
		buf = buf[:0]
		for range 100 {
			var err error
			if buf, err = r.appendExecution(b.Context(), buf, &e); err != nil {
				b.Fatal(err)
			}
		}
	}
	if len(buf) < 100*200 {
		b.Fatal("rendered", len(buf))
	}
}

func BenchmarkRender_100Events(b *testing.B) {
	shown := orchestrator.New(plain{}, orchestrator.Options{LogID: "l"})
	data := []byte(`{"task":"a","task_id":"6f2d1c9a-0000-8000-8000-0123456789ab","iteration":0,"attempt":1,"started_at":"2026-01-02T03:04:05.679Z","output":{"json":{"ok":true}}}`)
	p, _ := wire.Seal("run-1", wire.Head{Revision: 4}, time.UnixMilli(1756806125043), wire.Cause{CommandID: "c"}, wire.RunTaskCompleted, data)
	e := orchestrator.Event{Recorded: &domain.Recorded{Stream: "run-1", Revision: 5, Position: 7, ID: p.ID, Type: p.Type, Metadata: p.Metadata, Data: data}, ExecutionID: "1", NodeType: "bench_noop"}
	b.ReportAllocs()
	var buf []byte
	for b.Loop() {
		buf = buf[:0]
		for range 100 {
			var err error
			if buf, err = shown.AppendAudited(b.Context(), buf, e); err != nil {
				b.Fatal(err)
			}
		}
	}
	if len(buf) < 100*500 {
		b.Fatal("rendered", len(buf))
	}
}
