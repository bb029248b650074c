package viewstest

import (
	"fmt"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"quipu/domain"
	"quipu/projections"
	"quipu/projections/view"
)

// RunEvents is how many events a run of the benchmarks has: a start, five tasks that start and
// complete, an end.
const RunEvents = 12

// BenchRuns makes the changes of runs of RunEvents events, whole runs at a time, as projectors give
// them while catching up: each row once, in its last state. first counts runs, from 0.
func BenchRuns(log domain.LogID, first, runs int) projections.Changes {
	after := domain.Position(first * RunEvents)
	c := projections.Changes{Log: log, After: after, To: after + domain.Position(runs*RunEvents), Versions: map[string]int{"runs": 1}}
	for i := range runs {
		benchRun(&c, first+i)
	}
	return c
}

var benchInput = domain.Raw([]byte(`{"ticket":78453,"customer":{"name":"Ada","plan":"gold"},"text":"` + fmt.Sprintf("%0100d", 7) + `"}`))

func benchRun(c *projections.Changes, n int) {
	key := domain.Position(n*RunEvents + 1)
	at := time.UnixMilli(1_800_000_000_000 + int64(n)).UTC()
	id := fmt.Sprintf("0190a0b0-%04x-7000-8000-%012x", n>>16&0xffff, n)
	stream := domain.StreamID("run-" + id)
	e := view.Execution{
		Position: key, ID: id, WorkflowID: fmt.Sprintf("lao-%016x", n%50), Source: "lao", FlowName: fmt.Sprintf("Flow %d", n%50),
		RunName: "ticket/" + fmt.Sprint(n), Status: view.Completed, StartedAt: at, EndedAt: at.Add(time.Second), Input: benchInput,
		LastOffset: RunEvents - 1, LastPosition: key + RunEvents - 1,
		Tasks: view.TaskCounts{Total: 5, Started: 5, Completed: 5, Attempts: 5},
	}
	c.Executions = append(c.Executions, e)
	c.Statuses = append(c.Statuses,
		view.StatusInterval{Execution: key, Status: view.Running, From: key, To: e.LastPosition},
		view.StatusInterval{Execution: key, Status: view.Completed, From: e.LastPosition})
	event := func(revision int, typ, node string) {
		v := view.Event{At: at.Add(time.Duration(revision) * 10 * time.Millisecond), Execution: key, ExecutionID: id, WorkflowID: e.WorkflowID, Node: node}
		v.Stream, v.Revision, v.Position, v.Type = stream, domain.Revision(revision), key+domain.Position(revision), typ
		v.ID, v.Metadata, v.Data = domain.EventID{1, byte(n), byte(revision)}, benchMetadata, benchData
		c.Events = append(c.Events, v)
	}
	event(0, "run.started.v1", "")
	for t := range 5 {
		node := benchNodes[t]
		c.Tasks = append(c.Tasks, view.Task{
			Execution: key, Task: node, TaskID: fmt.Sprintf("6f2d1c9a-%04x-8000-8000-%012x", t, n), Function: "api_call",
			Status: view.Completed, Attempts: 1, StartedAt: at, EndedAt: at.Add(time.Second),
			StartedOffset: domain.Revision(1 + 2*t), EndedOffset: domain.Revision(2 + 2*t),
		})
		event(1+2*t, "run.task_started.v1", node)
		event(2+2*t, "run.task_completed.v1", node)
	}
	event(RunEvents-1, "run.completed.v1", "")
}

var (
	benchNodes    = []string{"fetch_orders", "classify", "draft_reply", "review", "send"}
	benchMetadata = make([]byte, 330)
	benchData     = make([]byte, 350)
)

// Benchmark measures commits of whole runs: catching up in batches of about a thousand events, and
// small batches as a live view makes them. It reports events a second and processor time an event.
func Benchmark(b *testing.B, open OpenFunc) {
	for _, runs := range []int{1, 8, 84, 840} {
		b.Run(fmt.Sprintf("Commit_%dEvents", runs*RunEvents), func(b *testing.B) {
			v := open(b, NewLog())
			s, err := v.Current(b.Context())
			require.NoError(b, err)
			n := 0
			var spent time.Duration
			b.ResetTimer()
			for range b.N {
				b.StopTimer()
				c := BenchRuns("bench", n, runs)
				n += runs
				before := CPU()
				b.StartTimer()
				if err := s.Commit(b.Context(), c); err != nil {
					b.Fatal(err)
				}
				spent += CPU() - before
			}
			b.StopTimer()
			Report(b, n*RunEvents, spent)
			require.NoError(b, v.Close())
		})
	}
}

// CPU is the processor time that this process has used.
func CPU() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// Report adds events a second and processor time an event to a benchmark's line.
func Report(b *testing.B, events int, cpu time.Duration) {
	b.ReportMetric(float64(events)/b.Elapsed().Seconds(), "events/s")
	b.ReportMetric(float64(cpu.Microseconds())/float64(events), "cpu-us/event")
}
