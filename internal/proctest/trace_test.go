package proctest

import (
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"quipu/internal/otlptest"
)

const (
	clientTrace  = "0af7651916cd43dd8448eb211c80319c"
	clientSpan   = "b7ad6b7169203331"
	clientParent = "00-" + clientTrace + "-" + clientSpan + "-"
)

// tracedRun is a run of two calls, one after the other.
func tracedRun(stub *Stub, run string) []byte {
	return fmt.Appendf(nil, `{"flow_name":"traced","run_name":%q,"default_inputs":{"password":"hunter2hunter2","note":"payload-of-the-run"},"tasks":[
		{"name":"one","function":"api_call","params":{"config":{"url":"%[2]s/ok?key=in-the-query","method":"POST","headers":{"Authorization":"Bearer tok-in-a-header"}}}},
		{"name":"two","function":"api_call","params":{"config":{"url":"%[2]s/ok/in-the-path","method":"POST"}}}],
		"edges":[{"source":"one","target":"two"}]}`, run, stub.URL)
}

// below reports whether a span hangs below another one, with the whole of their trace.
func below(spans map[string]otlptest.Span, s otlptest.Span, ancestor string) bool {
	for range 100 {
		if s.Parent == ancestor {
			return true
		}
		next, ok := spans[s.Parent]
		if !ok {
			return false
		}
		s = next
	}
	return false
}

// Whoever asks why a run was slow finds one trace from the client's call to the frames, over all that
// the process did for it; and finds no payload in it.
func TestTrace_OneRunIsOneTrace(t *testing.T) {
	collector, stub := otlptest.New(t), NewStub(t)
	s := Start(t, Options{Args: []string{"--otlp-endpoint", collector.URL, "--otlp-headers", "authorization=Bearer for-the-collector"}})
	socket := s.Open(t, "traced", "first", "")
	c := s.Client()
	r := c.Must(t, http.MethodPost, "/run-dag/", tracedRun(stub, "first"), "traceparent", clientParent+"01")
	require.Equal(t, http.StatusOK, r.Status, string(r.Body))
	var started Started
	require.NoError(t, r.JSON(&started))
	frames := socket.ToEnd(t)
	c.Must(t, http.MethodGet, "/api/executions?limit=1", nil) // the views hold it
	s.Stop()                                                  // what waits is sent

	byID, names := map[string]otlptest.Span{}, map[string]int{}
	for _, span := range collector.Spans() {
		if span.Trace != clientTrace {
			continue
		}
		byID[span.ID] = span
		names[span.Name]++
	}
	require.Equal(t, 1, names["POST /run-dag"], "%v", names)
	require.Equal(t, 2, names["attempt api_call"], "%v", names)
	require.Equal(t, 2, names["call"], "%v", names)
	require.GreaterOrEqual(t, names["append"], 4, "the name, the start, two results: %v", names)
	require.Equal(t, len(frames), names["frame"], "each event's first frame: %v", names)
	require.GreaterOrEqual(t, names["project"], 1, "%v", names)
	for _, span := range byID {
		require.True(t, below(byID, span, clientSpan), "%s hangs in the air: %+v", span.Name, span)
		require.LessOrEqual(t, span.Began, span.Ended, span.Name)
		require.False(t, span.Failed, span.Name)
	}
	var sent []string
	for _, call := range collector.Named("call") {
		require.Equal(t, "attempt api_call", byID[call.Parent].Name)
		require.Equal(t, "200", call.Attributes["http.response.status_code"])
		require.Equal(t, "127.0.0.1", call.Attributes["server.address"])
		sent = append(sent, "00-"+call.Trace+"-"+call.ID+"-01")
	}
	var got []string
	for _, call := range stub.Calls() {
		got = append(got, call.Header.Get("Traceparent"))
	}
	require.ElementsMatch(t, sent, got, "the far side is told of the call's own span")
	second := collector.Named("attempt api_call")[1]
	require.Equal(t, "attempt api_call", byID[second.Parent].Name, "what the first result started is below it")
	require.Equal(t, started.TaskID, second.Attributes["quipu.run_id"])

	require.Equal(t, "quipu", collector.Resource()["service.name"])
	require.Equal(t, "Bearer for-the-collector", collector.Headers()[0].Get("Authorization"))
	for _, hidden := range []string{"hunter2", "payload-of-the-run", "in-the-query", "in-the-path", "tok-in-a-header", "for-the-collector"} {
		require.NotContains(t, collector.Raw(), hidden)
	}
	require.NotContains(t, s.Output(), "for-the-collector")
}

// A client that does not record its trace gets no spans, yet its traceparent reaches the far side; so it
// does without any collector.
func TestTrace_UnrecordedOnesArePassedOn(t *testing.T) {
	collector := otlptest.New(t)
	for name, c := range map[string]struct {
		args []string
		sent string
		want string
	}{
		"not sampled":  {[]string{"--otlp-endpoint", collector.URL, "--otlp-sample", "0"}, clientParent + "00", clientParent + "00"},
		"no collector": {nil, clientParent + "01", clientParent + "01"},
		"invalid":      {[]string{"--otlp-endpoint", collector.URL, "--otlp-sample", "0"}, "00-" + strings.Repeat("0", 32) + "-" + clientSpan + "-01", ""},
		"none":         {[]string{"--otlp-endpoint", collector.URL, "--otlp-sample", "0"}, "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			stub := NewStub(t)
			s := Start(t, Options{Args: c.args})
			r := s.Client().Must(t, http.MethodPost, "/run-dag/", tracedRun(stub, "first"), "traceparent", c.sent)
			var started Started
			require.NoError(t, r.JSON(&started))
			s.Client().End(t, started.TaskID)
			events := s.Client().Must(t, http.MethodGet, "/api/events?execution_id="+started.TaskID, nil)
			require.Equal(t, http.StatusOK, events.Status)
			s.Stop()
			calls := stub.Calls()
			require.Len(t, calls, 2)
			for _, call := range calls {
				require.Equal(t, c.want, call.Header.Get("Traceparent"))
			}
			if c.want != "" {
				require.Contains(t, string(events.Body), c.want)
			}
		})
	}
	require.Empty(t, collector.Spans())
}

// What a process began is not forgotten with it: the attempt that a restart makes, and all that follows,
// are in the same trace.
func TestTrace_GoesOnAfterAKill(t *testing.T) {
	collector, stub := otlptest.New(t), NewStub(t)
	arrived := make(chan struct{}, 1)
	stub.Handle("/hang", func(w http.ResponseWriter, r *http.Request, c *Call) {
		if c.Nth > 1 {
			_, _ = w.Write([]byte(`{}`))
			return
		}
		arrived <- struct{}{}
		<-r.Context().Done()
	})
	data := DataFolder(t)
	args := []string{"--otlp-endpoint", collector.URL, "--otlp-sample", "0"}
	s := Start(t, Options{Data: data, Args: args})
	r := s.Client().Must(t, http.MethodPost, "/run-dag/", fmt.Appendf(nil, `{"flow_name":"traced","run_name":"killed","tasks":[
		{"name":"one","function":"api_call","params":{"config":{"url":"%[1]s/hang","method":"POST"}}},
		{"name":"two","function":"api_call","params":{"config":{"url":"%[1]s/ok","method":"POST"}}}],"edges":[{"source":"one","target":"two"}]}`, stub.URL), "traceparent", clientParent+"01")
	var started Started
	require.NoError(t, r.JSON(&started))
	<-arrived
	s.Kill()
	s = Start(t, Options{Data: data, Args: args})
	status, _ := s.Client().End(t, started.TaskID)
	require.Equal(t, "completed", status.Status)
	s.Stop()

	calls := stub.Calls()
	require.Len(t, calls, 3)
	for _, call := range calls {
		require.Equal(t, clientTrace, call.Header.Get("Traceparent")[3:35])
	}
	attempts := collector.Named("attempt api_call")
	require.NotEmpty(t, attempts)
	last := attempts[len(attempts)-1]
	require.Equal(t, clientTrace, last.Trace)
	require.Equal(t, "two", last.Attributes["quipu.task"])
	for _, span := range collector.Spans() {
		require.Equal(t, clientTrace, span.Trace, span.Name)
	}
}

// A message of a socket has no headers: its metadata carries the trace.
func TestTrace_AGNT5MessagesCarryTheirs(t *testing.T) {
	collector, stub := otlptest.New(t), NewStub(t)
	s := Start(t, Options{Args: []string{"--otlp-endpoint", collector.URL}})
	at := makeShop(t, s)
	serves(t, s, "coffee-shop", "order", `{"id":"call","type":"api_call","data":{"config":{"url":"`+stub.URL+`/ok","method":"POST"}}}`)
	conn := agentSocket(t, s, at, "")
	sendAgent(t, conn, `{"name":"order","metadata":{"traceparent":"`+clientParent+`01"}}`)
	untilAgent(t, conn, "execution_completed")
	s.Stop()
	byID := map[string]otlptest.Span{}
	found := map[string]int{}
	for _, span := range collector.Spans() {
		if span.Trace == clientTrace {
			byID[span.ID] = span
			found[span.Name]++
		}
	}
	require.Equal(t, 1, found["start execution"], "%v", found)
	require.Equal(t, 1, found["call"], "%v", found)
	require.NotZero(t, found["frame"], "%v", found)
	for _, span := range byID {
		require.True(t, below(byID, span, clientSpan), "%s hangs in the air", span.Name)
	}
}

// A collector that is away, or takes a connection and never answers, costs spans and nothing else.
func TestTrace_DeadCollectorsCostNothing(t *testing.T) {
	release := make(chan struct{})
	hangs := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-release }))
	t.Cleanup(hangs.Close)
	t.Cleanup(func() { close(release) })
	free, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	refuses := "http://" + free.Addr().String()
	require.NoError(t, free.Close())
	for name, endpoint := range map[string]string{"hangs": hangs.URL, "refuses": refuses} {
		t.Run(name, func(t *testing.T) {
			s := Start(t, Options{Args: []string{"--otlp-endpoint", endpoint, "--effects-max", "64"}})
			c := s.Client()
			stub := NewStub(t)
			for i := range 50 {
				started := c.Run(t, tracedRun(stub, fmt.Sprint("run-", i)))
				status, _ := c.End(t, started.TaskID)
				require.Equal(t, "completed", status.Status)
			}
			ready := c.Must(t, http.MethodGet, "/health/ready", nil)
			require.Equal(t, http.StatusOK, ready.Status, string(ready.Body))
			require.Contains(t, string(c.Must(t, http.MethodGet, "/metrics", nil).Body), `quipu_trace_spans_total{outcome="ended"}`)
			began := time.Now()
			s.Stop()
			require.Less(t, time.Since(began), 15*time.Second, "the end does not wait for it")
		})
	}
}
