package proctest

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"quipu/domain"
	"quipu/domain/name"
	"quipu/domain/wire"
	"quipu/internal/historytest"
)

// The promise of the product: kill -9 at any moment, any number of times, and nothing that was
// acknowledged is missing, every run ends, and every client that comes back with its cursor sees
// each event once.
func TestKill_NothingAcknowledgedIsLost(t *testing.T) {
	seed := Seed(t)
	w := newWorld(t, seed)
	data := DataFolder(t)
	r := rand.New(rand.NewPCG(uint64(seed), 1<<32))
	for i := range 3 {
		w.follow(r, "shared", fmt.Sprintf("name %d/ü", i), "", "")
	}
	end := w.post(20)
	defer end()

	var recovered []time.Duration
	for n := 0; n < Kills(); n++ {
		s := w.serve(data)
		switch kind := r.IntN(8); {
		case kind == 0: // while it starts and recovers
			Pause(w.all, time.Duration(r.IntN(40))*time.Millisecond)
		case kind == 1: // just when it is ready
			recovered = append(recovered, s.Ready())
		default:
			recovered = append(recovered, s.Ready())
			Pause(w.all, time.Duration(5+r.IntN(395))*time.Millisecond)
		}
		s.Kill()
		if t.Failed() {
			return
		}
	}
	end()
	s := w.serve(data)
	ready := s.Ready()
	Eventually(t, time.Minute, "every run has ended", func() bool {
		active, ok := w.client.Metric(w.all, "quipu_runs_active")
		pending, ok2 := w.client.Metric(w.all, "quipu_runs_pending")
		return ok && ok2 && active == 0 && pending == 0
	})
	ended := time.Since(s.Started)
	w.posters.Wait()
	quarantined, _ := w.client.Metric(w.all, "quipu_runs_quarantined")
	require.Zero(t, quarantined, "runs are quarantined")

	w.settle()
	replays := w.replay()
	s.Stop()
	w.stop()
	w.watchers.Wait()
	code, out := Run(t, "log", "verify", "--data", data)
	require.Zero(t, code, out)
	h := historytest.Read(t, data)
	w.check(h, replays)
	w.checkSecret(data)

	slices.Sort(recovered)
	t.Logf("%d kills; %d starts acknowledged, %d refused, %d without an answer, %d cancelled; %d events, %d calls outside, %d followers with %d connections",
		Kills(), len(w.starts), w.refused, w.unknown, w.cancelled, h.Events, len(w.stub.Calls()), len(w.followers), w.dials())
	t.Logf("start to ready: median %s, longest %s; after the last kill ready in %s, all runs ended after %s",
		recovered[len(recovered)/2].Round(time.Millisecond), recovered[len(recovered)-1].Round(time.Millisecond), ready.Round(time.Millisecond), ended.Round(time.Millisecond))
	t.Logf("%s", out)
}

// serve starts the next server and tells the clients where it is as soon as it is ready.
func (w *world) serve(data string) *Server {
	s := Start(w.t, Options{Data: data, Args: []string{"--lao-replay-window", "10m"}})
	w.watchers.Go(func() {
		select {
		case <-s.ready:
			w.addr.Store(&s.addr)
		case <-s.exited:
		}
	})
	return s
}

// settle waits until every follower of an acknowledged run has seen its end.
func (w *world) settle() {
	w.t.Helper()
	w.mu.Lock()
	starts := slices.Collect(maps.Values(w.starts))
	w.mu.Unlock()
	limit := time.After(30 * time.Second)
	for _, s := range starts {
		w.mu.Lock()
		f := s.follower
		w.mu.Unlock()
		if f == nil {
			continue
		}
		select {
		case <-f.done:
		case <-limit:
			w.t.Fatalf("the follower of %s/%s (%s) has not seen its end; it has %v", s.flow, s.run, s.id, f.trace)
		}
	}
	// Those of the shared names rest when the newest run of each has been shown to its end.
	Eventually(w.t, 30*time.Second, "the followers of shared names have seen the ends", func() bool {
		for _, f := range w.followers[:3] {
			f.mu.Lock()
			rests := f.ended || len(f.trace) == 0
			f.mu.Unlock()
			if !rests {
				return false
			}
		}
		return true
	})
}

// replay reads every acknowledged run again, from its first event, and asks for its status.
func (w *world) replay() map[string][]historytest.Seen {
	w.mu.Lock()
	starts := slices.Collect(maps.Values(w.starts))
	w.mu.Unlock()
	replays := map[string][]historytest.Seen{}
	var mu sync.Mutex
	var group sync.WaitGroup
	queue := make(chan *start, len(starts))
	for _, s := range starts {
		queue <- s
	}
	close(queue)
	for range 8 {
		group.Go(func() {
			for s := range queue {
				trace := w.replayOne(s)
				w.checkStatus(s)
				mu.Lock()
				replays[s.id] = trace
				mu.Unlock()
			}
		})
	}
	group.Wait()
	return replays
}

func (w *world) replayOne(s *start) (trace []historytest.Seen) {
	ctx, cancel := context.WithTimeout(w.all, 30*time.Second)
	defer cancel()
	socket, err := Dial(ctx, w.address(), s.flow, s.run, "from=0&execution_id="+s.id)
	if err != nil {
		w.t.Errorf("replay of %s: %v", s.id, err)
		return nil
	}
	defer socket.Close()
	prev := int64(-1)
	for f := range socket.Frames {
		if f.Offset == nil {
			continue
		}
		if *f.Offset != prev+1 || f.Prev != prev || f.ExecutionID != s.id {
			w.t.Errorf("replay of %s: after offset %d came %s", s.id, prev, f.Raw)
			return trace
		}
		prev = *f.Offset
		trace = append(trace, historytest.Seen{Execution: s.id, Offset: prev, Event: f.EventID})
		if f.Ends() {
			return trace
		}
	}
	w.t.Errorf("replay of %s stopped after offset %d: %v", s.id, prev, socket.Err)
	return trace
}

// checkStatus compares what task-status says with what it said before, and with what must come out.
func (w *world) checkStatus(s *start) {
	ctx, cancel := context.WithTimeout(w.all, 30*time.Second)
	defer cancel()
	reply, err := w.client.Do(ctx, http.MethodGet, "/task-status/"+s.id, nil)
	var status Status
	if err != nil || reply.Status != http.StatusOK || reply.JSON(&status) != nil {
		w.t.Errorf("status of %s: %v %d %s", s.id, err, reply.Status, reply.Body)
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if s.status != nil && !bytes.Equal(s.status, reply.Body) {
		w.t.Errorf("the end of %s was\n%s\nand is now\n%s", s.id, s.status, reply.Body)
	}
	want := "completed"
	if s.kind == "fail" || s.cancelled {
		want = "failed"
	}
	if status.Status != want && (!s.doubtful || status.Error.Code != "CANCELLED") {
		w.t.Errorf("%s (%s, cancelled %v) ended as %.2000s", s.id, s.kind, s.cancelled, reply.Body)
	}
	if status.Status != "completed" {
		return
	}
	for task, output := range s.want {
		if got := string(status.Results[task]); got != output {
			w.t.Errorf("%s: output of %q is %.200s, want %.200s", s.id, task, got, output)
		}
	}
}

func (w *world) dials() (n int) {
	for _, f := range w.followers {
		n += f.dials
	}
	return n
}

func (w *world) check(h historytest.History, replays map[string][]historytest.Seen) {
	t := w.t
	for id, s := range w.starts {
		events := h.Runs[id]
		if len(events) == 0 || events[0].Type != wire.RunStarted {
			t.Errorf("the acknowledged start %s of %s/%s is not in the log", id, s.flow, s.run)
			continue
		}
		_, hex, _ := strings.Cut(s.position[strings.LastIndex(s.position, "-"):], "-")
		position, err := strconv.ParseUint(hex, 16, 64)
		if err != nil || !slices.ContainsFunc(events, func(e domain.Recorded) bool { return uint64(e.Position) == position }) {
			t.Errorf("the start %s was acknowledged at position %q, where it is not", id, s.position)
		}
		if got, want := replays[id], h.Trace(id); !slices.Equal(got, want) {
			t.Errorf("replay of %s shows %d events, the log has %d", id, len(got), len(want))
		}
	}
	h.CheckRuns(t)
	h.CheckNames(t)
	w.checkFollowers(h)
	w.checkCalls(h)
}

// checkFollowers: every trace is what the log says, from the first event of a run on, run by run.
func (w *world) checkFollowers(h historytest.History) {
	for _, f := range w.followers {
		want := []historytest.Seen{}
		var order []string
		for _, e := range h.Names[name.Stream(f.flow, f.run)] {
			b, _ := wire.DecodeNameBound(e.Type, e.Data)
			if events := h.Runs[b.ExecutionID]; len(events) > 0 && events[0].Type != wire.RunAbandoned {
				order = append(order, b.ExecutionID)
			}
		}
		if len(f.trace) > 0 { // it may have come when earlier runs of the name were over
			order = order[max(0, slices.Index(order, f.trace[0].Execution)):]
		}
		for _, id := range order {
			want = append(want, h.Trace(id)...)
		}
		if len(f.trace) > len(want) || !slices.Equal(f.trace, want[:len(f.trace)]) || f.forever && len(f.trace) != len(want) {
			w.t.Errorf("a follower of %s/%s has seen %d events that are not what the log has (%d)", f.flow, f.run, len(f.trace), len(want))
		}
	}
}

// checkCalls: see historytest.
func (w *world) checkCalls(h historytest.History) {
	var calls []historytest.Call
	for _, c := range w.stub.Calls() {
		calls = append(calls, historytest.Call{Key: c.Key, Attempt: c.Attempt, Request: c.Method + " " + c.URL + " " + c.BodySum, Serial: c.Serial})
	}
	h.CheckCalls(w.t, calls)
}

// checkSecret looks at every byte that was written.
func (w *world) checkSecret(data string) {
	told := false
	for _, c := range w.stub.Calls() {
		told = told || c.Header.Get("X-Api-Key") == w.secret
	}
	require.True(w.t, told, "no agent got the real key")
	require.NoError(w.t, filepath.WalkDir(data, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := os.ReadFile(path)
		if bytes.Contains(b, []byte(w.secret)) {
			w.t.Errorf("%s holds the secret", path)
		}
		return err
	}))
}
