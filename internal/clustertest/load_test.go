package clustertest

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"quipu/internal/historytest"
	"quipu/internal/proctest"
)

// load are clients of a cluster and all that they remember.
type load struct {
	t    testing.TB
	c    *cluster
	seed int64
	stub *proctest.Stub
	all  context.Context // ends with the test
	stop context.CancelFunc

	clients   []*proctest.Client // by node
	watchers  sync.WaitGroup
	retries   atomic.Int64 // of starts, under their key
	ambiguous atomic.Int64 // starts whose first answer did not come

	mu        sync.Mutex
	runs      map[string]*started // acknowledged, by id
	followers []*follower
}

// started is an acknowledged start.
type started struct {
	id, flow, name, kind string
	mark                 string            // the run's input
	want                 map[string]string // task -> output that must come out, as JSON
	follower             *follower
}

func newLoad(t testing.TB, c *cluster, seed int64) *load {
	l := &load{t: t, c: c, seed: seed, stub: proctest.NewStub(t), runs: map[string]*started{}}
	l.all, l.stop = context.WithCancel(t.Context())
	t.Cleanup(func() {
		l.stop()
		l.watchers.Wait()
	})
	for _, n := range c.nodes {
		l.clients = append(l.clients, n.client())
	}
	l.stub.Handle("/slow", func(w http.ResponseWriter, r *http.Request, c *proctest.Call) {
		if proctest.Pause(r.Context(), time.Duration(20+c.Serial%7*20)*time.Millisecond) {
			_, _ = fmt.Fprintf(w, `{"serial":%d,"key":%q,"sum":%q}`, c.Serial, c.Key, c.BodySum)
		}
	})
	return l
}

// post starts `total` runs over all nodes by so many clients, each of which must be acknowledged in the end.
func (l *load) post(total, clients int) {
	var group sync.WaitGroup
	var next atomic.Int64
	for i := range clients {
		r := rand.New(rand.NewPCG(uint64(l.seed), uint64(i)))
		group.Go(func() {
			for {
				n := next.Add(1)
				if n > int64(total) || l.t.Failed() || l.all.Err() != nil {
					return
				}
				l.one(r, fmt.Sprintf("r%06d", n))
				proctest.Pause(l.all, time.Duration(50+r.IntN(600))*time.Millisecond) // faults come over time
			}
		})
	}
	group.Wait()
}

// one starts a run and, every third time, follows it.
func (l *load) one(r *rand.Rand, name string) {
	s, body := l.build(r, "cluster", name)
	if !l.start(r, s, body) {
		return
	}
	if r.IntN(3) == 0 {
		l.follow(r, s)
	}
}

// startLimit is how long a client goes on asking for one start: longer than any fault lasts.
const startLimit = 90 * time.Second

// start posts a run under a key, to one node after the other until one has answered.
func (l *load) start(r *rand.Rand, s *started, body []byte) bool {
	limit, cancel := context.WithTimeout(l.all, startLimit)
	defer cancel()
	key := "start-" + s.name
	last := "no answer"
	for try := 0; limit.Err() == nil; try++ {
		if try > 0 {
			l.retries.Add(1)
			proctest.Pause(limit, time.Duration(5+r.IntN(100))*time.Millisecond)
		}
		ctx, done := context.WithTimeout(limit, 10*time.Second)
		reply, err := l.clients[r.IntN(len(l.clients))].Do(ctx, http.MethodPost, "/run-dag/", body, "Idempotency-Key", key)
		done()
		if err != nil {
			if try == 0 {
				l.ambiguous.Add(1)
			}
			last = err.Error()
			continue
		}
		switch reply.Status {
		case http.StatusOK:
			var a proctest.Started
			if err := reply.JSON(&a); err != nil || a.TaskID == "" || a.FlowName != s.flow || a.RunName != s.name {
				l.t.Errorf("odd acknowledgement of %s: %s", s.name, reply.Body)
				return false
			}
			s.id = a.TaskID
			l.mu.Lock()
			defer l.mu.Unlock()
			if l.runs[s.id] != nil {
				l.t.Errorf("two starts were acknowledged with one id %s", s.id)
			}
			l.runs[s.id] = s
			return true
		case http.StatusServiceUnavailable, http.StatusTooManyRequests, http.StatusGatewayTimeout:
			last = fmt.Sprintf("%d %s", reply.Status, reply.Body)
		default:
			l.t.Errorf("start of %s, try %d: %d %s", s.name, try+1, reply.Status, reply.Body)
			return false
		}
	}
	if l.all.Err() == nil {
		l.t.Errorf("start of %s was not acknowledged within %s; the last answer: %s", s.name, startLimit, last)
	}
	return false
}

type task struct {
	Name     string         `json:"name"`
	Function string         `json:"function"`
	Params   map[string]any `json:"params"`
}

func noop(name string, value any, more ...string) task {
	t := task{Name: name, Function: "bench_noop", Params: map[string]any{"value": value}}
	for i, d := range more {
		t.Params[fmt.Sprintf("d%d", i)] = map[string]any{"depends": d}
	}
	return t
}

func depends(on string) map[string]any { return map[string]any{"depends": on} }

func call(name, url string, siblings map[string]any) task {
	t := task{Name: name, Function: "api_call", Params: map[string]any{"config": map[string]any{
		"url": url, "method": "POST", "retry": map[string]any{"attempts": 8, "initial": "20ms", "max": "100ms"},
	}}}
	for k, v := range siblings {
		t.Params[k] = v
	}
	return t
}

func quoted(s string) string {
	b, _ := json.Marshal(s)
	return string(b)
}

// build makes one run of a random kind. Every value is unique, so that a mix-up shows.
func (l *load) build(r *rand.Rand, flow, name string) (*started, []byte) {
	mark := fmt.Sprintf("%s %s %x", flow, name, r.Uint64())
	s := &started{flow: flow, name: name, mark: mark, want: map[string]string{}}
	var tasks []task
	switch r.IntN(6) {
	case 0:
		s.kind = "chain"
		tasks = append(tasks, noop("t0", map[string]any{"input": "mark"}))
		for i := range 1 + r.IntN(5) {
			tasks = append(tasks, noop(fmt.Sprintf("t%d", i+1), depends(fmt.Sprintf("t%d", i))))
		}
		for _, t := range tasks {
			s.want[t.Name] = quoted(mark)
		}
	case 1:
		s.kind = "fan"
		tasks = append(tasks, noop("root", mark))
		var leaves []string
		for i := range 2 + r.IntN(10) {
			leaf := fmt.Sprintf("leaf %d", i)
			leaves = append(leaves, leaf)
			tasks = append(tasks, noop(leaf, i, "root"))
			s.want[leaf] = fmt.Sprint(i)
		}
		tasks = append(tasks, noop("end", depends("root"), leaves...))
		s.want["end"] = quoted(mark)
	case 2:
		s.kind = "call"
		tasks = append(tasks, noop("t0", mark), call("a/b ü", l.stub.URL+"/ok/"+fmt.Sprint(r.Uint64()), map[string]any{"x": depends("t0")}), noop("t2", depends("a/b ü")))
	case 3:
		s.kind = "flaky"
		tasks = append(tasks, call("flaky", l.stub.URL+"/flaky", map[string]any{"x": mark}), call("other", l.stub.URL+"/ok", map[string]any{"y": mark}), noop("end", mark, "flaky", "other"))
		s.want["end"] = quoted(mark)
	case 4:
		s.kind = "slow"
		for i := range 2 {
			tasks = append(tasks, call(fmt.Sprintf("slow%d", i), l.stub.URL+"/slow?i="+fmt.Sprint(i), map[string]any{"x": mark, "i": i}))
		}
		tasks = append(tasks, noop("end", mark, "slow0", "slow1"))
		s.want["end"] = quoted(mark)
	case 5:
		s.kind = "fail"
		tasks = append(tasks, noop("before", mark), call("bad", l.stub.URL+"/fail", map[string]any{"x": depends("before")}), noop("never", 1, "bad"))
	}
	return s, dag(s, tasks...)
}

// dag is the body that asks for a run.
func dag(s *started, tasks ...task) []byte {
	body, err := json.Marshal(map[string]any{"flow_name": s.flow, "run_name": s.name, "tasks": tasks, "default_inputs": map[string]any{"mark": s.mark}, "edges": []any{}})
	if err != nil {
		panic(err)
	}
	return body
}

// follower is a client of a run's socket that comes back with its cursor, at any node, whenever it loses
// the connection, for whatever reason.
type follower struct {
	run   *started
	done  chan struct{} // closed when it has seen the run's end, or was stopped
	trace []historytest.Seen
	dials int
	nodes map[int]bool // that showed it something
}

// follow starts a follower of s.
func (l *load) follow(r *rand.Rand, s *started) {
	f := &follower{run: s, done: make(chan struct{}), nodes: map[int]bool{}}
	moves := 1 + r.IntN(8) // after so many frames it hangs up by itself, and moves
	own := rand.New(rand.NewPCG(uint64(l.seed), r.Uint64()))
	l.mu.Lock()
	s.follower = f
	l.followers = append(l.followers, f)
	l.mu.Unlock()
	l.watchers.Go(func() {
		defer close(f.done)
		for l.all.Err() == nil && !l.connection(f, own.IntN(len(l.c.nodes)), &moves) {
			proctest.Pause(l.all, time.Duration(5+own.IntN(20))*time.Millisecond)
		}
	})
}

// connection is one connection of a follower; true when nothing is left to see.
func (l *load) connection(f *follower, node int, moves *int) bool {
	s, last := f.run, int64(len(f.trace)-1)
	query := "from=0&execution_id=" + s.id
	if last >= 0 {
		query = fmt.Sprintf("after=%d&execution_id=%s", last, s.id)
	}
	ctx, cancel := context.WithTimeout(l.all, 5*time.Second)
	defer cancel()
	f.dials++
	socket, err := proctest.Dial(ctx, l.c.nodes[node].addr(), s.flow, s.name, query)
	if err != nil {
		return false // a node that is away, or cut off
	}
	defer socket.Close()
	for {
		// A half-open connection says nothing: a client gives up after a while, and moves.
		select {
		case frame, open := <-socket.Frames:
			switch {
			case !open:
				return false
			case frame.Offset == nil:
				continue
			case *frame.Offset != last+1 || frame.Prev != last || frame.ExecutionID != s.id:
				l.t.Errorf("%s (%s) at %s: after offset %d came %s", s.name, query, l.c.nodes[node].name, last, frame.Raw)
				return true
			}
			last = *frame.Offset
			f.trace = append(f.trace, historytest.Seen{Execution: s.id, Offset: last, Event: frame.EventID})
			f.nodes[node] = true
			if frame.Ends() {
				return true
			}
			if *moves--; *moves == 0 {
				*moves = 3
				return false
			}
		case <-ctx.Done():
			return false
		}
	}
}

// settle waits until every acknowledged run has ended, and every follower has seen it.
func (l *load) settle(limit time.Duration) {
	l.t.Helper()
	began := time.Now()
	ctx, cancel := context.WithTimeout(l.all, limit)
	defer cancel()
	var group sync.WaitGroup
	queue := make(chan *started, len(l.runs))
	for _, s := range l.runs {
		queue <- s
	}
	close(queue)
	for i := range 12 {
		group.Go(func() {
			for s := range queue {
				l.awaitEnd(ctx, i, s)
			}
		})
	}
	group.Wait()
	for _, f := range l.followers {
		select {
		case <-f.done:
			continue
		default:
		}
		select {
		case <-f.done:
		case <-ctx.Done():
			l.t.Errorf("the follower of %s (%s) has not seen its end; it has %d events", f.run.name, f.run.id, len(f.trace))
		}
	}
	l.t.Logf("%d runs ended, %s after the last start", len(l.runs), time.Since(began).Round(10*time.Millisecond))
}

// awaitEnd asks for a run's status until it has ended, and checks that.
func (l *load) awaitEnd(ctx context.Context, i int, s *started) {
	for {
		reply, err := l.clients[i%len(l.clients)].Do(ctx, http.MethodGet, "/task-status/"+s.id+"?wait=10s", nil)
		if ctx.Err() != nil {
			l.t.Errorf("%s (%s, %s) has not ended", s.name, s.kind, s.id)
			return
		}
		var status proctest.Status
		if err != nil || reply.Status != http.StatusOK || reply.JSON(&status) != nil {
			if err == nil && reply.Status == http.StatusNotFound {
				l.t.Errorf("status of the acknowledged %s (%s): %d %s", s.name, s.id, reply.Status, reply.Body)
				return
			}
			proctest.Pause(ctx, 50*time.Millisecond)
			continue
		}
		if !status.Ended() {
			continue
		}
		want := "completed"
		if s.kind == "fail" {
			want = "failed"
		}
		if status.Status != want {
			l.t.Errorf("%s (%s, %s) ended as %.2000s", s.name, s.kind, s.id, reply.Body)
		}
		for task, output := range s.want {
			if got := string(status.Results[task]); got != output && want == "completed" {
				l.t.Errorf("%s: output of %q is %.200s, want %.200s", s.name, task, got, output)
			}
		}
		return
	}
}

// check compares the log, after everything, with what clients and the world outside have seen.
func (l *load) check() {
	h := historytest.Read(l.t, l.c.logData)
	h.CheckRuns(l.t)
	h.CheckNames(l.t)
	for id, s := range l.runs {
		if len(h.Runs[id]) == 0 {
			l.t.Errorf("the acknowledged %s (%s) is not in the log", s.name, id)
		}
	}
	if len(h.Runs) != len(l.runs) {
		l.t.Errorf("%d runs are in the log, %d were acknowledged: a repeat under a key began another run", len(h.Runs), len(l.runs))
	}
	moved, dials := 0, 0
	for _, f := range l.followers {
		if dials += f.dials; len(f.nodes) > 1 {
			moved++
		}
		if want := h.Trace(f.run.id); fmt.Sprint(want) != fmt.Sprint(f.trace) {
			l.t.Errorf("the follower of %s has seen %d events, the log has %d", f.run.name, len(f.trace), len(want))
		}
	}
	var calls []historytest.Call
	for _, c := range l.stub.Calls() {
		calls = append(calls, historytest.Call{Key: c.Key, Attempt: c.Attempt, Request: c.Method + " " + c.URL + " " + c.BodySum, Serial: c.Serial})
	}
	repeats := h.CheckCalls(l.t, calls)
	l.t.Logf("%d events; %d followers with %d connections, %d of them moved between nodes; %d effects by %d calls; %d starts asked for again",
		h.Events, len(l.followers), dials, moved, repeats.Keys, repeats.Calls, l.retries.Load())
}

// verifyViews compares the views with the log, as the command does, at one node after the other.
func (l *load) verifyViews() {
	l.t.Helper()
	for _, n := range l.c.nodes[:1] {
		code, out := proctest.Run(l.t, "views", "verify", "--server", n.process().Addr())
		if code != 0 || !strings.Contains(out, ": 0 differences") {
			l.t.Errorf("views verify at %s: exit code %d\n%s", n.name, code, out)
		}
	}
}
