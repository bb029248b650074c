package projections_test

import (
	"fmt"
	"testing"

	"quipu/domain"
	"quipu/domain/domaintest"
	"quipu/domain/run"
	"quipu/domain/wire"
	"quipu/projections"
)

// benchRuns are events of whole runs as a log holds them, twelve each: a start, five tasks with an
// input and an output of payload bytes, an end.
func benchRuns(runs, payload int) (events []domain.Recorded) {
	cause := wire.Cause{Actor: wire.Actor{Kind: wire.ActorSystem, Via: "executor"}, CommandID: "0190a0b0-0000-7000-8000-000000000009", CorrelationID: "0190a0b0-0000-7000-8000-000000000009"}
	text := fmt.Sprintf(`{"ticket":78453,"text":"%0*d"}`, payload, 7)
	value := domain.Raw([]byte(text))
	for n := range runs {
		id := fmt.Sprintf("0190a0b0-0000-7000-8000-%012x", n)
		stream := domain.StreamID("run-" + id)
		head := wire.NewHead()
		add := func(e run.Event) {
			typ, data := wire.EncodeRun(e)
			at := domaintest.At(len(events))
			var p domain.Pending
			p, head = wire.Seal(stream, head, at, cause, typ, data)
			events = append(events, domain.Recorded{
				Stream: stream, Revision: head.Revision, Position: domain.Position(len(events) + 1), ID: p.ID, Type: typ, Metadata: p.Metadata, Data: data,
			})
		}
		definition := domain.Raw([]byte(`{"nodes":[{"name":"a","type":"api_call","params":{}},{"name":"b","type":"api_call","params":{}}],"edges":[]}`))
		add(run.Started{RunID: id, Source: "lao", FlowName: "Flow", RunName: fmt.Sprint("ticket/", n), WorkflowID: "lao-0011223344556677", Definition: definition, Input: value})
		for _, task := range []string{"fetch_orders", "classify", "draft_reply", "review", "send"} {
			taskID := run.TaskID(id, task, 0)
			add(run.TaskStarted{Task: task, TaskID: taskID, Node: "0190a0b0-0000-7000-8000-0000000000aa", Function: "api_call", Input: value, Deadline: domaintest.At(60_000)})
			add(run.TaskCompleted{Task: task, TaskID: taskID, Attempt: 1, StartedAt: domaintest.At(len(events)), Output: value})
		}
		add(run.Completed{StartedAt: domaintest.At(0), Results: domain.Raw([]byte(`{"fetch_orders":2,"classify":4,"draft_reply":6,"review":8,"send":10}`))})
	}
	return events
}

// The projectors' share of a commit: events of 80 runs become rows.
func BenchmarkFold(b *testing.B) {
	for _, payload := range []int{100, 20_000} {
		b.Run(fmt.Sprintf("80_runs_of_12_events_%d_bytes", payload), func(b *testing.B) {
			events := benchRuns(80, payload)
			b.ReportAllocs()
			for b.Loop() {
				out := projections.Fold(projections.Known{}, events)
				if len(out.Changes.Parked) > 0 || len(out.Changes.Tasks) != 5*80 {
					b.Fatal(out.Changes.Parked, len(out.Changes.Tasks))
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(len(events)), "ns/event")
		})
	}
}
