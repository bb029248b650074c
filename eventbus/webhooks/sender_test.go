package webhooks_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"quipu/domain"
	"quipu/eventbus/poison"
	"quipu/eventbus/webhooks"
)

// A receiver checks what it is sent as the specification says, with either key.
func TestSender_SignsAsStandardWebhooks(t *testing.T) {
	w := newWorld(t)
	r := receive(t, nil)
	hook := target(t, "orders", r.URL+"/in?token=hunter2")
	hook.Keys = []webhooks.Key{[]byte("new-key-new-key-new-key-"), []byte("old-key-old-key-old-key-")}
	w.add("run-1", 1)
	s := w.sender(hook)
	w.start(s)
	eventually(t, "delivery", func() bool { _, taken := r.got(); return len(taken) == 1 })
	_, taken := r.got()
	d := taken[0]
	require.Equal(t, domain.UUIDv8(domain.HashEvent("run-1", 0, "run.x.v1", nil)).String(), d.id)
	require.Equal(t, "run-1@0", d.body)
	require.Equal(t, "application/cloudevents+json; charset=utf-8", d.header.Get("Content-Type"))
	seconds, err := strconv.ParseInt(d.header.Get(webhooks.HeaderTimestamp), 10, 64)
	require.NoError(t, err)
	require.WithinDuration(t, time.Now(), time.Unix(seconds, 0), time.Minute)
	var want []string
	for _, k := range hook.Keys {
		mac := hmac.New(sha256.New, k)
		fmt.Fprintf(mac, "%s.%d.%s", d.id, seconds, d.body)
		want = append(want, "v1,"+base64.StdEncoding.EncodeToString(mac.Sum(nil)))
	}
	require.Equal(t, strings.Join(want, " "), d.header.Get(webhooks.HeaderSignature))
	require.NotContains(t, fmt.Sprintf("%v %s %x %#v", hook.Keys, hook.Keys[0], hook.Keys[0], hook.Keys), "key-")
	states, err := s.Status(t.Context())
	require.NoError(t, err)
	require.NotContains(t, fmt.Sprint(states), "hunter2")
	require.Equal(t, r.URL, states[0].Place)
}

// The test vector of the specification's reference implementations.
func TestSign_KnownVector(t *testing.T) {
	key, ok := webhooks.ParseSecret("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
	require.True(t, ok)
	h := http.Header{}
	webhooks.Sign(h, []webhooks.Key{key}, "msg_p5jXN8AQM9LWM0D4loKWxJek", time.Unix(1614265330, 0), []byte(`{"test": 2432232314}`))
	require.Equal(t, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=", h.Get(webhooks.HeaderSignature))
	for _, bad := range []string{"", "whsec_", "whsec_short", "whsec_!!!", "whsec_" + strings.Repeat("A", 100)} {
		_, ok := webhooks.ParseSecret(bad)
		require.False(t, ok, "%q", bad)
	}
}

// Receivers fail at random; per stream the order holds, nothing is missing, and the checkpoint ends at
// the head.
func TestSender_OrderPerStreamWhateverFails(t *testing.T) {
	w := newWorld(t)
	w.option.AttemptsMax = 100
	var mu sync.Mutex
	random := rand.New(rand.NewPCG(1, 2))
	r := receive(t, func(_ int, rw http.ResponseWriter, _ *http.Request) bool {
		mu.Lock()
		defer mu.Unlock()
		if random.Float64() < .3 {
			rw.WriteHeader([]int{500, 404, 429, 302}[random.IntN(4)])
			return false
		}
		return true
	})
	const streams, each = 20, 30
	for i := range each {
		for j := range streams {
			if i%3 == 0 {
				w.add(domain.StreamID(fmt.Sprintf("run-%d", j)), 3)
			}
		}
	}
	s := w.sender(target(t, "a", r.URL))
	stop, _ := w.start(s)
	eventually(t, "all", func() bool { _, taken := r.got(); return len(taken) >= streams*each })
	stop()
	_, taken := r.got()
	require.Len(t, taken, streams*each, "without a crash nothing comes twice")
	requireOrder(t, taken, streams, each)
	head, err := w.log.Head(t.Context())
	require.NoError(t, err)
	require.Equal(t, head, w.points.get("a"), "stopping saves what was reached")
}

// Live: what is appended while the sender runs arrives at once after a wake.
func TestSender_WakesUp(t *testing.T) {
	w := newWorld(t)
	r := receive(t, nil)
	s := w.sender(target(t, "a", r.URL))
	w.start(s)
	for i := range 20 {
		w.add("run-1", 1)
		s.Wake()
		eventually(t, "delivery", func() bool { _, taken := r.got(); return len(taken) == i+1 })
	}
	_, taken := r.got()
	requireOrder(t, taken, 1, 20)
}

// A slow target holds up itself alone, and keeps no more than its bound in memory.
func TestSender_SlowTargetHoldsUpNobody(t *testing.T) {
	w := newWorld(t)
	let := make(chan struct{})
	slow := receive(t, func(int, http.ResponseWriter, *http.Request) bool { <-let; return true })
	quick := receive(t, nil)
	for i := range 2 * webhooks.PendingMax {
		w.add(domain.StreamID(fmt.Sprintf("run-%d", i)), 1)
	}
	s := w.sender(target(t, "slow", slow.URL), target(t, "quick", quick.URL))
	w.start(s)
	eventually(t, "the quick one", func() bool { _, taken := quick.got(); return len(taken) == 2*webhooks.PendingMax })
	seen, _ := slow.got()
	require.LessOrEqual(t, len(seen), webhooks.ConcurrencyMax)
	states, err := s.Status(t.Context())
	require.NoError(t, err)
	require.LessOrEqual(t, states[0].Pending, webhooks.PendingMax)
	require.Zero(t, w.points.get("slow"))
	close(let)
	eventually(t, "the slow one", func() bool { _, taken := slow.got(); return len(taken) == 2*webhooks.PendingMax })
}

// Every way in which a receiver can fail is a failed attempt with a reason, never a crash, a hang or a
// delivery elsewhere.
func TestSender_ReceiversThatMisbehave(t *testing.T) {
	elsewhere := receive(t, nil)
	down := httptest.NewServer(nil)
	down.Close()
	garbage := listen(t, func(c net.Conn) { _, _ = c.Write([]byte("\x00\x01 this is no HTTP\r\n\r\n")) })
	early := listen(t, func(net.Conn) {})
	half := listen(t, func(c net.Conn) { _, _ = c.Write([]byte("HTTP/1.1 200 OK\r\nContent-")) })
	endless := receive(t, func(_ int, rw http.ResponseWriter, r *http.Request) bool {
		rw.WriteHeader(http.StatusInternalServerError)
		for {
			if _, err := rw.Write(make([]byte, 32<<10)); err != nil || r.Context().Err() != nil {
				return false
			}
		}
	})
	hangs := receive(t, func(_ int, _ http.ResponseWriter, r *http.Request) bool { <-r.Context().Done(); return false })
	status := func(code int, header ...string) string {
		return receive(t, func(_ int, rw http.ResponseWriter, _ *http.Request) bool {
			for i := 0; i+1 < len(header); i += 2 {
				rw.Header().Set(header[i], header[i+1])
			}
			rw.WriteHeader(code)
			return false
		}).URL
	}
	for name, c := range map[string][2]string{
		"down":     {down.URL, "connection refused"},
		"garbage":  {"http://" + garbage, "malformed HTTP"},
		"early":    {"http://" + early, "EOF"},
		"half":     {"http://" + half, "connection broken"},
		"endless":  {endless.URL, "answered 500"},
		"hangs":    {hangs.URL, "no answer in time"},
		"redirect": {status(307, "Location", elsewhere.URL), "redirects are not followed"},
		"moved":    {status(301, "Location", elsewhere.URL), "redirects are not followed"},
		"refuses":  {status(400), "answered 400"},
		"busy":     {status(503, "Retry-After", "99999999999999999999"), "answered 503"},
		"noname":   {"http://does-not-exist.invalid/?token=hunter2", "not reached"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.option.Timeout = 300 * time.Millisecond
			w.option.AttemptsMax = 2
			w.add("run-1", 1)
			s := w.sender(target(t, "a", c[0]))
			w.start(s)
			var list []poison.Entry
			eventually(t, "the poison list", func() bool {
				var err error
				list, err = s.Poisoned(t.Context(), "a", 0, 10)
				return err == nil && len(list) == 1
			})
			require.Contains(t, list[0].Reason, c[1])
			require.NotContains(t, list[0].Reason, "hunter2")
			require.Equal(t, 2, list[0].Attempts)
			require.Equal(t, domain.StreamID("run-1"), list[0].Stream)
		})
	}
	seen, _ := elsewhere.got()
	require.Empty(t, seen)
}

// listen serves raw connections: the first bytes of a request are read, then do, then the end.
func listen(t *testing.T, do func(net.Conn)) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	var group sync.WaitGroup
	group.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			_, _ = c.Read(make([]byte, 4096))
			do(c)
			_ = c.Close()
		}
	})
	t.Cleanup(func() { _ = l.Close(); group.Wait() })
	return l.Addr().String()
}

// One event that is never taken goes to the list; those after it go on, and a replay delivers it.
func TestSender_PoisonLetsLaterEventsGoOn(t *testing.T) {
	w := newWorld(t)
	var mended atomic.Bool
	bad := domain.UUIDv8(domain.HashEvent("run-1", 1, "run.x.v1", nil)).String()
	r := receive(t, func(_ int, rw http.ResponseWriter, r *http.Request) bool {
		if r.Header.Get(webhooks.HeaderID) == bad && !mended.Load() {
			rw.WriteHeader(422)
			return false
		}
		return true
	})
	w.add("run-1", 3)
	w.add("run-2", 3)
	var gaveUp atomic.Int32
	w.hooks.GaveUp = func(string) { gaveUp.Add(1) }
	s := w.sender(target(t, "a", r.URL))
	stop, _ := w.start(s)
	eventually(t, "the rest", func() bool { _, taken := r.got(); return len(taken) == 5 })
	stop()
	require.EqualValues(t, 1, gaveUp.Load())
	seen, _ := r.got()
	require.Len(t, seen, 5+w.option.AttemptsMax)

	// The next process knows the entry, and delivers nothing else again.
	s = w.sender(target(t, "a", r.URL))
	w.start(s)
	list, err := s.Poisoned(t.Context(), "a", 0, 10)
	require.NoError(t, err)
	require.Len(t, list, 1)
	require.Equal(t, bad, list[0].EventID)
	require.Equal(t, "answered 422", list[0].Reason)

	require.ErrorIs(t, s.Replay(t.Context(), "nobody", 1), domain.ErrNotFound)
	require.ErrorIs(t, s.Replay(t.Context(), "a", list[0].Position+1), domain.ErrNotFound)
	require.ErrorContains(t, s.Replay(t.Context(), "a", list[0].Position), "answered 422")
	list, err = s.Poisoned(t.Context(), "a", 0, 10)
	require.NoError(t, err)
	require.Equal(t, w.option.AttemptsMax+1, list[0].Attempts)
	done, err := s.ReplayAll(t.Context(), "a", 3)
	require.NoError(t, err)
	require.Equal(t, webhooks.Replayed{Failed: 1}, done)
	mended.Store(true)
	done, err = s.ReplayAll(t.Context(), "a", 3)
	require.NoError(t, err)
	require.Equal(t, webhooks.Replayed{Taken: 1}, done)
	_, taken := r.got()
	require.Equal(t, bad, taken[5].id)
	list, err = s.Poisoned(t.Context(), "a", 0, 10)
	require.NoError(t, err)
	require.Empty(t, list)
}

// A full list stops its target, loses nothing and lets it go on once there is room.
func TestSender_FullPoisonListStopsTheTarget(t *testing.T) {
	w := newWorld(t)
	w.option.AttemptsMax = 1
	for i := range poison.EntriesMax {
		require.NoError(t, w.list.Add(t.Context(), poison.Entry{Target: "webhooks.a", Position: domain.Position(1_000_000 + i), Stream: "run-x", At: time.Now()}))
	}
	var works atomic.Bool
	r := receive(t, func(_ int, rw http.ResponseWriter, _ *http.Request) bool {
		if !works.Load() {
			rw.WriteHeader(500)
		}
		return works.Load()
	})
	at := w.add("run-1", 1)
	s := w.sender(target(t, "a", r.URL))
	stop, _ := w.start(s)
	eventually(t, "attempts go on", func() bool { seen, _ := r.got(); return len(seen) > 3 })
	states, err := s.Status(t.Context())
	require.NoError(t, err)
	require.Contains(t, states[0].Ailing, "poison list is full")
	require.Zero(t, w.points.get("a"))
	require.NoError(t, s.Discard(t.Context(), "a", 1_000_000))
	eventually(t, "given up", func() bool {
		list, err := s.Poisoned(t.Context(), "a", 0, 1)
		return err == nil && list[0].Position == at
	})
	works.Store(true)
	w.add("run-1", 1)
	s.Wake()
	eventually(t, "the next", func() bool { _, taken := r.got(); return len(taken) == 1 })
	stop()
	require.Greater(t, w.points.get("a"), at)
}

// 410 stops a target with an alarm; what it missed is there when it is mended.
func TestSender_GoneDisables(t *testing.T) {
	w := newWorld(t)
	var gone atomic.Bool
	gone.Store(true)
	r := receive(t, func(_ int, rw http.ResponseWriter, _ *http.Request) bool {
		if gone.Load() {
			rw.WriteHeader(http.StatusGone)
		}
		return !gone.Load()
	})
	ailing := make(chan string, 10)
	w.hooks.Ailing = func(_, what string) { ailing <- what }
	w.add("run-1", 3)
	s := w.sender(target(t, "a", r.URL))
	stop, _ := w.start(s)
	require.Contains(t, <-ailing, "410")
	w.add("run-1", 1)
	s.Wake()
	stop()
	seen, _ := r.got()
	require.Len(t, seen, 1)
	list, err := s.Poisoned(t.Context(), "a", 0, 1)
	require.NoError(t, err)
	require.Empty(t, list)

	gone.Store(false)
	w.start(w.sender(target(t, "a", r.URL)))
	eventually(t, "all of it", func() bool { _, taken := r.got(); return len(taken) == 4 })
	_, taken := r.got()
	requireOrder(t, taken, 1, 4)
}

// A webhook whose checkpoint could not be reached is well again with it, although nothing is recorded meanwhile.
func TestSender_IsWellAgainWithoutNewEvents(t *testing.T) {
	w := newWorld(t)
	w.add("run-1", 1)
	w.points.fail.Store(true)
	ailing := make(chan string, 100)
	w.hooks.Ailing = func(_, what string) { ailing <- what }
	from := target(t, "a", "http://127.0.0.1:1")
	from.FromStart = false // so that it begins with a checkpoint
	w.start(w.sender(from))
	require.Contains(t, <-ailing, "away")
	w.points.fail.Store(false)
	require.Empty(t, <-ailing)
}

func TestNew_Refusals(t *testing.T) {
	w := newWorld(t)
	deps := webhooks.Deps{Log: w.log, Checkpoints: w.points, Poison: w.list}
	require.Panics(t, func() { _, _ = webhooks.New(nil, deps, webhooks.Options{}) })
	for _, o := range []webhooks.Options{{AttemptsMax: -1}, {AttemptsMax: webhooks.AttemptsMaxMax + 1}, {BackoffMin: -1}, {BackoffMin: time.Hour, BackoffMax: time.Minute}, {Timeout: -1}} {
		require.Error(t, o.Validate(), "%+v", o)
	}
	require.NoError(t, webhooks.Options{}.Validate())
	for _, name := range []string{"", "A", "a/b", "../x", strings.Repeat("a", 65)} {
		require.ErrorIs(t, webhooks.CheckName(name), domain.ErrInvalid, "%q", name)
	}
}
