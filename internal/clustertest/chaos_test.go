package clustertest

import (
	"context"
	"math/rand/v2"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"quipu/internal/faultproxy"
	"quipu/internal/proctest"
)

// settleLimit is how long the last runs may take once all is well again.
const settleLimit = time.Minute

// The promise of several nodes: whichever of them is killed, whichever network is cut, what was acknowledged
// ends exactly once.
func TestCluster_KillsAndCutNetworks(t *testing.T) {
	seed := proctest.Seed(t)
	c := newCluster(t, 3)
	l := newLoad(t, c, seed)
	ctx, cancel := context.WithCancel(t.Context())
	var chaos sync.WaitGroup
	var killed int
	var cut map[string]int
	chaos.Go(func() { killed = c.killNodes(ctx, rand.New(rand.NewPCG(uint64(seed), 100))) })
	chaos.Go(func() { cut = c.cutNetworks(ctx, rand.New(rand.NewPCG(uint64(seed), 101))) })
	began := time.Now()
	l.post(*runsFlag, min(16+*runsFlag/500, 40))
	took := time.Since(began)
	cancel()
	chaos.Wait()
	c.heal()
	for _, n := range c.nodes {
		n.revive()
	}
	l.settle(settleLimit)
	l.verifyViews()
	c.stop()
	l.check()
	t.Logf("%d runs were started in %s while nodes were killed %d times and networks failed so often: %v", len(l.runs), took.Round(time.Millisecond), killed, cut)
}

// killNodes kills and restarts random nodes until ctx ends; then all are started.
func (c *cluster) killNodes(ctx context.Context, r *rand.Rand) (kills int) {
	for proctest.Pause(ctx, time.Duration(200+r.IntN(1000))*time.Millisecond) {
		n := c.nodes[r.IntN(len(c.nodes))]
		n.process().Kill()
		kills++
		proctest.Pause(ctx, time.Duration(r.IntN(1500))*time.Millisecond)
		s := n.start()
		if r.IntN(8) == 0 { // and once more while it starts
			proctest.Pause(ctx, time.Duration(r.IntN(300))*time.Millisecond)
			s.Kill()
			kills++
			s = n.start()
		}
		select {
		case <-s.WhenReady():
		case <-ctx.Done():
		case <-time.After(time.Duration(r.IntN(4000)) * time.Millisecond): // it may be cut off
		}
	}
	return kills
}

// cutNetworks makes networks worse, one after the other, until ctx ends, and counts which.
func (c *cluster) cutNetworks(ctx context.Context, r *rand.Rand) map[string]int {
	cuts := map[string]int{}
	for i := 0; proctest.Pause(ctx, time.Duration(100+r.IntN(400))*time.Millisecond); i++ {
		n := c.nodes[r.IntN(len(c.nodes))]
		kind := i % len(linkNames) // each in its turn
		link := n.links()[kind]
		cuts[linkNames[kind]]++
		switch r.IntN(5) {
		case 0:
			link.Cut()
		case 1:
			link.Part()
			proctest.Pause(ctx, time.Duration(200+r.IntN(3000))*time.Millisecond)
		case 2:
			link.HalfOpen()
			proctest.Pause(ctx, time.Duration(500+r.IntN(5000))*time.Millisecond)
		case 3:
			way := faultproxy.Way{Delay: time.Duration(1+r.IntN(50)) * time.Millisecond}
			link.Set(faultproxy.Faults{Up: way, Down: way})
			proctest.Pause(ctx, time.Duration(500+r.IntN(1500))*time.Millisecond)
		case 4: // answers are lost, requests are not
			link.Set(faultproxy.Faults{Down: faultproxy.Way{Swallow: true}})
			proctest.Pause(ctx, time.Duration(200+r.IntN(2000))*time.Millisecond)
		}
		link.Heal()
	}
	return cuts
}

// What nodes stand on goes away and comes back: they serve what they can, and recover by themselves.
func TestCluster_PartsAreKilledAndComeBack(t *testing.T) {
	c := newCluster(t, 2)
	l := newLoad(t, c, proctest.Seed(t))
	var posting sync.WaitGroup
	posting.Go(func() {
		l.post(min(*runsFlag, 400)/2, 4)
	})
	outages := 0
	for _, outage := range []func(){
		func() { // the log server, as by a power cut
			if c.log == nil {
				return // not ours to kill
			}
			c.log.Kill()
			proctest.Pause(t.Context(), time.Second)
			c.startLog()
		},
		func() {
			require.NoError(t, c.postgres.Kill())
			proctest.Pause(t.Context(), time.Second)
			require.NoError(t, c.postgres.Restart())
		},
		func() {
			c.nats.Stop()
			proctest.Pause(t.Context(), time.Second)
			c.nats.Restart()
		},
		func() { // the database takes connections and does not answer: longer than a lease
			resume := c.postgres.Pause()
			proctest.Pause(t.Context(), 4*time.Second)
			resume()
		},
		func() {
			if c.log != nil {
				c.log.Stop()
				c.startLog()
			}
		},
	} {
		proctest.Pause(t.Context(), time.Second)
		outage()
		outages++
	}
	posting.Wait()
	l.settle(settleLimit)
	for _, n := range c.nodes {
		select {
		case <-n.process().Exited():
			t.Errorf("%s has ended", n.name)
		default:
		}
		proctest.Eventually(t, settleLimit, n.name+" says that it is ready", func() bool {
			r, err := n.client().Do(t.Context(), http.MethodGet, "/health/ready", nil)
			return err == nil && r.Status == http.StatusOK
		})
	}
	l.verifyViews()
	c.stop()
	l.check()
	t.Logf("%d runs were started during %d outages", len(l.runs), outages)
}
