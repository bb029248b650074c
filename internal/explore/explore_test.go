package explore

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"quipu/internal/apitest"
	"quipu/internal/proctest"
)

// One sequence begins with nothing learnt, makes some things, and goes on with any operation.
const (
	callsPerSequence = 60
	makingCalls      = 4
)

// dear are operations that are called once, and then once in twenty times they are drawn: they read the
// whole log.
var dear = map[string]bool{"rebuildViews": true, "verifyViews": true, "metrics": true}

// Sequences of requests to every operation of the document, with parameters and bodies that are meant
// and such as nobody means, and with ids, cursors and positions from the answers before: each answer is
// what the document says, and none is the server's fault. Seeds replay with -rapid.seed; more sequences
// with -rapid.checks (100 unless given).
func TestExplore_EveryAnswerIsAsDocumented(t *testing.T) {
	server := proctest.Start(t, proctest.Options{})
	server.Ready()
	e := &explorer{base: "http://" + server.Addr(), seen: map[string]map[int]int{}}
	reply := server.Client().Must(t, http.MethodGet, "/openapi.json", nil)
	checker, err := apitest.NewChecker(reply.Body)
	require.NoError(t, err)
	e.checker, e.operations = checker, operations(checker.Document)
	for _, op := range e.operations {
		if op.method == http.MethodPost && op.body != nil && !strings.Contains(op.path, "{") {
			e.makers = append(e.makers, op)
		}
	}
	require.NotEmpty(t, e.makers)
	rapid.Check(t, e.sequence)
	e.report(t)
}

// explorer calls one server.
type explorer struct {
	base       string
	checker    *apitest.Checker
	operations []operation
	makers     []operation // those that begin something
	client     http.Client

	mu   sync.Mutex
	seen map[string]map[int]int // operation -> status -> answers
}

func (e *explorer) sequence(t *rapid.T) {
	m := memory{}
	for i := range callsPerSequence {
		from := e.operations
		if i < makingCalls || rapid.IntRange(0, 4).Draw(t, "make") == 0 {
			from = e.makers // without anything to ask about, questions are all 404
		}
		op := rapid.SampledFrom(from).Draw(t, "operation")
		if dear[op.id] && rapid.IntRange(0, 19).Draw(t, "dear") != 0 && e.called(op.id) {
			continue
		}
		e.call(t, draw(t, op, m), m)
	}
}

func (e *explorer) called(operation string) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return len(e.seen[operation]) > 0
}

func (e *explorer) call(t *rapid.T, c call, m memory) {
	ctx, cancel := context.WithTimeout(context.Background(), 90*time.Second)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, c.op.method, e.base+c.target, bytes.NewReader(c.body))
	if err != nil {
		return // nothing that can be sent
	}
	for k, v := range c.header {
		r.Header.Set(k, v)
	}
	response, err := e.client.Do(r)
	if err != nil {
		t.Fatalf("%s: no answer: %v", c, err)
	}
	body, err := io.ReadAll(response.Body)
	_ = response.Body.Close()
	if err != nil {
		t.Fatalf("%s: the answer breaks off: %v", c, err)
	}
	e.count(c.op.id, response.StatusCode)
	if response.StatusCode >= 500 && response.StatusCode != http.StatusServiceUnavailable {
		t.Fatalf("%s: %d %s", c, response.StatusCode, apitest.Clip(body))
	}
	// A wild path parameter may be another route, or none.
	if err := e.checker.Check(c.op.method, c.target, response.StatusCode, response.Header, body); err != nil && !errors.Is(err, apitest.ErrUndescribed) {
		t.Fatalf("%s: %v", c, err)
	}
	m.learn(c.op, body)
	if etag := response.Header.Get("ETag"); etag != "" {
		m.keep("If-Match", etag)
	}
}

func (e *explorer) count(id string, status int) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.seen[id] == nil {
		e.seen[id] = map[int]int{}
	}
	e.seen[id][status]++
}

// report fails if an operation was never reached: then the generator has missed it.
func (e *explorer) report(t *testing.T) {
	calls := 0
	for _, op := range e.operations {
		total := 0
		for _, n := range e.seen[op.id] {
			total += n
		}
		calls += total
		t.Logf("%-24s %v", op.id, e.seen[op.id])
		require.Positive(t, total, "%s was not called", op.id)
	}
	t.Logf("%d calls of %d operations", calls, len(e.operations))
}

// String is the request as it was sent.
func (c call) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s", c.op.method, c.target)
	for k, v := range c.header {
		fmt.Fprintf(&b, "\n%s: %s", k, v)
	}
	if c.body != nil {
		fmt.Fprintf(&b, "\n\n%s\n", apitest.Clip(c.body))
	}
	return b.String()
}
