package tracing

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"quipu/commands"
	"quipu/domain"
	"quipu/domain/wire"
	"quipu/internal/otlptest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	parent  = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	another = "00-1af7651916cd43dd8448eb211c80319c-c7ad6b7169203331-01"
)

var noon = time.Date(2030, 1, 2, 12, 0, 0, 0, time.UTC)

func newTracer(t *testing.T, to string, change func(*Options)) *Tracer {
	t.Helper()
	o := Options{Endpoint: to, Ratio: 1, Service: "quipu", Version: "1", Node: "n1", Now: func() time.Time { return noon }}
	if change != nil {
		change(&o)
	}
	tracer, err := New(t.Context(), o)
	require.NoError(t, err)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), 5*time.Second)
		defer cancel()
		_ = tracer.Shutdown(ctx)
	})
	return tracer
}

// flushed are the spans after all were sent.
func flushed(t *testing.T, tracer *Tracer, c *otlptest.Collector) []otlptest.Span {
	t.Helper()
	require.NoError(t, tracer.Shutdown(t.Context()))
	return c.Spans()
}

// event is a stored event of that trace.
func event(t *testing.T, trace string, at time.Time, revision int) domain.Recorded {
	t.Helper()
	pending, _ := wire.Seal("run-1", wire.NewHead(), at, wire.Cause{CommandID: fmt.Sprint(revision), Traceparent: trace}, "run.started.v1", []byte(`{}`))
	return domain.Recorded{Stream: "run-1", ID: pending.ID, Type: pending.Type, Metadata: pending.Metadata, Data: pending.Data, Revision: domain.Revision(revision), Position: domain.Position(revision + 1)}
}

func TestParent_RoundTrip(t *testing.T) {
	c, ok := parse(parent)
	require.True(t, ok)
	require.True(t, c.IsSampled())
	require.Equal(t, parent, format(c))
	unsampled := strings.TrimSuffix(parent, "01") + "00"
	c, ok = parse(unsampled)
	require.True(t, ok)
	require.Equal(t, unsampled, format(c))
	_, ok = sampled(unsampled)
	require.False(t, ok)
	// Flags of a later version are not ours to pass on as known ones.
	c, _ = parse(strings.TrimSuffix(parent, "01") + "ff")
	require.Equal(t, parent, format(c))
	_, ok = parse("00-nonsense")
	require.False(t, ok)
}

func TestOptions_Validate(t *testing.T) {
	good := Options{Endpoint: "http://c:4318", Node: "n", Now: time.Time{}.UTC}
	good.Now = func() time.Time { return noon }
	require.NoError(t, good.Validate())
	require.Equal(t, "http://c:4318/v1/traces", good.url())
	for text, change := range map[string]func(*Options){
		"URL":   func(o *Options) { o.Endpoint = "c:4318" },
		"ratio": func(o *Options) { o.Ratio = 1.5 },
		"clock": func(o *Options) { o.Now = nil },
		"node":  func(o *Options) { o.Node = "" },
	} {
		o := good
		change(&o)
		require.ErrorContains(t, o.Validate(), text)
		_, err := New(t.Context(), o)
		require.Error(t, err)
	}
	good.Endpoint = "https://c/custom"
	require.Equal(t, "https://c/custom", good.url())
}

// A share of none records nothing of ours, and still what a client records.
func TestBegin_SamplesNewTracesOnly(t *testing.T) {
	c := otlptest.New(t)
	tracer := newTracer(t, c.URL, func(o *Options) { o.Ratio = 0 })
	own := tracer.Begin("request", "")
	require.Empty(t, own.Traceparent)
	own.EndHTTP("GET", "/", 200)
	invalid := tracer.Begin("request", "nonsense")
	require.Empty(t, invalid.Traceparent)
	theirs := tracer.Begin("request", parent)
	require.NotEqual(t, parent, theirs.Traceparent)
	require.Equal(t, parent[:36], theirs.Traceparent[:36], "the same trace")
	theirs.EndHTTP("POST", "/run-dag", 503)
	spans := flushed(t, tracer, c)
	require.Len(t, spans, 1)
	require.Equal(t, "POST /run-dag", spans[0].Name)
	require.Equal(t, parent[36:52], spans[0].Parent)
	require.True(t, spans[0].Failed)
	require.Equal(t, "503", spans[0].Attributes["http.response.status_code"])
}

// fixedLog answers every append with err.
type fixedLog struct {
	commands.Log
	err error
}

func (l fixedLog) Append(context.Context, domain.StreamID, domain.Revision, []domain.Pending) (commands.Appended, error) {
	return commands.Appended{Position: 7}, l.err
}

// A cancel by somebody else is that one's trace, and leads to the run's.
func TestLog_LaterCommandsKeepTheirTraceWithALink(t *testing.T) {
	c := otlptest.New(t)
	tracer := newTracer(t, c.URL, nil)
	log := tracer.Log(fixedLog{err: domain.E(domain.KindConflict, "append", "run-1", "")})
	pending := func(trace string) domain.Pending {
		p, _ := wire.Seal("run-1", wire.NewHead(), noon, wire.Cause{Traceparent: trace}, "run.started.v1", []byte(`{}`))
		return p
	}
	ctx := tracer.Appending(t.Context(), parent)
	_, err := log.Append(ctx, "run-1", 4, []domain.Pending{pending(parent), pending(parent), pending(another), pending("")})
	require.ErrorIs(t, err, domain.ErrConflict)
	_, _ = log.Append(ctx, "run-1", 4, []domain.Pending{pending("")})
	spans := flushed(t, tracer, c)
	require.Len(t, spans, 2)
	require.Equal(t, parent[3:35], spans[0].Trace)
	require.Empty(t, spans[0].Links)
	require.Equal(t, another[3:35], spans[1].Trace)
	require.Equal(t, []otlptest.Link{{Trace: parent[3:35], ID: parent[36:52]}}, spans[1].Links)
	require.Equal(t, map[string]string{"quipu.stream": "run-1", "quipu.revision": "5", "quipu.events": "4", "quipu.outcome": "conflict"}, spans[1].Attributes)
}

func TestProjected_EachTraceOnceAndBounded(t *testing.T) {
	c := otlptest.New(t)
	tracer := newTracer(t, c.URL, nil)
	var events []domain.Recorded
	for i := range 3 * TracesPerStepMax {
		trace := fmt.Sprintf("00-%032x-%016x-01", i/2+1, i+1) // two events of each
		events = append(events, event(t, trace, noon, i))
	}
	tracer.Projected(events, time.Second)
	tracer.Projected([]domain.Recorded{event(t, "", noon, 0)}, time.Second)
	spans := flushed(t, tracer, c)
	require.Len(t, spans, TracesPerStepMax)
	require.Equal(t, fmt.Sprintf("%016x", 2), spans[0].Parent, "below the last event of the trace")
	for _, s := range spans[1:] {
		require.Equal(t, []otlptest.Link{{Trace: spans[0].Trace, ID: spans[0].ID}}, s.Links)
		require.Equal(t, uint64(time.Second), s.Ended-s.Began)
	}
}

func TestFramed_FirstAndFreshOnly(t *testing.T) {
	c := otlptest.New(t)
	tracer := newTracer(t, c.URL, nil)
	fresh, old, untraced := event(t, parent, noon.Add(-time.Second), 1), event(t, parent, noon.Add(-2*FrameAgeMax), 2), event(t, "", noon, 3)
	ahead := event(t, parent, noon.Add(time.Minute), 4) // recorded by a node whose clock is ahead
	for range 3 {
		for _, e := range []domain.Recorded{fresh, old, untraced, ahead} {
			tracer.Framed("lao", &e)
		}
	}
	spans := flushed(t, tracer, c)
	require.Len(t, spans, 2)
	require.Equal(t, "frame", spans[0].Name)
	require.Equal(t, uint64(time.Second), spans[0].Ended-spans[0].Began)
	require.Equal(t, spans[1].Began, spans[1].Ended)
}

func TestSeen_Forgets(t *testing.T) {
	s := newSeen(2)
	for i := range 100 {
		require.True(t, s.first(domain.EventID{byte(i)}))
	}
	require.False(t, s.first(domain.EventID{99}))
	require.Len(t, s.ids, 2)
	require.True(t, s.first(domain.EventID{0}))
}

// What a definition wrote itself stays; ours becomes the call's own.
func TestTransport_Traceparent(t *testing.T) {
	c := otlptest.New(t)
	tracer := newTracer(t, c.URL, nil)
	var got []string
	far := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		got = append(got, r.Header.Get("Traceparent"))
	}))
	defer far.Close()
	client := http.Client{Transport: tracer.Transport(&http.Transport{})}
	defer client.CloseIdleConnections()
	call := func(ctx context.Context, header string) {
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, far.URL, nil)
		require.NoError(t, err)
		if header != "" {
			r.Header.Set("Traceparent", header)
		}
		response, err := client.Do(r)
		require.NoError(t, err)
		require.NoError(t, response.Body.Close())
		require.Equal(t, header, r.Header.Get("Traceparent"), "the caller's request is left alone")
	}
	ctx, sent, end := tracer.Attempt(t.Context(), parent, commands.TracedAttempt{RunID: "r", Task: "a", Function: "api_call", Number: 2})
	call(ctx, sent)
	call(ctx, another)
	call(t.Context(), parent)
	end("failed")
	outside, same, none := tracer.Attempt(t.Context(), strings.TrimSuffix(parent, "01")+"00", commands.TracedAttempt{})
	require.Equal(t, t.Context(), outside)
	require.Equal(t, "00", same[53:])
	none("completed")

	_, err := client.Get("http://127.0.0.1:1/") //nolint:noctx,bodyclose // refused
	require.Error(t, err)

	spans := flushed(t, tracer, c)
	require.Len(t, spans, 3)
	require.Equal(t, "call", spans[0].Name)
	require.Equal(t, []string{"00-" + spans[0].Trace + "-" + spans[0].ID + "-01", another, parent}, got)
	require.Equal(t, "attempt api_call", spans[2].Name)
	require.True(t, spans[2].Failed)
	require.Equal(t, map[string]string{"quipu.run_id": "r", "quipu.task": "a", "quipu.function": "api_call", "quipu.attempt": "2", "quipu.outcome": "failed"}, spans[2].Attributes)
}

func TestErrorType_TellsNoAddress(t *testing.T) {
	require.Equal(t, "timeout", errorType(fmt.Errorf("call 10.0.0.1: %w", context.DeadlineExceeded)))
	require.Equal(t, "cancelled", errorType(context.Canceled))
	require.Equal(t, "blocked", errorType(fmt.Errorf("call: %w", blockedError{})))
	require.Equal(t, "connection", errorType(errors.New("10.0.0.1 refused")))
}

type blockedError struct{}

func (blockedError) Error() string { return "blocked" }
func (blockedError) Blocked() bool { return true }

// Texts of users are cut, not refused, and a collector that never answers holds nobody up: what does not
// fit into the queue is dropped.
func TestTracer_IsBounded(t *testing.T) {
	release := make(chan struct{})
	hangs := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-release }))
	defer hangs.Close()
	defer close(release)
	ended := 0
	tracer := newTracer(t, hangs.URL, func(o *Options) { o.Ended = func(n int) { ended += n } })
	done := make(chan struct{})
	go func() {
		defer close(done)
		for range 5 * QueueSpansMax {
			_, _, end := tracer.Attempt(context.Background(), parent, commands.TracedAttempt{Task: strings.Repeat("x", 4*ValueBytesMax)})
			end("completed")
		}
	}()
	select {
	case <-done:
	case <-time.After(60 * time.Second):
		t.Fatal("ending spans waits for the collector")
	}
	require.Equal(t, 5*QueueSpansMax, ended)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	require.ErrorIs(t, tracer.Shutdown(ctx), context.DeadlineExceeded)
}

func TestTracer_LongTextsAreCut(t *testing.T) {
	c := otlptest.New(t)
	tracer := newTracer(t, c.URL, nil)
	_, _, end := tracer.Attempt(t.Context(), parent, commands.TracedAttempt{Task: strings.Repeat("é", 4*ValueBytesMax)})
	end("completed")
	require.LessOrEqual(t, len([]rune(flushed(t, tracer, c)[0].Attributes["quipu.task"])), ValueBytesMax)
}
