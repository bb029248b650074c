package proctest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"quipu/internal/historytest"
)

// world is the load of the kill test and all it remembers.
type world struct {
	t      testing.TB
	seed   int64
	stub   *Stub
	client *Client
	addr   atomic.Pointer[string] // of the newest server that was ready
	secret string

	posting  context.Context // ends when no further run is to be started
	stop     context.CancelFunc
	all      context.Context // ends with the test
	posters  sync.WaitGroup
	watchers sync.WaitGroup

	mu        sync.Mutex
	starts    map[string]*start // acknowledged, by id
	followers []*follower
	refused   int // 409
	unknown   int // no answer
	cancelled int
}

// start is an acknowledged start.
type start struct {
	id, flow, run, position, kind string
	want                          map[string]string // task -> output that must come out, as JSON
	cancelled                     bool              // a cancel was acknowledged
	doubtful                      bool              // a cancel got no answer: it may have happened or not
	status                        []byte            // of the run's end, as seen while the kills went on
	follower                      *follower
}

func newWorld(t testing.TB, seed int64) *world {
	w := &world{
		t: t, seed: seed, stub: NewStub(t), starts: map[string]*start{},
		secret: fmt.Sprintf("sk-planted-%016x", uint64(seed)*0x9E3779B97F4A7C15),
	}
	w.client = NewClient(w.address)
	w.all, w.stop = context.WithCancel(t.Context())
	t.Cleanup(w.stop)
	w.stub.Handle("/slow", func(rw http.ResponseWriter, r *http.Request, c *Call) {
		if Pause(r.Context(), time.Duration(20+c.Serial%7*20)*time.Millisecond) {
			_, _ = fmt.Fprintf(rw, `{"serial":%d,"key":%q,"sum":%q}`, c.Serial, c.Key, c.BodySum)
		}
	})
	// Sends back what should never be stored.
	w.stub.Handle("/echo", func(rw http.ResponseWriter, r *http.Request, c *Call) {
		_, _ = fmt.Fprintf(rw, `{"serial":%d,"key":%q,"you_sent":%q}`, c.Serial, c.Key, r.Header.Get("Authorization"))
	})
	return w
}

func (w *world) address() string {
	if a := w.addr.Load(); a != nil {
		return *a
	}
	return "127.0.0.1:1" // nobody listens there
}

// post starts the clients: each posts runs of names of its own, the last two fight over few names.
func (w *world) post(clients int) context.CancelFunc {
	posting, end := context.WithCancel(w.all)
	w.posting = posting
	for i := range clients {
		r := rand.New(rand.NewPCG(uint64(w.seed), uint64(i)))
		w.posters.Go(func() {
			if i >= clients-2 {
				w.fight(i, r)
				return
			}
			for n := 0; Pause(posting, time.Duration(20+r.IntN(80))*time.Millisecond); n++ {
				w.one(r, "load", fmt.Sprintf("c%d_%d", i, n))
			}
		})
	}
	return end
}

// one starts a run and, often, follows it.
func (w *world) one(r *rand.Rand, flow, name string) {
	var f *follower
	mode := r.IntN(5)
	if mode == 0 { // the socket is there before the run
		f = w.follow(r, flow, name, "", "")
	}
	s := w.build(r, flow, name)
	if !w.start(s.start, s.body) {
		return
	}
	switch mode {
	case 1:
		f = w.follow(r, flow, name, "", "")
	case 2:
		f = w.follow(r, flow, name, "from=0", s.id)
	}
	if f != nil {
		w.mu.Lock()
		s.follower = f
		w.mu.Unlock()
	}
	switch r.IntN(8) {
	case 0:
		w.watchers.Go(func() { w.await(s.start, "5s") })
	case 1:
		if Pause(w.posting, time.Duration(r.IntN(50))*time.Millisecond) {
			w.cancel(s.start)
		}
	}
}

// start posts a run; true if it was acknowledged.
func (w *world) start(s *start, body []byte) bool {
	ctx, cancel := context.WithTimeout(w.all, 10*time.Second)
	defer cancel()
	to := w.addr.Load()
	reply, err := w.client.Do(ctx, http.MethodPost, "/run-dag/", body)
	if err != nil { // the server is gone; the next one will not be long
		Until(w.posting, func() bool { return w.addr.Load() != to })
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if err != nil {
		w.unknown++
		return false
	}
	switch reply.Status {
	case http.StatusOK:
		var a Started
		if err := reply.JSON(&a); err != nil || a.TaskID == "" || a.FlowName != s.flow || a.RunName != s.run {
			w.t.Errorf("odd acknowledgement of %s/%s: %s", s.flow, s.run, reply.Body)
			return false
		}
		s.id, s.position = a.TaskID, reply.Header.Get("Quipu-Position")
		if w.starts[s.id] != nil {
			w.t.Errorf("two starts were acknowledged with one id %s", s.id)
		}
		w.starts[s.id] = s
		return true
	case http.StatusConflict:
		var p Problem
		if err := reply.JSON(&p); err != nil || p.Error.Code != "RUN_NAME_TAKEN" {
			w.t.Errorf("odd refusal of %s/%s: %s", s.flow, s.run, reply.Body)
		}
		w.refused++
		s.id, _ = p.Error.Details["execution_id"].(string)
		return false
	}
	w.t.Errorf("start of %s/%s: %d %s", s.flow, s.run, reply.Status, reply.Body)
	return false
}

// fight posts runs of a few names that others post too: a name must never be given away while its
// run goes on, and never be kept once that has been seen to end.
func (w *world) fight(i int, r *rand.Rand) {
	seenEnded := ""
	for n := 0; Pause(w.posting, time.Duration(10+r.IntN(30))*time.Millisecond); n++ {
		s := w.build(r, "shared", fmt.Sprintf("name %d/ü", r.IntN(3)))
		if w.start(s.start, s.body) {
			continue
		}
		if s.id == "" {
			continue
		}
		if s.id == seenEnded {
			w.t.Errorf("%s was refused for run %s, whose end had been seen", s.run, s.id)
		}
		holder := &start{id: s.id}
		if r.IntN(2) == 0 && w.await(holder, "3s") {
			seenEnded = s.id
		}
	}
}

// await asks for a run's end and remembers what was said; false if it has not ended or no answer came.
func (w *world) await(s *start, wait string) bool {
	ctx, cancel := context.WithTimeout(w.all, 10*time.Second)
	defer cancel()
	reply, err := w.client.Do(ctx, http.MethodGet, "/task-status/"+s.id+"?wait="+wait, nil)
	if err != nil {
		return false
	}
	var status Status
	if reply.Status != http.StatusOK || reply.JSON(&status) != nil {
		if w.acknowledged(s.id) {
			w.t.Errorf("status of the acknowledged run %s: %d %s", s.id, reply.Status, reply.Body)
		}
		return false
	}
	if !status.Ended() {
		return false
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	s.status = reply.Body
	return true
}

func (w *world) acknowledged(id string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.starts[id] != nil
}

func (w *world) cancel(s *start) {
	ctx, cancel := context.WithTimeout(w.all, 10*time.Second)
	defer cancel()
	reply, err := w.client.Do(ctx, http.MethodPost, "/api/executions/"+s.id+"/cancel", nil)
	w.mu.Lock()
	defer w.mu.Unlock()
	if err != nil {
		s.doubtful = true
		return
	}
	switch reply.Status {
	case http.StatusAccepted:
		s.cancelled = true
		w.cancelled++
	case http.StatusConflict, http.StatusServiceUnavailable: // it has ended, or waits for its recovery
	default:
		w.t.Errorf("cancel of %s: %d %s", s.id, reply.Status, reply.Body)
	}
}

// built is a start and the body that asks for it.
type built struct {
	*start
	body []byte
}

type task struct {
	Name     string         `json:"name"`
	Function string         `json:"function"`
	Params   map[string]any `json:"params"`
}

func dag(flow, name string, inputs map[string]any, tasks ...task) []byte {
	b, err := json.Marshal(map[string]any{"flow_name": flow, "run_name": name, "tasks": tasks, "default_inputs": inputs, "edges": []any{}})
	if err != nil {
		panic(err)
	}
	return b
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
func (w *world) build(r *rand.Rand, flow, name string) built {
	mark := fmt.Sprintf("%s %s %x", flow, name, r.Uint64())
	s := &start{flow: flow, run: name, want: map[string]string{}}
	var tasks []task
	inputs := map[string]any{"mark": mark}
	switch kind := r.IntN(9); kind {
	case 0, 1:
		s.kind = "chain"
		tasks = append(tasks, noop("t0", map[string]any{"input": "mark"}))
		for i := range 1 + r.IntN(6) {
			tasks = append(tasks, noop(fmt.Sprintf("t%d", i+1), depends(fmt.Sprintf("t%d", i))))
		}
		for _, t := range tasks {
			s.want[t.Name] = quoted(mark)
		}
	case 2:
		s.kind = "fan"
		tasks = append(tasks, noop("root", mark))
		var leaves []string
		for i := range 5 + r.IntN(40) {
			leaf := fmt.Sprintf("leaf %d", i)
			leaves = append(leaves, leaf)
			tasks = append(tasks, noop(leaf, i, "root"))
			s.want[leaf] = fmt.Sprint(i)
		}
		tasks = append(tasks, noop("end", depends("root"), leaves...))
		s.want["end"] = quoted(mark)
	case 3:
		s.kind = "call"
		tasks = append(tasks, noop("t0", mark), call("a/b ü", w.stub.URL+"/ok/"+fmt.Sprint(r.Uint64()), map[string]any{"x": depends("t0")}), noop("t2", depends("a/b ü")))
	case 4:
		s.kind = "flaky"
		tasks = append(tasks, call("flaky", w.stub.URL+"/flaky", map[string]any{"x": mark}), call("other", w.stub.URL+"/ok", map[string]any{"y": mark}), noop("end", mark, "flaky", "other"))
		s.want["end"] = quoted(mark)
	case 5:
		s.kind = "slow"
		for i := range 3 {
			tasks = append(tasks, call(fmt.Sprintf("slow%d", i), w.stub.URL+"/slow?i="+fmt.Sprint(i), map[string]any{"x": mark, "i": i}))
		}
		tasks = append(tasks, noop("end", mark, "slow0", "slow1", "slow2"))
		s.want["end"] = quoted(mark)
	case 6:
		s.kind = "fail"
		tasks = append(tasks, noop("before", mark), call("bad", w.stub.URL+"/fail", map[string]any{"x": depends("before")}), noop("never", 1, "bad"))
	case 7:
		s.kind = "agent"
		agent := task{Name: "agent", Function: "call_lyzr_agent", Params: map[string]any{
			"config":       map[string]any{"agent_id": "a1", "api_key": w.secret, "api_url": w.stub.URL + "/agent"},
			"user_message": map[string]any{"value": mark},
		}}
		echo := call("echo", w.stub.URL+"/echo", map[string]any{"x": depends("agent")})
		echo.Params["config"].(map[string]any)["headers"] = map[string]any{"Authorization": "Bearer " + w.secret}
		tasks = append(tasks, agent, echo, noop("end", depends("echo")))
	case 8:
		s.kind = "big"
		big := mark + strings.Repeat("0123456789abcdef", 4096+r.IntN(4096))
		inputs["big"] = big
		tasks = append(tasks, noop("t0", map[string]any{"input": "big"}), call("a", w.stub.URL+"/ok", map[string]any{"x": depends("t0")}), noop("end", depends("t0"), "a"))
		s.want["t0"], s.want["end"] = quoted(big), quoted(big)
	}
	return built{start: s, body: dag(flow, name, inputs, tasks...)}
}

// follower is a client of a run's socket that comes back with its cursor whenever it loses the
// connection, for whatever reason.
type follower struct {
	flow, run string
	forever   bool          // goes on to later runs of the name
	done      chan struct{} // closed when it has seen all it wants, or was stopped

	mu    sync.Mutex
	trace []historytest.Seen
	ended bool // the newest event was a run's last
	dials int
}

// follow starts a follower. query and execution are the first connection's; later ones use the cursor.
func (w *world) follow(r *rand.Rand, flow, run, query, execution string) *follower {
	f := &follower{flow: flow, run: run, done: make(chan struct{}), forever: flow == "shared"}
	if execution != "" {
		query += "&execution_id=" + execution
	}
	hangUp := 0 // after so many frames it hangs up by itself
	if r.IntN(4) == 0 {
		hangUp = 1 + r.IntN(6)
	}
	w.mu.Lock()
	w.followers = append(w.followers, f)
	w.mu.Unlock()
	w.watchers.Go(func() {
		defer close(f.done)
		last, lastID, ends := int64(-1), "", false
		for w.all.Err() == nil {
			q, prev := query, int64(-1)
			if lastID != "" {
				q, prev = fmt.Sprintf("after=%d&execution_id=%s", last, lastID), last
			}
			s, err := Dial(w.all, w.address(), flow, run, q)
			if err != nil {
				var refused *Refused
				if errors.As(err, &refused) && refused.Status != http.StatusServiceUnavailable {
					w.t.Errorf("the socket of %s/%s?%s was refused: %v", flow, run, q, err)
					return
				}
				Pause(w.all, pollEvery)
				continue
			}
			f.mu.Lock()
			f.dials++
			f.mu.Unlock()
			first := true
			for frame := range s.Frames {
				if frame.Offset == nil {
					continue
				}
				if ends && frame.ExecutionID != lastID { // the next run of the name
					last, prev, first = -1, -1, false
				}
				want := last + 1
				if *frame.Offset != want || frame.Prev != prev || lastID != "" && !ends && frame.ExecutionID != lastID {
					w.t.Errorf("%s/%s?%s: after offset %d of %q came %s (first of the connection: %v)", flow, run, q, last, lastID, frame.Raw, first)
					s.Close()
					return
				}
				if strings.Contains(string(frame.Raw), w.secret) {
					w.t.Errorf("a frame shows the secret: %s", frame.Raw)
				}
				last, prev, lastID, ends, first = *frame.Offset, *frame.Offset, frame.ExecutionID, frame.Ends(), false
				f.mu.Lock()
				f.trace = append(f.trace, historytest.Seen{Execution: lastID, Offset: last, Event: frame.EventID})
				f.ended = ends
				f.mu.Unlock()
				if ends && !f.forever {
					s.Close()
					return
				}
				if hangUp--; hangUp == 0 {
					s.Close()
				}
			}
			s.Close()
		}
	})
	return f
}
