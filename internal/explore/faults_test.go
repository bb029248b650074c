package explore

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"quipu/domain/rawjson"
	"quipu/internal/apitest"
	"quipu/internal/proctest"
)

// canary is a secret in a place where it does not belong.
const canary = "canary-7f3a9c51"

// quotable are places of which a text is a name: one that leads nowhere is quoted.
var quotable = map[string]bool{"/api/executions/{id}/retry/from": true}

// wrapper are members without which a body is of the other form: then that form's members are missing.
var wrapper = map[string]bool{"/definition": true, "/workflow_data": true}

// fault is a request with one thing wrong.
type fault struct {
	op      operation
	target  string
	what    string
	header  map[string]string
	body    []byte
	pointer string // of what is wrong in the body; "" if it is none of its places
	status  int    // 0 for any below 500
}

// Every operation, with each place of each of its examples missing, of another type, huge, or a secret in a wrong
// shape; with bodies that are no JSON, too deep, too large, of other media types; all at once. No answer is the
// server's fault or undocumented, refusals name the place, and the secret is in no refusal and not in the log.
func TestFaults_EveryOperation(t *testing.T) {
	server := proctest.Start(t, proctest.Options{})
	server.Ready()
	base := "http://" + server.Addr()
	checker, err := apitest.NewChecker(server.Client().Must(t, http.MethodGet, "/openapi.json", nil).Body)
	require.NoError(t, err)
	ops := operations(checker.Document)
	known := learned(t, server, ops)
	work := make(chan fault)
	var group sync.WaitGroup
	var mu sync.Mutex
	sent := map[string]int{}
	complain := func(f fault, format string, args ...any) {
		mu.Lock()
		defer mu.Unlock()
		if sent["complaints"]++; sent["complaints"] <= 40 {
			t.Errorf("%s %s, %s: %s\n%s", f.op.method, f.target, f.what, fmt.Sprintf(format, args...), apitest.Clip(f.body))
		}
	}
	for range 6 {
		group.Go(func() {
			client := http.Client{Transport: &http.Transport{}}
			defer client.CloseIdleConnections()
			for f := range work {
				status, header, body, err := f.send(&client, base)
				if err != nil {
					complain(f, "no answer: %v", err)
					continue
				}
				mu.Lock()
				sent[strconv.Itoa(status)]++
				mu.Unlock()
				if status >= 500 || f.status != 0 && status != f.status {
					complain(f, "%d (want %d) %s", status, f.status, apitest.Clip(body))
				}
				if err := checker.Check(f.op.method, f.target, status, header, body); err != nil && !errors.Is(err, apitest.ErrUndescribed) {
					complain(f, "%v", err)
				}
				if status >= 400 && bytes.Contains(body, []byte(canary)) && !quotable[f.op.path+f.pointer] {
					complain(f, "the refusal repeats what was sent: %s", apitest.Clip(body))
				}
				if (status == http.StatusUnprocessableEntity || status == http.StatusBadRequest) && f.pointer != "" && !names(body, f.pointer) && !wrapper[f.pointer] {
					complain(f, "%d does not name %s: %s", status, f.pointer, apitest.Clip(body))
				}
			}
		})
	}
	for _, op := range ops {
		if dear[op.id] {
			continue
		}
		for _, f := range faultsOf(op, known) {
			work <- f
		}
	}
	close(work)
	group.Wait()
	t.Log(sent)
	require.Greater(t, sent["422"], 300, "the faults are not reached")
	require.NotContains(t, server.Output(), canary, "the log")
	require.True(t, server.IsReady())
	quarantined, _ := server.Client().Metric(t.Context(), "quipu_runs_quarantined")
	require.Zero(t, quarantined)
}

// Every path, with every method it has not: 405, and Allow says which there are.
func TestFaults_EveryWrongMethod(t *testing.T) {
	server := proctest.Start(t, proctest.Options{})
	server.Ready()
	checker, err := apitest.NewChecker(server.Client().Must(t, http.MethodGet, "/openapi.json", nil).Body)
	require.NoError(t, err)
	described := map[string][]string{}
	for _, op := range operations(checker.Document) {
		described[op.path] = append(described[op.path], op.method)
	}
	for path, methods := range described {
		for _, method := range []string{"GET", "POST", "PUT", "DELETE", "PATCH"} {
			if slices.Contains(methods, method) {
				continue
			}
			target := at(path, memory{})
			r, err := server.Client().Do(t.Context(), method, target, []byte(`{}`))
			require.NoError(t, err)
			var p proctest.Problem
			require.NoError(t, r.JSON(&p), "%s %s: %s", method, target, r.Body)
			require.Equal(t, http.StatusMethodNotAllowed, r.Status, "%s %s: %s", method, target, r.Body)
			for _, have := range methods {
				require.Contains(t, r.Header.Get("Allow"), have, "%s %s", method, target)
			}
		}
	}
}

// learned makes one of everything and remembers what it is called.
func learned(t *testing.T, server *proctest.Server, ops []operation) memory {
	t.Helper()
	m := memory{}
	for _, op := range ops {
		if op.method != http.MethodPost || op.body == nil || strings.Contains(op.path, "{") {
			continue
		}
		for _, example := range op.examples {
			m.learn(op, server.Client().Must(t, op.method, op.path, []byte(example)).Body)
		}
	}
	require.NotEmpty(t, m["executions"])
	require.NotEmpty(t, m["workflows"])
	return m
}

// at is a path with its parameters filled in.
func at(path string, m memory) string {
	resource := operation{path: path}.resource()
	for strings.Contains(path, "{") {
		before, rest, _ := strings.Cut(path, "{")
		name, after, _ := strings.Cut(rest, "}")
		value := "timer"
		if known := m[resource]; name == "id" && len(known) > 0 || strings.HasSuffix(name, "_id") && len(known) > 0 {
			value = known[len(known)-1]
		}
		path = before + value + after
	}
	return path
}

// faultsOf lists what is tried with an operation.
func faultsOf(op operation, m memory) []fault {
	target := at(op.path, m)
	out := []fault{{op: op, target: target + "?unknown=" + canary, what: "a parameter that it does not know"}}
	for _, p := range op.parameters {
		if p.In == "query" {
			out = append(out, fault{op: op, target: target + "?" + p.Name + "=%00&" + p.Name + "=" + strings.Repeat("9", 400), what: "a wild " + p.Name})
		}
	}
	if op.body == nil {
		return out
	}
	add := func(what string, body []byte, pointer string, status int) {
		out = append(out, fault{op: op, target: target, what: what, body: body, pointer: pointer, status: status})
	}
	const over = 4<<20 + 1
	add("too large", []byte(`{"x":"`+strings.Repeat("x", over)+`"}`), "", http.StatusRequestEntityTooLarge)
	for what, body := range map[string]string{
		"no JSON": "secret=" + canary, "cut off": `{"a":"` + canary + `"`, "too deep": strings.Repeat("[", 129) + strings.Repeat("]", 129),
		"deeper than a stack": strings.Repeat(`{"a":`, 300_000), "no UTF-8": "{\"a\":\"\xff\"}", "twice": `{"a":"` + canary + `","a":1}`,
	} {
		add(what, []byte(body), "", refusedJSON(op))
	}
	for i, example := range op.examples {
		for _, kind := range []string{"", "text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "application/json; charset=utf-16", "/;;"} {
			out = append(out, fault{op: op, target: target, what: "media type " + kind, header: map[string]string{"Content-Type": kind}, body: []byte(example)})
		}
		places := 0
		_ = rawjson.Walk([]byte(example), 64, func(path *rawjson.Path, kind rawjson.Kind, _, _ int) bool {
			pointer := path.Pointer()
			places++
			for what, value := range map[string]string{
				"a number": "1e999", "null": "null", "a list": `["` + canary + `"]`, "an object": `{"password":"` + canary + `"}`, "missing": "", "text": `"` + canary + `"`,
			} {
				if kind == rawjson.String && what == "text" {
					continue // of the right shape: names that lead nowhere are quoted
				}
				changed, ok := replaced([]byte(example), pointer, value)
				if ok {
					add(fmt.Sprintf("example %d: %s is %s", i, pointer, what), changed, pointer, 0)
				}
			}
			return places < 40
		})
	}
	return out
}

func (f fault) send(client *http.Client, base string) (int, http.Header, []byte, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, f.op.method, base+f.target, bytes.NewReader(f.body))
	if err != nil {
		return 0, nil, nil, err
	}
	if f.body != nil {
		r.Header.Set("Content-Type", "application/json")
	}
	for k, v := range f.header {
		r.Header.Set(k, v)
	}
	response, err := client.Do(r)
	if err != nil {
		return 0, nil, nil, err
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(response.Body)
	return response.StatusCode, response.Header, body, err
}

// replaced puts a value at a place of a document, or takes the place away.
func replaced(document []byte, pointer, value string) ([]byte, bool) {
	if pointer == "" {
		return []byte(value), value != ""
	}
	d := json.NewDecoder(bytes.NewReader(document))
	d.UseNumber()
	var root any
	if d.Decode(&root) != nil {
		return nil, false
	}
	tokens := strings.Split(pointer[1:], "/")
	in := root
	for i, token := range tokens {
		token = strings.NewReplacer("~1", "/", "~0", "~").Replace(token)
		last := i == len(tokens)-1
		switch v := in.(type) {
		case map[string]any:
			switch {
			case last && value == "":
				delete(v, token)
			case last:
				v[token] = json.RawMessage(value)
			}
			in = v[token]
		case []any:
			n, err := strconv.Atoi(token)
			if err != nil || last && value == "" {
				return nil, false
			}
			if last {
				v[n] = json.RawMessage(value)
			}
			in = v[n]
		}
	}
	b, err := encode(root)
	return b, err == nil
}

// encode is json.Marshal that lets numbers be as large as they like.
func encode(v any) ([]byte, error) {
	b, err := json.Marshal(v)
	return bytes.ReplaceAll(b, []byte(`\u003c`), []byte("<")), err
}

// refusedJSON is the status of a body that is no JSON (contract D16).
func refusedJSON(op operation) int {
	if strings.HasPrefix(op.path, "/run-dag") {
		return http.StatusUnprocessableEntity
	}
	return http.StatusBadRequest
}

// names reports whether a refusal speaks of a place: of itself, of what it is in, or of what is in it.
func names(body []byte, pointer string) bool {
	var p any
	if json.Unmarshal(body, &p) != nil {
		return false
	}
	var fields []string
	var collect func(v any)
	collect = func(v any) {
		switch v := v.(type) {
		case map[string]any:
			for key, value := range v {
				if field, ok := value.(string); ok && key == "field" {
					fields = append(fields, field)
				}
				collect(value)
			}
		case []any:
			for _, item := range v {
				collect(item)
			}
		}
	}
	collect(p)
	return slices.ContainsFunc(fields, func(field string) bool {
		place := "/" + strings.TrimPrefix(field, "/")
		return field == "body" || strings.HasPrefix(pointer, place) || strings.HasPrefix(place, pointer) || strings.HasSuffix(pointer, place)
	})
}

// What no proper client sends, and what proxies make of requests: an answer below 500 or a closed connection,
// and the next request is answered.
func TestFaults_OddHTTP(t *testing.T) {
	server := proctest.Start(t, proctest.Options{})
	server.Ready()
	body := `{"flow_name":"f","tasks":[{"name":"a","function":"bench_noop"}]}`
	post := func(head string) string {
		return "POST /run-dag HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n" + head + "\r\n"
	}
	length := fmt.Sprintf("Content-Length: %d\r\n", len(body))
	chunked := "Transfer-Encoding: chunked\r\n"
	many := strings.Repeat("X-Header: "+strings.Repeat("x", 100)+"\r\n", 2_000)
	for what, c := range map[string]struct{ request, want string }{
		"as it should be":         {post(length) + body, "200"},
		"chunked":                 {post(chunked) + chunks(body, 7) + "0\r\n\r\n", "200"},
		"chunks with a trailer":   {post(chunked+"Trailer: X-A\r\n") + chunks(body, 50) + "0\r\nX-A: b\r\n\r\n", "200"},
		"a chunk's size":          {post(chunked) + "zz\r\n" + body, "4"},
		"a chunk's huge size":     {post(chunked) + "ffffffffffffffff\r\n" + body, "4"},
		"a chunk cut off":         {post(chunked) + "ff\r\n" + body, "4|"},
		"chunks over the limit":   {post(chunked) + chunks(`{"x":"`+strings.Repeat("x", 5<<20)+`"}`, 1<<20) + "0\r\n\r\n", "413|"},
		"both lengths":            {post(length+chunked) + chunks(body, 9) + "0\r\n\r\n", "4|200"},
		"two lengths":             {post(length+"Content-Length: 3\r\n") + body, "4|200"},
		"a negative length":       {post("Content-Length: -1\r\n") + body, "4"},
		"a huge length":           {post("Content-Length: 99999999999999999999\r\n") + body, "4"},
		"a length over the limit": {post("Content-Length: 5000000\r\n") + body, "413"},
		"two content types":       {post(length+"Content-Type: application/json\r\nContent-Type: text/plain\r\n") + body, "200"},
		"two keys":                {post(length+"Idempotency-Key: a\r\nIdempotency-Key: b\r\n") + body, "200|4"},
		"a key that is no text":   {post(length+"Idempotency-Key: \x01\x02\r\n") + body, "4"},
		"an unknown expectation":  {post(length+"Expect: the-unexpected\r\n") + body, "200|4"},
		"a compressed body":       {post(length+"Content-Encoding: gzip\r\n") + body, "4"},
		"an unknown encoding":     {post(length+"Content-Encoding: zebra\r\n") + body, "4|200"},
		"huge headers":            {post(many+length) + body, "431"},
		"a huge target":           {"GET /" + strings.Repeat("x", 200_000) + " HTTP/1.1\r\nHost: localhost\r\n\r\n", "4"},
		"no host":                 {"GET /health/live HTTP/1.1\r\nConnection: close\r\n\r\n", "4|200"},
		"no version":              {"GET /health/live\r\n\r\n", "4|"},
		"an unknown method":       {"BREW /run-dag HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", "4"},
		"a header without colon":  {post("nonsense\r\n"+length) + body, "4|200"},
		"spaces before a colon":   {post("Content-Length : 3\r\n"+length) + body, "4|200"},
		"bytes":                   {"\x00\x01\x02\xff\xfe\r\n\r\n", "4|"},
		"TLS":                     {"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", "4|"},
		"HTTP/2":                  {"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "4|"},
		"bad percent in a path":   {"GET /api/executions/%zz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", "4"},
		"bad percent in a query":  {"GET /api/executions?limit=%zz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", "4"},
		"nothing":                 {"\r\n\r\n", "4|"},
	} {
		answer := odd(t, server.Addr(), c.request)
		status := ""
		if len(answer) > 12 {
			status = answer[len("HTTP/1.1 "):][:3]
		}
		require.True(t, slices.ContainsFunc(strings.Split(c.want, "|"), func(want string) bool {
			return want == "" && status == "" || want != "" && strings.HasPrefix(status, want)
		}), "%s: %.300q, want %s", what, answer, c.want)
		require.True(t, server.IsReady(), what)
	}
}

// chunks writes a text as chunks of a size.
func chunks(text string, size int) string {
	var b strings.Builder
	for piece := range slices.Chunk([]byte(text), size) {
		fmt.Fprintf(&b, "%x\r\n%s\r\n", len(piece), piece)
	}
	return b.String()
}

// odd sends bytes, says that no more will come, and returns what is answered.
func odd(t *testing.T, addr, request string) string {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	require.NoError(t, err)
	defer func() { _ = conn.Close() }()
	require.NoError(t, conn.SetDeadline(time.Now().Add(20*time.Second)))
	go func() {
		_, _ = io.WriteString(conn, request) // refused before its end, perhaps
		_ = conn.(*net.TCPConn).CloseWrite()
	}()
	b, err := io.ReadAll(conn)
	var timeout net.Error
	require.False(t, errors.As(err, &timeout) && timeout.Timeout(), "no answer to %.100q", request)
	return string(b)
}
