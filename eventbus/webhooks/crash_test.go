package webhooks_test

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"quipu/domain"
	"quipu/eventbus/webhooks"
)

// A process that dies after the answer and before its checkpoint delivers again, under the same id.
func TestSender_CrashBeforeTheCheckpointRepeatsTheSameID(t *testing.T) {
	w := newWorld(t)
	r := receive(t, nil)
	w.add("run-1", 5)
	w.points.fail.Store(true)
	_, kill := w.start(w.sender(target(t, "a", r.URL)))
	eventually(t, "delivered", func() bool { _, taken := r.got(); return len(taken) == 5 })
	kill()
	require.Zero(t, w.points.get("a"))
	w.points.fail.Store(false)
	stop, _ := w.start(w.sender(target(t, "a", r.URL)))
	eventually(t, "delivered again", func() bool { _, taken := r.got(); return len(taken) == 10 })
	stop()
	_, taken := r.got()
	for i := range 5 {
		require.Equal(t, taken[i].id, taken[i+5].id)
		require.Equal(t, taken[i].body, taken[i+5].body)
	}
	require.NotZero(t, w.points.get("a"))
}

// Senders are killed again and again while the log grows and the receiver fails at random: nothing is
// missing and the order of each stream holds once repeats are dropped by id.
func TestSender_KilledAgainAndAgain(t *testing.T) {
	w := newWorld(t)
	w.option.AttemptsMax = 100
	var mu sync.Mutex
	random := rand.New(rand.NewPCG(3, 4))
	chance := func(p float64) bool {
		mu.Lock()
		defer mu.Unlock()
		return random.Float64() < p
	}
	r := receive(t, func(_ int, rw http.ResponseWriter, _ *http.Request) bool {
		if chance(.2) {
			rw.WriteHeader(500)
			return false
		}
		return true
	})
	const streams, rounds = 10, 12
	for round := range rounds {
		for i := range streams {
			w.add(domain.StreamID(fmt.Sprintf("run-%d", i)), 4)
		}
		w.points.fail.Store(chance(.5))
		_, taken := r.got()
		had := len(taken)
		_, kill := w.start(w.sender(target(t, "a", r.URL)))
		eventually(t, "some", func() bool { _, taken := r.got(); return len(taken) > had+round })
		kill()
	}
	w.points.fail.Store(false)
	stop, _ := w.start(w.sender(target(t, "a", r.URL)))
	head, err := w.log.Head(t.Context())
	require.NoError(t, err)
	eventually(t, "the head", func() bool { return w.points.get("a") == head })
	stop()
	_, taken := r.got()
	first, known := taken[:0:0], map[string]bool{}
	for _, d := range taken {
		if !known[d.id] {
			first = append(first, d)
		}
		known[d.id] = true
	}
	require.Len(t, first, streams*rounds*4)
	requireOrder(t, first, streams, rounds*4)
}

// Two nodes own a target in turn: each event arrives, in order once repeats are dropped; never do both
// deliver for long.
func TestSender_OwnersTakeTurns(t *testing.T) {
	w := newWorld(t)
	r := receive(t, nil)
	var mu sync.Mutex
	owner, changed := 0, make(chan struct{})
	owns := func(node int) func(string) (bool, <-chan struct{}) {
		return func(id string) (bool, <-chan struct{}) {
			mu.Lock()
			defer mu.Unlock()
			return owner == node && id == "relay:webhooks:a", changed
		}
	}
	var nodes []*webhooks.Sender
	for i := range 2 {
		w.owns = owns(i)
		nodes = append(nodes, w.sender(target(t, "a", r.URL)))
		w.start(nodes[i])
	}
	const turns, each = 8, 25
	for turn := range turns {
		_, taken := r.got()
		had := len(taken)
		w.add("run-1", each)
		w.add("run-2", each)
		mu.Lock()
		owner = turn % 2
		close(changed)
		changed = make(chan struct{})
		mu.Unlock()
		nodes[0].Wake()
		nodes[1].Wake()
		eventually(t, "some", func() bool { _, taken := r.got(); return len(taken) > had+each })
	}
	head, err := w.log.Head(t.Context())
	require.NoError(t, err)
	eventually(t, "the head", func() bool { return w.points.get("a") == head })
	_, taken := r.got()
	requireOrder(t, taken, 2, turns*each)
	states, err := nodes[(turns-1)%2].Status(t.Context())
	require.NoError(t, err)
	require.True(t, states[0].Active)
	states, err = nodes[turns%2].Status(t.Context())
	require.NoError(t, err)
	require.False(t, states[0].Active)
}

// A new target begins with what is recorded from now on; its first checkpoint is saved at once, so that
// a restart before the first event skips nothing.
func TestSender_NewTargetBeginsAtTheHead(t *testing.T) {
	w := newWorld(t)
	r := receive(t, nil)
	head := w.add("run-1", 3)
	hook := target(t, "a", r.URL)
	hook.FromStart = false
	_, kill := w.start(w.sender(hook))
	eventually(t, "first checkpoint", func() bool { return w.points.get("a") == head })
	kill()
	w.add("run-2", 2)
	w.start(w.sender(hook))
	eventually(t, "delivery", func() bool { _, taken := r.got(); return len(taken) == 2 })
	_, taken := r.got()
	requireOrder(t, taken, 1, 2)
	require.Equal(t, "run-2", taken[0].stream())
}

func TestTarget_Filters(t *testing.T) {
	for _, c := range []struct {
		want, have string
		matches    bool
	}{
		{"run.completed.v1", "run.completed.v1", true},
		{"run.completed.v1", "run.completed.v2", false},
		{"run.completed", "run.completed.v2", true},
		{"run.comp", "run.completed.v1", false},
		{"run.*", "run.completed.v1", true},
		{"run.task_*", "run.completed.v1", false},
		{"*", "workflow.created.v1", true},
		{"workflow.*", "run.completed.v1", false},
	} {
		require.Equal(t, c.matches, webhooks.TypeMatches(c.want, c.have), "%+v", c)
	}
	w := newWorld(t)
	r := receive(t, nil)
	w.addType("run-1", "run.completed.v1", 1)
	w.addType("run-2", "run.started.v1", 1)
	w.addType("run-2", "run.completed.v1", 1)
	w.addType("ext-mine", "run.completed.v1", 1) // not Quipu's own
	w.addType("endpoint-1", "endpoint.created.v1", 1)
	end := w.addType("name-1", "name.bound.v1", 1)
	hook := target(t, "a", r.URL)
	hook.Types, hook.Workflows = []string{"run.completed"}, []string{"of-run-2", "of-ext-mine"}
	all := target(t, "all", r.URL+"/all")
	w.start(w.sender(hook, all))
	eventually(t, "the head", func() bool { return w.points.get("a") == end && w.points.get("all") == end })
	_, taken := r.got()
	var bodies []string
	for _, d := range taken {
		bodies = append(bodies, d.body)
	}
	require.ElementsMatch(t, []string{"run-2@1", "run-1@0", "run-2@0", "run-2@1"}, bodies)
}

func TestOptions_Backoff(t *testing.T) {
	o := webhooks.WithDefaults(webhooks.Options{})
	none := func() float64 { return 0 }
	var total time.Duration
	for n := 1; n < o.AttemptsMax; n++ {
		total += webhooks.Backoff(o, n, 0, none)
	}
	require.Equal(t, time.Second, webhooks.Backoff(o, 1, 0, none))
	require.Equal(t, 4*time.Second, webhooks.Backoff(o, 3, 0, none))
	require.Equal(t, 10*time.Minute, webhooks.Backoff(o, 60, 0, none))
	require.InDelta(t, time.Hour, total, float64(10*time.Minute), "about an hour in all")
	almost := func() float64 { return .999 }
	require.Greater(t, webhooks.Backoff(o, 3, 0, almost), 2*time.Second-time.Millisecond)
	require.Less(t, webhooks.Backoff(o, 3, 0, almost), 3*time.Second)
	require.Equal(t, 30*time.Second, webhooks.Backoff(o, 1, 30*time.Second, none), "the receiver asked to be left alone")
	require.Equal(t, 10*time.Minute, webhooks.Backoff(o, 1, 30*time.Hour, none), "but not for ever")
}
