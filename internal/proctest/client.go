package proctest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"testing"
	"time"

	"quipu/internal/apitest"
)

// Reply is an HTTP answer, read whole.
type Reply struct {
	Status int
	Header http.Header
	Body   []byte
}

// JSON decodes the body; numbers stay as written.
func (r Reply) JSON(into any) error {
	d := json.NewDecoder(bytes.NewReader(r.Body))
	d.UseNumber()
	return d.Decode(into)
}

// Problem is the body of an error.
type Problem struct {
	Status  string
	Message string
	Error   struct {
		Code    string
		Message string
		Details map[string]any
	}
	Detail any
}

// Client speaks HTTP with a server that may be away, and back under another address.
type Client struct {
	http http.Client
	addr func() string
}

// NewClient makes a client of the server at addr(), which is asked for each request.
func NewClient(addr func() string) *Client {
	return &Client{addr: addr, http: http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 32, IdleConnTimeout: 10 * time.Second}}}
}

// Client is a client of s.
func (s *Server) Client() *Client { return NewClient(s.Addr) }

// OneConnectionEach makes every request of c have a connection of its own, and returns c.
func (c *Client) OneConnectionEach() *Client {
	c.http.Transport = &http.Transport{DisableKeepAlives: true}
	return c
}

// Do sends one request and reads the answer. headers are names and values in turn.
func (c *Client) Do(ctx context.Context, method, path string, body []byte, headers ...string) (Reply, error) {
	req, err := http.NewRequestWithContext(ctx, method, "http://"+c.addr()+path, bytes.NewReader(body))
	if err != nil {
		return Reply{}, err
	}
	if len(body) > 0 {
		req.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i < len(headers); i += 2 {
		req.Header.Add(headers[i], headers[i+1])
	}
	return c.send(req)
}

func (c *Client) send(req *http.Request) (Reply, error) {
	resp, err := c.http.Do(req)
	if err != nil {
		return Reply{}, err
	}
	defer func() { _ = resp.Body.Close() }()
	b, err := io.ReadAll(resp.Body)
	return Reply{Status: resp.StatusCode, Header: resp.Header, Body: b}, err
}

// document is the OpenAPI document of the binary under test.
var document struct {
	sync.Mutex
	checker *apitest.Checker
}

// documentedBytesMax leaves out of the comparison what would take long.
const documentedBytesMax = 256 << 10

// documented fails the test where an answer is not what the server's own document says.
func (c *Client) documented(t testing.TB, method, path string, r Reply) {
	t.Helper()
	document.Lock()
	defer document.Unlock()
	if document.checker == nil {
		d, err := c.Do(t.Context(), http.MethodGet, "/openapi.json", nil)
		if err != nil || d.Status != http.StatusOK {
			return // stopping, or out of sockets: the next one will tell
		}
		if document.checker, err = apitest.NewChecker(d.Body); err != nil {
			t.Fatalf("openapi.json: %v", err)
		}
	}
	if len(r.Body) > documentedBytesMax {
		return
	}
	if err := document.checker.Check(method, path, r.Status, r.Header, r.Body); err != nil && !errors.Is(err, apitest.ErrUndescribed) {
		t.Error(err)
	}
}

// Must is Do for a server that has to answer, as its OpenAPI document says.
func (c *Client) Must(t testing.TB, method, path string, body []byte, headers ...string) Reply {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 90*time.Second)
	defer cancel()
	r, err := c.Do(ctx, method, path, body, headers...)
	if err != nil {
		t.Fatalf("%s %s: %v", method, path, err)
	}
	c.documented(t, method, path, r)
	return r
}

// Started is run-dag's answer.
type Started struct {
	Status   string `json:"status"`
	TaskID   string `json:"task_id"`
	FlowName string `json:"flow_name"`
	RunName  string `json:"run_name"`
}

// Run starts a run that must be accepted.
func (c *Client) Run(t testing.TB, body []byte) Started {
	t.Helper()
	r := c.Must(t, http.MethodPost, "/run-dag/", body)
	var s Started
	if r.Status != http.StatusOK || r.JSON(&s) != nil || s.TaskID == "" {
		t.Fatalf("run-dag: %d %s", r.Status, r.Body)
	}
	return s
}

// Status is task-status's answer.
type Status struct {
	Status  string                     `json:"status"`
	Results map[string]json.RawMessage `json:"results"`
	Error   struct {
		Type     string `json:"type"`
		Code     string `json:"code"`
		Message  string `json:"message"`
		TaskName string `json:"task_name"`
	} `json:"error"`
}

// Ended reports whether the run has ended.
func (s Status) Ended() bool { return s.Status == "completed" || s.Status == "failed" }

// End waits for the end of a run, at most a minute, and returns its status and the bytes of it.
func (c *Client) End(t testing.TB, id string) (Status, []byte) {
	t.Helper()
	r := c.Must(t, http.MethodGet, "/task-status/"+id+"?wait=60s", nil)
	var s Status
	if err := json.Unmarshal(r.Body, &s); err != nil || r.Status != http.StatusOK || !s.Ended() {
		t.Fatalf("task-status of %s: %d %s", id, r.Status, r.Body)
	}
	return s, r.Body
}

// Metric reads one sample without labels from /metrics; false if it is not there.
func (c *Client) Metric(ctx context.Context, name string) (value float64, ok bool) {
	r, err := c.Do(ctx, http.MethodGet, "/metrics", nil)
	if err != nil || r.Status != http.StatusOK {
		return 0, false
	}
	for line := range bytes.Lines(r.Body) {
		if _, err := fmt.Sscanf(string(line), name+" %g", &value); err == nil {
			return value, true
		}
	}
	return 0, false
}
