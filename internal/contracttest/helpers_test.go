package contracttest

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/fasthttp/websocket"
	"github.com/stretchr/testify/require"

	"quipu/internal/proctest"
)

// object is a JSON object as it came; numbers stay as written.
type object = map[string]any

// patience is how long a test waits for what must come.
const patience = time.Minute

func decode(t testing.TB, b []byte) object {
	t.Helper()
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	var o object
	require.NoError(t, d.Decode(&o), "%s", b)
	return o
}

func encode(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return string(b)
}

// at follows keys into objects and indexes into arrays; nil where there is nothing.
func at(v any, path ...any) any {
	for _, p := range path {
		switch key := p.(type) {
		case string:
			o, _ := v.(object)
			v = o[key]
		case int:
			a, _ := v.([]any)
			if key >= len(a) {
				return nil
			}
			v = a[key]
		}
	}
	return v
}

func float(t testing.TB, v any) float64 {
	t.Helper()
	n, ok := v.(json.Number)
	require.True(t, ok, "%v (%T) is no number", v, v)
	f, err := n.Float64()
	require.NoError(t, err)
	return f
}

func text(t testing.TB, v any) string {
	t.Helper()
	s, ok := v.(string)
	require.True(t, ok, "%v (%T) is no text", v, v)
	return s
}

func list(t testing.TB, v any) []any {
	t.Helper()
	a, ok := v.([]any)
	require.True(t, ok, "%v (%T) is no array", v, v)
	return a
}

// answer is what a request was answered.
type answer struct {
	Status int
	Header http.Header
	Body   object
	Raw    []byte
}

func (a answer) data(path ...any) any { return at(a.Body["data"], path...) }

// ask sends a request and decodes the answer, which has to be a JSON object. Without headers of its
// own it is also compared with the server's OpenAPI document.
func ask(t testing.TB, s *proctest.Server, method, path, body string, headers ...string) answer {
	t.Helper()
	if len(headers) == 0 {
		r := s.Client().Must(t, method, path, []byte(body))
		return answer{Status: r.Status, Header: r.Header, Body: decode(t, r.Body), Raw: r.Body}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 90*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, "http://"+s.Addr()+path, strings.NewReader(body))
	require.NoError(t, err)
	req.Header.Set("Content-Type", "application/json")
	for i := 0; i < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	resp, err := http.DefaultClient.Do(req)
	require.NoError(t, err)
	defer func() { _ = resp.Body.Close() }()
	b, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	return answer{Status: resp.StatusCode, Header: resp.Header, Body: decode(t, b), Raw: b}
}

// must is ask for an answer with a status that is known.
func must(t testing.TB, s *proctest.Server, status int, method, path, body string, headers ...string) answer {
	t.Helper()
	a := ask(t, s, method, path, body, headers...)
	require.Equal(t, status, a.Status, "%s %s: %s", method, path, a.Raw)
	return a
}

// refused is ask for an answer that has D16's form of an error.
func refused(t testing.TB, s *proctest.Server, status int, code, method, path, body string, headers ...string) answer {
	t.Helper()
	a := must(t, s, status, method, path, body, headers...)
	require.Equal(t, "error", a.Body["status"], "%s", a.Raw)
	require.NotEmpty(t, a.Body["message"], "%s", a.Raw)
	require.Contains(t, a.Body, "detail", "%s", a.Raw)
	require.Equal(t, a.Body["message"], at(a.Body, "error", "message"), "%s", a.Raw)
	if code != "" {
		require.Equal(t, code, at(a.Body, "error", "code"), "%s", a.Raw)
	}
	return a
}

// socket is a WebSocket whose frames are JSON objects.
type socket struct {
	*websocket.Conn
	t testing.TB
}

// dial opens a socket; path begins with a slash and may have a query.
func dial(t testing.TB, s *proctest.Server, path string, protocols ...string) socket {
	t.Helper()
	conn, resp, err := tryDial(t, s, path, protocols...)
	if err != nil && resp != nil {
		b, _ := io.ReadAll(resp.Body)
		t.Fatalf("socket %s: %d %s", path, resp.StatusCode, b)
	}
	require.NoError(t, err, path)
	require.NoError(t, conn.SetReadDeadline(time.Now().Add(patience)))
	return socket{Conn: conn, t: t}
}

func tryDial(t testing.TB, s *proctest.Server, path string, protocols ...string) (*websocket.Conn, *http.Response, error) {
	t.Helper()
	dialer := websocket.Dialer{HandshakeTimeout: patience, Subprotocols: protocols}
	conn, resp, err := dialer.DialContext(t.Context(), "ws://"+s.Addr()+path, nil)
	if err == nil {
		t.Cleanup(func() { _ = conn.Close() })
	}
	return conn, resp, err
}

// refusedSocket is a handshake that is answered with a status and an error in D16's form.
func refusedSocket(t testing.TB, s *proctest.Server, status int, path string, protocols ...string) object {
	t.Helper()
	_, resp, err := tryDial(t, s, path, protocols...)
	require.ErrorIs(t, err, websocket.ErrBadHandshake, path)
	b, _ := io.ReadAll(resp.Body)
	require.Equal(t, status, resp.StatusCode, "%s: %s", path, b)
	return decode(t, b)
}

func (s socket) send(v any) {
	s.t.Helper()
	message, ok := v.(string)
	if !ok {
		message = encode(v)
	}
	require.NoError(s.t, s.WriteMessage(websocket.TextMessage, []byte(message)))
}

// next is the next frame, which has to be a text with one JSON object.
func (s socket) next() object {
	s.t.Helper()
	kind, b, err := s.ReadMessage()
	require.NoError(s.t, err)
	require.Equal(s.t, websocket.TextMessage, kind, "%q", b)
	return decode(s.t, b)
}

// until reads up to a frame that ok accepts and returns all of them.
func (s socket) until(ok func(object) bool) (all []object) {
	s.t.Helper()
	for {
		f := s.next()
		all = append(all, f)
		if ok(f) {
			return all
		}
	}
}

// isType accepts frames by event_type (LAO, Orchestrator) or type (AGNT5).
func isType(types ...string) func(object) bool {
	return func(f object) bool {
		for _, t := range types {
			if f["event_type"] == t || f["type"] == t {
				return true
			}
		}
		return false
	}
}

// where are the frames that ok accepts.
func where(all []object, ok func(object) bool) (some []object) {
	for _, f := range all {
		if ok(f) {
			some = append(some, f)
		}
	}
	return some
}

// one is the only frame that ok accepts.
func one(t testing.TB, all []object, ok func(object) bool) object {
	t.Helper()
	some := where(all, ok)
	require.Len(t, some, 1, "%v", all)
	return some[0]
}

// keys are a frame's keys but those that a cursor needs (D4).
func keys(f object) []string {
	var out []string
	for k := range f {
		switch k {
		case "offset", "execution_id", "event_id", "prev", "log", "part", "parts":
		default:
			out = append(out, k)
		}
	}
	return out
}

// gate is a route of the stub that says who has come and answers once it is opened.
type gate struct {
	came chan string
	open chan struct{}
}

func newGate(stub *proctest.Stub, path string) gate {
	g := gate{came: make(chan string, 64), open: make(chan struct{})}
	stub.Handle(path, func(w http.ResponseWriter, r *http.Request, c *proctest.Call) {
		g.came <- c.URL
		select {
		case <-g.open:
			_, _ = fmt.Fprint(w, `{"passed":true}`)
		case <-r.Context().Done():
		}
	})
	return g
}

func (g gate) await(t testing.TB) {
	t.Helper()
	select {
	case <-g.came:
	case <-time.After(patience):
		t.Fatal("nobody came to the gate")
	}
}
