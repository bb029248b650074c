package browsertest

import (
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

// The server dies or stops in the middle of a run: every client finds back by itself, sees each event
// in its order, and is told of the end once; the world outside is asked once, or again under the same
// key.
func TestRestart_ClientsLoseAndDoubleNothing(t *testing.T) {
	t.Parallel()
	for _, how := range []struct {
		name      string
		signal    syscall.Signal
		closeCode int
	}{
		{"KilledHard", syscall.SIGKILL, 1006},
		{"StoppedInOrder", syscall.SIGTERM, 1012},
	} {
		t.Run(how.name, func(t *testing.T) {
			t.Parallel()
			// With no window beyond the end, also clients without cookies come back to nothing old.
			w := newWorld(t, "--lao-replay-window", "1s", "--drain-timeout", "1s")
			g := w.gate("/gate")
			user := NewContext(t)
			clients := func(name string) map[string]*Reports {
				p := w.params(name, "Daily", "batch")
				p["triesMax"] = 30 // on a busy machine the server is away for longer than three tries take
				return map[string]*Reports{"chromium": user.Open(t, p.Page(w.site.Origin)).Reports, "node": Node(t, p).Reports}
			}
			samples, resuming := clients("lao-sample"), clients("lao-resume")
			var all []*Reports
			for _, of := range []map[string]*Reports{samples, resuming} {
				for _, r := range of {
					all = append(all, r)
					r.Await(t, "open", 1, 1)
				}
			}
			id := w.run(dag("Daily", "batch", w.ask("read", "/ok"), w.ask("work", "/gate", "read"), w.ask("answer", "/ok", "work")))
			key := g.await(t)
			for _, r := range all {
				r.AwaitThat(t, "the client sees the work begin", func() bool {
					return slices.Contains(events(r.Frames(1, 1)), "tool_started work")
				})
			}
			w.server.Signal(how.signal)
			w.restart()
			require.Equal(t, key, g.await(t), "the work again, under its key")
			opened := map[*Reports]int{}
			for _, r := range all {
				require.Equal(t, how.closeCode, r.Await(t, "close", 1, 1)[0].Code)
				r.Await(t, "open", 1, 2)
				opened[r] = r.Of("open", 1)[1].Socket // earlier ones were refused, while the server was away
			}
			close(g.open)

			for where, r := range samples {
				r.Await(t, "complete", 1, 1)
				r.AwaitThat(t, "the client has come back after its own close", func() bool { return len(r.Frames(1, opened[r]+1)) > 0 })
				require.Equal(t, "keepalive", r.Frames(1, opened[r]+1)[0].EventType, where)
				require.Len(t, r.Of("complete", 1), 1, where)
			}
			want := history(t, w, "Daily", "batch", id)
			for where, r := range resuming {
				r.Await(t, "complete", 1, 1)
				require.Equal(t, want, offsets(r.Frames(1, 0)), "%s: all sockets together, each event once", where)
			}
			for where, r := range samples {
				require.Equal(t, want, offsets(r.Frames(1, opened[r])), "%s: the second connection alone, from the first event", where)
			}
			noExceptions(t, all...)
			require.Equal(t, map[string]int{"read": 1, "work": 2, "answer": 1}, asked(w, id))
		})
	}
}

// seen is one event as clients tell it from others.
type seen struct {
	Type, Task   string
	Offset, Prev int64
}

// offsets are the frames that are events. prev is kept only where it must be the offset before.
func offsets(frames []Event) []seen {
	var out []seen
	for _, f := range frames {
		if f.Offset != nil && f.Prev != nil {
			out = append(out, seen{f.EventType, f.TaskName, *f.Offset, *f.Prev})
		}
	}
	return out
}

// history is the run as the log has it.
func history(t *testing.T, w *world, flow, run, id string) []seen {
	t.Helper()
	var out []seen
	for _, f := range w.server.Open(t, flow, run, "from=0&execution_id="+id).ToEnd(t) {
		out = append(out, seen{f.EventType, f.TaskName, *f.Offset, f.Prev})
	}
	return out
}

// asked counts the requests of each of a run's tasks to the stub.
func asked(w *world, id string) map[string]int {
	out := map[string]int{}
	for _, c := range w.stub.Calls() {
		if task, ok := strings.CutPrefix(c.Key, id+"/"); ok {
			out[strings.TrimSuffix(task, "/0")]++
		}
	}
	return out
}
