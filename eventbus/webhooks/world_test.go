package webhooks_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"quipu/domain"
	"quipu/eventbus/poison"
	"quipu/eventbus/webhooks"
	"quipu/infra/clock"
	"quipu/infra/memory"
	files "quipu/infra/poison"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const patience = time.Minute

// checkpoints keep positions in memory; they outlive senders, as a store does.
type checkpoints struct {
	mu    sync.Mutex
	at    map[string]domain.Position
	saves int
	fail  atomic.Bool
}

func newCheckpoints() *checkpoints { return &checkpoints{at: map[string]domain.Position{}} }

func (c *checkpoints) Load(_ context.Context, name string) (domain.Position, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at[name], nil
}

func (c *checkpoints) Save(_ context.Context, name string, from, to domain.Position) error {
	if c.fail.Load() {
		return domain.E(domain.KindUnavailable, "save", name, "away")
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.at[name] != from {
		return domain.E(domain.KindConflict, "save", name, fmt.Sprintf("is at %d, not %d", c.at[name], from))
	}
	c.at[name] = to
	c.saves++
	return nil
}

func (c *checkpoints) get(name string) domain.Position {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at["webhooks."+name]
}

// delivery is one request as a receiver saw it.
type delivery struct {
	id, body string
	header   http.Header
}

func (d delivery) stream() string { stream, _, _ := strings.Cut(d.body, "@"); return stream }

// receiver is a real server that keeps what it was sent.
type receiver struct {
	*httptest.Server
	mu    sync.Mutex
	seen  []delivery // all requests
	taken []delivery // those answered 2xx
}

// receive starts a receiver; handle may answer, else it is 204. n counts requests from 1.
func receive(t *testing.T, handle func(n int, w http.ResponseWriter, r *http.Request) (taken bool)) *receiver {
	t.Helper()
	v := &receiver{}
	v.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		d := delivery{id: r.Header.Get(webhooks.HeaderID), body: string(body), header: r.Header.Clone()}
		v.mu.Lock()
		v.seen = append(v.seen, d)
		n := len(v.seen)
		v.mu.Unlock()
		if handle != nil && !handle(n, w, r) {
			return
		}
		v.mu.Lock()
		v.taken = append(v.taken, d)
		v.mu.Unlock()
		if handle == nil {
			w.WriteHeader(http.StatusNoContent)
		}
	}))
	t.Cleanup(v.Close)
	return v
}

func (v *receiver) got() (seen, taken []delivery) {
	v.mu.Lock()
	defer v.mu.Unlock()
	return slices.Clone(v.seen), slices.Clone(v.taken)
}

// world is a log with what outlives the processes that deliver from it.
type world struct {
	t      *testing.T
	log    *memory.Log
	points *checkpoints
	list   poison.List
	hooks  webhooks.Hooks
	owns   func(string) (bool, <-chan struct{})
	option webhooks.Options
}

func newWorld(t *testing.T) *world {
	t.Helper()
	list, err := files.Open(t.TempDir())
	require.NoError(t, err)
	return &world{
		t: t, log: memory.NewLog(), points: newCheckpoints(), list: list,
		option: webhooks.Options{AttemptsMax: 3, BackoffMin: time.Millisecond, BackoffMax: 5 * time.Millisecond, Timeout: 5 * time.Second},
	}
}

// add appends n events to a stream and returns the position of the last.
func (w *world) add(stream domain.StreamID, n int) domain.Position {
	w.t.Helper()
	return w.addType(stream, "run.x.v1", n)
}

func (w *world) addType(stream domain.StreamID, typ string, n int) domain.Position {
	w.t.Helper()
	head := domain.NoStream
	if page, err := w.log.ReadStreamBackward(context.Background(), stream, 1<<40, 1); err == nil {
		head = page[0].Revision
	}
	pending := make([]domain.Pending, n)
	for i := range pending {
		at := head + 1 + domain.Revision(i)
		text := fmt.Sprintf("%s@%d", stream, at)
		pending[i] = domain.Pending{ID: domain.UUIDv8(domain.HashEvent(stream, at, typ, nil)), Type: typ, Data: []byte(text)}
	}
	done, err := w.log.Append(context.Background(), stream, head, pending)
	require.NoError(w.t, err)
	return done.Position
}

func target(t *testing.T, name, address string) webhooks.Target {
	t.Helper()
	u, err := url.Parse(address)
	require.NoError(t, err)
	return webhooks.Target{Name: name, URL: u, Keys: []webhooks.Key{[]byte(strings.Repeat("k", 24))}, FromStart: true}
}

// client is one without a guard: receivers of tests are on this machine.
func client(t *testing.T) *http.Client {
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport}
}

func (w *world) sender(targets ...webhooks.Target) *webhooks.Sender {
	w.t.Helper()
	system := clock.System{}
	s, err := webhooks.New(targets, webhooks.Deps{
		Log: w.log, Checkpoints: w.points, Poison: w.list, Clock: system, Client: client(w.t), Random: system.Jitter,
		Render:     func(_ context.Context, e *domain.Recorded) ([]byte, error) { return e.Data, nil },
		WorkflowOf: func(_ context.Context, e *domain.Recorded) (string, error) { return "of-" + string(e.Stream), nil },
		Owns:       w.owns, Hooks: w.hooks,
	}, w.option)
	require.NoError(w.t, err)
	return s
}

// start runs a sender; stop ends it in order, kill as a crash does, but for the last checkpoint.
func (w *world) start(s *webhooks.Sender) (stop, kill func()) {
	w.t.Helper()
	work, cancelWork := context.WithCancel(context.Background())
	intake, cancel := context.WithCancel(work)
	done := make(chan error, 1)
	go func() { done <- s.Run(intake, work) }()
	var once sync.Once
	end := func(cancel func()) func() {
		return func() {
			once.Do(func() {
				cancel()
				require.NoError(w.t, <-done)
				cancelWork()
			})
		}
	}
	w.t.Cleanup(end(cancelWork))
	return end(cancel), end(cancelWork)
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	require.Eventually(t, ok, patience, 2*time.Millisecond, what)
}

// requireOrder checks that the first deliveries of each stream came in order and none is missing.
func requireOrder(t *testing.T, got []delivery, streams, each int) {
	t.Helper()
	next := map[string]int{}
	for _, d := range got {
		_, text, _ := strings.Cut(d.body, "@")
		var revision int
		_, err := fmt.Sscan(text, &revision)
		require.NoError(t, err)
		require.LessOrEqual(t, revision, next[d.stream()], "%s came before its predecessor", d.body)
		next[d.stream()] = max(next[d.stream()], revision+1)
	}
	require.Len(t, next, streams)
	for stream, n := range next {
		require.Equal(t, each, n, stream)
	}
}
