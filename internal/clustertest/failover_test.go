package clustertest

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"quipu/internal/proctest"
)

// failoverLimit is what is promised: the runs of a node that is killed are at work elsewhere.
const failoverLimit = 5 * time.Second

// Runs of a killed node go on at the others within the limit, under the same keys.
func TestFailover_RunsOfAKilledNodePassToOthers(t *testing.T) {
	c := newCluster(t, 3)
	l := newLoad(t, c, proctest.Seed(t))
	var held, again atomic.Int64
	var first, last atomic.Pointer[time.Time]
	answer := make(chan struct{})
	l.stub.Handle("/held", func(w http.ResponseWriter, r *http.Request, call *proctest.Call) {
		now := time.Now()
		if call.Attempt == "1" {
			held.Add(1)
		} else {
			again.Add(1)
			first.CompareAndSwap(nil, &now)
			last.Store(&now)
		}
		select {
		case <-answer:
			_, _ = fmt.Fprintf(w, `{"serial":%d,"key":%q,"sum":%q}`, call.Serial, call.Key, call.BodySum)
		case <-r.Context().Done():
		}
	})
	const runs = 40
	victim := c.nodes[1]
	var mine []*started
	for i := range runs {
		s, body := l.heldRun(fmt.Sprintf("held-%d", i))
		reply := victim.client().Must(t, http.MethodPost, "/run-dag/", body)
		var a proctest.Started
		require.NoError(t, reply.JSON(&a), "%s", reply.Body)
		s.id = a.TaskID
		l.runs[s.id] = s
		mine = append(mine, s)
	}
	proctest.Eventually(t, 60*time.Second, "every run's call has come", func() bool { return held.Load() == runs })
	killed := time.Now()
	victim.process().Kill()
	proctest.Eventually(t, 60*time.Second, "every run's second attempt has come", func() bool { return again.Load() == runs })
	took := last.Load().Sub(killed)
	t.Logf("%d runs of the killed node were at work again %s to %s after the kill", runs, first.Load().Sub(killed).Round(time.Millisecond), took.Round(time.Millisecond))
	require.Less(t, took, failoverLimit)
	close(answer)
	l.clients = []*proctest.Client{c.nodes[0].client(), c.nodes[2].client()}
	l.settle(settleLimit)
	for _, s := range mine {
		require.NotEmpty(t, s.id)
	}
	victim.start()
	victim.ready()
	l.verifyViews()
	c.stop()
	l.check()
}

// heldRun is a run whose call the stub holds.
func (l *load) heldRun(name string) (*started, []byte) {
	s := &started{flow: "cluster", name: name, kind: "held", want: map[string]string{"end": quoted(name)}}
	return s, dag(s, call("call", l.stub.URL+"/held?run="+name, nil), noop("end", name, "call"))
}

// Nodes are stopped and started again one after the other: behind a client that tries the next node when one
// takes no connection, no request fails, and what runs goes on.
func TestRollingRestart_NoRequestFails(t *testing.T) {
	c := newCluster(t, 3)
	for _, n := range c.nodes { // at an address that stays, without a proxy: refused must mean refused
		n.process().Stop()
		n.fixed = freeAddr(t)
		n.start()
	}
	for _, n := range c.nodes {
		n.ready()
	}
	l := newLoad(t, c, proctest.Seed(t))
	ctx, stop := context.WithCancel(t.Context())
	var clients sync.WaitGroup
	var requests, refused atomic.Int64
	for i := range 6 {
		clients.Go(func() {
			for n := 0; ctx.Err() == nil && !t.Failed(); n++ {
				l.round(t, fmt.Sprintf("roll-%d-%d", i, n), i+n, &requests, &refused)
			}
		})
	}
	for round := range 2 {
		for _, n := range c.nodes {
			proctest.Pause(ctx, 300*time.Millisecond)
			n.process().Signal(syscall.SIGTERM)
			if code := n.process().ExitCode(30 * time.Second); code != 0 {
				t.Errorf("%s: exit code %d in round %d", n.name, code, round)
			}
			n.start()
			n.ready()
		}
	}
	stop()
	clients.Wait()
	t.Logf("%d requests while six nodes were stopped and started, %d connections refused", requests.Load(), refused.Load())
	require.Positive(t, refused.Load(), "the restarts were noticed by nobody")
	l.settle(settleLimit)
	c.stop()
	l.check()
}

// round starts a run, waits for its end and asks for its past, each at the next node that takes connections.
func (l *load) round(t *testing.T, name string, at int, requests, refused *atomic.Int64) {
	s := &started{flow: "cluster", name: name, kind: "chain", want: map[string]string{"t1": quoted(name)}}
	body := dag(s, noop("t0", name), call("t", l.stub.URL+"/slow?run="+name, map[string]any{"x": depends("t0")}), noop("t1", depends("t0"), "t"))
	ask := func(method, path string, body []byte) proctest.Reply {
		at++
		for try := 0; ; try++ {
			n := l.c.nodes[(at+try)%len(l.c.nodes)]
			reply, err := oneConnection(n.fixed).Do(l.all, method, path, body)
			switch {
			case err == nil:
				requests.Add(1)
				if reply.Status != http.StatusOK {
					t.Errorf("%s %s at %s: %d %s", method, path, n.name, reply.Status, reply.Body)
				}
				return reply
			case notConnected(err) && try < 2*len(l.c.nodes):
				refused.Add(1)
			default:
				t.Errorf("%s %s at %s: %v", method, path, n.name, err)
				return reply
			}
		}
	}
	var a proctest.Started
	if reply := ask(http.MethodPost, "/run-dag/", body); reply.JSON(&a) != nil || a.TaskID == "" {
		return
	}
	s.id = a.TaskID
	l.mu.Lock()
	l.runs[s.id] = s
	l.mu.Unlock()
	for !t.Failed() {
		var status proctest.Status
		if reply := ask(http.MethodGet, "/task-status/"+s.id+"?wait=5s", nil); reply.JSON(&status) != nil || status.Ended() {
			break
		}
	}
	ask(http.MethodGet, "/api/executions/"+s.id, nil)
	ask(http.MethodGet, "/api/executions?limit=5", nil)
}

// notConnected reports whether a request failed because there was no connection to send it on.
func notConnected(err error) bool {
	var op *net.OpError
	return errors.As(err, &op) && op.Op == "dial"
}
