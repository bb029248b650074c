package flows

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// serve answers as a server would, and counts.
func serve(t *testing.T, status func(n int64) string) (addr string, starts *atomic.Int64) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	starts = &atomic.Int64{}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /run-dag", func(w http.ResponseWriter, r *http.Request) {
		var body struct {
			FlowName string `json:"flow_name"`
			RunName  string `json:"run_name"`
			Tasks    []struct{ Name string }
			Edges    []struct{ Source, Target string }
		}
		b, err := io.ReadAll(r.Body)
		if err != nil || json.Unmarshal(b, &body) != nil || len(body.Tasks) != StepsPerFlow || len(body.Edges) != StepsPerFlow-1 || body.RunName == "" {
			http.Error(w, string(b), http.StatusBadRequest)
			return
		}
		fmt.Fprintf(w, `{"status":"processing","task_id":"id-%d"}`, starts.Add(1))
	})
	mux.HandleFunc("GET /task-status/{id}", func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, status(starts.Load()))
	})
	s := &http.Server{Handler: mux, ReadHeaderTimeout: time.Minute}
	go func() { _ = s.Serve(l) }() // ends with Close
	t.Cleanup(func() { _ = s.Close() })
	return l.Addr().String(), starts
}

func TestLoad_StartsAsManyAsAskedForAndWaitsForEach(t *testing.T) {
	addr, starts := serve(t, func(int64) string { return `{"status":"completed","results":{}}` })
	var ended atomic.Int64
	r, err := Load{
		Addr: addr, Flow: Noop(), Concurrency: 4, Flows: 50,
		OnEnded: func(s Started) { ended.Add(1) },
	}.Run()
	require.NoError(t, err)
	require.Equal(t, 50, r.Flows)
	require.EqualValues(t, 50, starts.Load())
	require.EqualValues(t, 50, ended.Load())
	require.LessOrEqual(t, r.P50, r.P99)
}

// A run that did not complete must never count as a fast flow.
func TestLoad_RunThatFailsIsAnError(t *testing.T) {
	addr, _ := serve(t, func(n int64) string {
		if n == 3 {
			return `{"status":"failed","error":{"type":"X"}}`
		}
		return `{"status":"completed","results":{}}`
	})
	r, err := Load{Addr: addr, Flow: Noop(), Concurrency: 1, Flows: 10}.Run()
	require.ErrorContains(t, err, `run id-3: {"status":"failed"`)
	require.Equal(t, 2, r.Flows)
}

func TestClient_RefusalIsAStatusError(t *testing.T) {
	addr, _ := serve(t, func(int64) string { return "" })
	c, err := Dial(addr)
	require.NoError(t, err)
	defer c.Close()
	_, err = c.Start([]byte(`{}`))
	var status *StatusError
	require.ErrorAs(t, err, &status)
	require.Equal(t, StatusError{Status: 400, Body: "{}\n"}, *status)
}

func TestNewName_GrowsInOrder(t *testing.T) {
	last := ""
	for range 1000 {
		next := NewName()
		require.Greater(t, next, last)
		last = next
	}
}

func TestStub_AnswersAndTells(t *testing.T) {
	s, err := NewStub()
	require.NoError(t, err)
	defer s.Close()
	var calls atomic.Int64
	s.OnCall = func(time.Time) { calls.Add(1) }
	for range 3 {
		resp, err := http.Get(s.URL())
		require.NoError(t, err)
		b, err := io.ReadAll(resp.Body)
		require.NoError(t, err)
		require.NoError(t, resp.Body.Close())
		require.Equal(t, `{"ok":true}`, string(b))
	}
	require.EqualValues(t, 3, calls.Load())
}

// Frames of each form of length, with a ping and a keepalive in between.
func TestSocket_ReadsFrames(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer func() { require.NoError(t, l.Close()) }()
	medium := `{"offset":1,"x":"` + strings.Repeat("m", 300) + `"}`
	large := `{"offset":2,"x":"` + strings.Repeat("l", 70_000) + `"}`
	pong := make(chan []byte, 1)
	go func() {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		defer func() { _ = conn.Close() }()
		r := bufio.NewReader(conn)
		if _, err := http.ReadRequest(r); err != nil {
			return
		}
		fmt.Fprint(conn, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
			"\x81\x0c{\"offset\":0}", "\x89\x02hi", "\x81\x02{}",
			"\x81\x7e", string([]byte{byte(len(medium) >> 8), byte(len(medium))}), medium,
			"\x81\x7f", string([]byte{0, 0, 0, 0, 0, byte(len(large) >> 16), byte(len(large) >> 8), byte(len(large))}), large,
			"\x88\x02\x03\xe8")
		b := make([]byte, 8)
		_, _ = io.ReadFull(r, b)
		pong <- b
	}()
	s, err := DialSocket(l.Addr().String(), "/", 512)
	require.NoError(t, err)
	defer s.Close()
	for _, want := range []string{`{"offset":0}`, medium, large} {
		got, err := s.NextEvent()
		require.NoError(t, err)
		require.Equal(t, want, string(got))
	}
	_, err = s.NextEvent()
	require.ErrorContains(t, err, "closed by the server")
	require.Equal(t, []byte("\x8a\x82\x00\x00\x00\x00hi"), <-pong)
}
