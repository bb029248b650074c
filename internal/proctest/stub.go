package proctest

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// Call is one request that reached the stub.
type Call struct {
	Serial  int // 1 for the first of all
	Nth     int // 1 for the first with its key
	Key     string
	Attempt string
	Method  string
	URL     string // path and query
	Header  http.Header
	Body    []byte
	BodySum string
}

// Stub stands for the world outside: an HTTP server that records what it is asked.
type Stub struct {
	URL string

	mu     sync.Mutex
	calls  []*Call
	byKey  map[string][]*Call
	routes map[string]func(w http.ResponseWriter, r *http.Request, c *Call)
}

// NewStub starts a stub. Its routes, beside those of Handle:
//
//	/ok      answers {"serial","key","sum"} of the request
//	/flaky   answers 503 to the first two requests with a key, then as /ok
//	/fail    answers 400
//	/agent   answers {"response": "heard <sum>"}
func NewStub(t testing.TB) *Stub {
	s := &Stub{byKey: map[string][]*Call{}, routes: map[string]func(http.ResponseWriter, *http.Request, *Call){}}
	ok := func(w http.ResponseWriter, _ *http.Request, c *Call) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = fmt.Fprintf(w, `{"serial":%d,"key":%s,"sum":%q}`, c.Serial, strconv.Quote(c.Key), c.BodySum)
	}
	s.Handle("/ok", ok)
	s.Handle("/flaky", func(w http.ResponseWriter, r *http.Request, c *Call) {
		if c.Nth <= 2 {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		ok(w, r, c)
	})
	s.Handle("/fail", func(w http.ResponseWriter, _ *http.Request, _ *Call) { w.WriteHeader(http.StatusBadRequest) })
	s.Handle("/agent", func(w http.ResponseWriter, _ *http.Request, c *Call) {
		_, _ = fmt.Fprintf(w, `{"response":"heard %s"}`, c.BodySum)
	})
	server := httptest.NewServer(s)
	t.Cleanup(func() {
		server.CloseClientConnections()
		server.Close()
	})
	s.URL = server.URL
	return s
}

// Handle answers requests whose path is path, or begins with path and a slash, by f.
func (s *Stub) Handle(path string, f func(http.ResponseWriter, *http.Request, *Call)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.routes[path] = f
}

// ServeHTTP records the request and answers it.
func (s *Stub) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return // cut off in the middle: the server was killed while it sent
	}
	sum := sha256.Sum256(body)
	c := &Call{
		Key: r.Header.Get("Idempotency-Key"), Attempt: r.Header.Get("Quipu-Attempt"), Method: r.Method,
		URL: r.URL.RequestURI(), Header: r.Header.Clone(), Body: bytes.Clone(body), BodySum: hex.EncodeToString(sum[:8]),
	}
	first, _, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	s.mu.Lock()
	s.calls = append(s.calls, c)
	c.Serial = len(s.calls)
	if c.Key != "" {
		s.byKey[c.Key] = append(s.byKey[c.Key], c)
	}
	c.Nth = len(s.byKey[c.Key])
	f := s.routes["/"+first]
	s.mu.Unlock()
	if f == nil {
		http.NotFound(w, r)
		return
	}
	f(w, r, c)
}

// Calls are the requests so far, in the order they came.
func (s *Stub) Calls() []Call {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := make([]Call, len(s.calls))
	for i, c := range s.calls {
		out[i] = *c
	}
	return out
}
