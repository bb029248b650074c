package main

import (
	"fmt"
	"net"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"quipu/bench/flows"
	"quipu/bench/report"
)

// warmUp comes before each point, so that files, connections and caches are there.
const warmUp = time.Second

// throughput measures flows of five durable steps, spread over the nodes.
func throughput(b *bench, p profile, s *system) error {
	for _, n := range []int{1, 16, 64} {
		l := flows.Load{Addrs: s.addrs(), Flow: flows.Noop(), Concurrency: n, Duration: warmUp}
		if _, err := l.Run(); err != nil {
			return err
		}
		l.Duration = b.point
		r, err := l.Run()
		if err != nil {
			return err
		}
		b.report.Add(report.Row{
			Section: p.name, What: fmt.Sprintf("flows of five durable no-ops, %d at once", n), Figure: r.StepsPerSecond(), Unit: "steps/s",
			Note: fmt.Sprintf("flow p50 %.2f / p99 %.2f ms", millis(r.P50), millis(r.P99)),
		})
	}
	return nil
}

// firstStep measures from the sending of a start until its first step is at work.
func firstStep(b *bench, p profile, s *system) error {
	stub, err := flows.NewStub()
	if err != nil {
		return err
	}
	defer stub.Close()
	var first atomic.Int64 // when the run's first call came, 0 until then
	origin := time.Now()
	stub.OnCall = func(at time.Time) { first.CompareAndSwap(0, int64(at.Sub(origin))) }
	var took []time.Duration
	l := flows.Load{Addrs: s.addrs(), Flow: flows.Call(stub.URL()), Concurrency: 1, Duration: min(b.point, 5*time.Second)}
	l.OnEnded = func(run flows.Started) {
		took = append(took, time.Duration(first.Swap(0))-run.Sent.Sub(origin))
	}
	if _, err := l.Run(); err != nil || len(took) == 0 {
		return err
	}
	slices.Sort(took)
	b.report.Add(report.Row{
		Section: p.name, What: "start → first step, p50 at 1", Figure: millis(took[len(took)/2]), Unit: "ms",
		Note: fmt.Sprintf("p99 %.2f ms; the step is a call to a stub, whose arrival counts", millis(took[len(took)*99/100])),
	})
	return nil
}

// failoverRuns are under way when a node is killed.
const failoverRuns = 60

// failoverMax is far beyond what is promised.
const failoverMax = time.Minute

// held is a stub that answers no call before it is told to, and knows which attempts came.
type held struct {
	listener net.Listener
	answer   chan struct{}
	mu       sync.Mutex
	attempts map[string]time.Time // by key and attempt
	again    chan time.Time       // second attempts
}

func newHeld() (*held, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	h := &held{listener: l, answer: make(chan struct{}), attempts: map[string]time.Time{}, again: make(chan time.Time, 4*failoverRuns)}
	go func() { _ = http.Serve(l, h) }() // ends with the listener
	return h, nil
}

// ServeHTTP holds the call.
func (h *held) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	key, attempt := r.Header.Get("Idempotency-Key"), r.Header.Get("Quipu-Attempt")
	now := time.Now()
	h.mu.Lock()
	h.attempts[key+" "+attempt] = now
	h.mu.Unlock()
	if attempt != "1" {
		h.again <- now
	}
	select {
	case <-h.answer:
	case <-r.Context().Done():
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write([]byte(`{"ok":true}`)) // the client may be gone
}

func (h *held) arrived() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.attempts)
}

// failover kills a node whose runs wait for an answer, and measures until the last of these is at work again:
// on another node, or on the same one after its next start.
func failover(b *bench, p profile, s *system) error {
	h, err := newHeld()
	if err != nil {
		return err
	}
	defer func() { _ = h.listener.Close() }()
	flow := flows.Call("http://" + h.listener.Addr().String() + "/step")
	// The runs of the node that is killed: a run belongs to the node that takes its start.
	victim := len(s.nodes) - 1
	c, err := flows.Dial(s.nodes[victim].Addr)
	if err != nil {
		return err
	}
	defer c.Close()
	var ids []string
	for range failoverRuns {
		id, err := c.Start(flow.Body(nil, flows.NewName()))
		if err != nil {
			return err
		}
		ids = append(ids, id)
	}
	if err := await(func() bool { return h.arrived() >= failoverRuns }, "first attempts"); err != nil {
		return err
	}
	killed := time.Now()
	if err := s.nodes[victim].Kill(); err != nil {
		return err
	}
	s.killed[victim] = true
	what := "kill -9 of a node → all its tasks are at work on others"
	if len(s.nodes) == 1 {
		what = "kill -9 → started again, all its tasks are at work"
		n, err := s.startNode(p, 0)
		if err != nil {
			return err
		}
		s.nodes[0], s.killed[0] = n, false
	}
	var took []time.Duration
	timer := time.NewTimer(failoverMax)
	defer timer.Stop()
	for len(took) < failoverRuns {
		select {
		case at := <-h.again:
			took = append(took, at.Sub(killed))
		case <-timer.C:
			return fmt.Errorf("%d of %d runs were taken over within %s", len(took), failoverRuns, failoverMax)
		}
	}
	close(h.answer)
	for _, id := range ids {
		other, err := flows.Dial(s.addrs()[0])
		if err != nil {
			return err
		}
		err = other.Wait(id)
		other.Close()
		if err != nil {
			return err
		}
	}
	b.report.Add(report.Row{
		Section: p.name, What: what, Figure: took[len(took)-1].Seconds(), Unit: "s", Target: report.AtMost(5),
		Note: fmt.Sprintf("the first after %.2f s; %d runs, all of which completed", took[0].Seconds(), failoverRuns),
	})
	return nil
}

func await(ok func() bool, what string) error {
	for range 5000 {
		if ok() {
			return nil
		}
		time.Sleep(2 * time.Millisecond)
	}
	return fmt.Errorf("no %s", what)
}
