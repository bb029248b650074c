package intakehttp

import (
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"quipu/commands"
	"quipu/infra/clock"
)

// asks sends a request with headers and returns status, headers and body.
func (s *site) asks(t *testing.T, method, path, body string, headers ...string) (*http.Response, reply) {
	t.Helper()
	request := httptest.NewRequest(method, "/", strings.NewReader(body))
	request.URL.Path, request.RequestURI = path, path
	for i := 0; i < len(headers); i += 2 {
		request.Header.Add(headers[i], headers[i+1])
	}
	return s.send(t, request)
}

const emptyWorkflow = `{"name":"n","nodes":[{"id":"in","type":"trigger"},{"id":"out","type":"end"}],"edges":[{"source":"in","target":"out"}]}`

// C.4: a change under If-Match is made on that version or not at all.
func TestC4_IfMatch(t *testing.T) {
	s := newSite(t)
	response, made := s.asks(t, "POST", "/api/workflows", emptyWorkflow)
	require.Equal(t, 201, made.status)
	require.Equal(t, `"1"`, response.Header.Get("ETag"))
	path := "/api/workflows/" + made.text(t, "id")
	for _, match := range []string{`"2"`, `"x"`, `W/"1"`, `"0"`, `"01"`, `"1x"`, `"99999999999999999999"`, `"2", "3"`, `""`, `"-1"`, `"é"`} {
		for method, body := range map[string]string{"PUT": `{"name":"m"}`, "DELETE": ""} {
			_, got := s.asks(t, method, path, body, "If-Match", match)
			require.Equal(t, 412, got.status, "%s %s: %s", method, match, got.body)
			code, _, fields := got.problem(t)
			require.Equal(t, "PRECONDITION_FAILED", code)
			require.Equal(t, []string{"header/If-Match"}, fields)
			require.Contains(t, got.body, `"details":{"version":1}`)
		}
	}
	for _, bad := range []string{"1", `"1`, `1"`, `"1" "2"`, `"1",`, `,`, `"a b"`, `w/"1"`, `"1", *`, "**", strings.Repeat(`"1",`, 50) + `"1"`} {
		for method, body := range map[string]string{"PUT": `{"name":"m"}`, "DELETE": ""} {
			_, got := s.asks(t, method, path, body, "If-Match", bad)
			require.Equal(t, 400, got.status, "%s %q: %s", method, bad, got.body)
			code, _, fields := got.problem(t)
			require.Equal(t, "INVALID_ETAG", code)
			require.Equal(t, []string{"header/If-Match"}, fields)
		}
	}
	version := 1
	for _, match := range []string{`"1"`, `*`, ``, ` "7" , W/"3","4"`} {
		name := strings.Repeat("v", version)
		headers := []string{"If-Match", match}
		if match == "" {
			headers = nil
		}
		response, got := s.asks(t, "PUT", path, `{"name":"`+name+`"}`, headers...)
		require.Equal(t, 200, got.status, "%q: %s", match, got.body)
		if match == `"1"` {
			_, got := s.asks(t, "PUT", path, `{"name":"`+name+`"}`, "If-Match", `"1"`)
			require.Equal(t, 412, got.status, "though it would change nothing")
		}
		version++
		require.Equal(t, strconv.Quote(strconv.Itoa(version)), response.Header.Get("ETag"))
	}
	response, _ = s.asks(t, "PUT", path, `{}`)
	require.Equal(t, 412, func() int { _, got := s.asks(t, "DELETE", path, "", "If-Match", `"1"`); return got.status }())
	_, got := s.asks(t, "DELETE", path, "", "If-Match", `"90"`, "If-Match", response.Header.Get("ETag"))
	require.Equal(t, 200, got.status, "a list may stand in several lines: %s", got.body)
	for _, match := range []string{`*`, `"1"`} {
		_, got := s.asks(t, "PUT", path, `{"name":"m"}`, "If-Match", match)
		require.Equal(t, 404, got.status, got.body)
	}
}

// D20: POST /api/workflows and /api/endpoints are done once under a key, and refuse another body.
func TestD20_CreatedOnce(t *testing.T) {
	s := newSite(t)
	e := commands.NewEndpoints(commands.EndpointDeps{Log: s.log, Clock: clock.System{}, IDs: clock.System{}, Secret: clock.System{}.Secret})
	(&Endpoints{Endpoints: e, LogID: s.log.ID(), Timeout: 10 * time.Second}).Register(s.app)
	firstResponse, made := s.asks(t, "POST", "/api/workflows", emptyWorkflow, HeaderIdempotencyKey, "order-1")
	require.Equal(t, 201, made.status, made.body)
	require.Regexp(t, `^[0-9a-f]{8}-[0-9a-f]{4}-8`, made.text(t, "id"))
	response, again := s.asks(t, "POST", "/api/workflows/", emptyWorkflow, HeaderIdempotencyKey, "order-1")
	require.Equal(t, made, again)
	require.Equal(t, firstResponse.Header.Get("ETag"), response.Header.Get("ETag"))
	_, other := s.asks(t, "POST", "/api/workflows", emptyWorkflow, HeaderIdempotencyKey, "order-2")
	require.NotEqual(t, made.text(t, "id"), other.text(t, "id"))
	_, reused := s.asks(t, "POST", "/api/workflows", emptyWorkflow+" ", HeaderIdempotencyKey, "order-1")
	require.Equal(t, 422, reused.status)
	code, _, fields := reused.problem(t)
	require.Equal(t, "IDEMPOTENCY_KEY_REUSED", code)
	require.Equal(t, []string{"header/Idempotency-Key"}, fields)
	for _, bad := range []string{strings.Repeat("x", 256), "a\tb", "é"} {
		for _, path := range []string{"/api/workflows", "/api/endpoints"} {
			body := map[bool]string{true: emptyWorkflow, false: `{"slug":"s"}`}[path == "/api/workflows"]
			_, got := s.asks(t, "POST", path, body, HeaderIdempotencyKey, bad)
			require.Equal(t, 400, got.status, "%q %s", bad, got.body)
			code, _, _ := got.problem(t)
			require.Equal(t, "INVALID_KEY", code)
		}
	}

	_, made = s.asks(t, "POST", "/api/endpoints", `{"slug":"shop"}`, HeaderIdempotencyKey, "order-1")
	require.Equal(t, 201, made.status)
	require.NotEmpty(t, made.text(t, "api_key"))
	require.NotContains(t, made.data, "message")
	_, again = s.asks(t, "POST", "/api/endpoints", `{"slug":"shop"}`, HeaderIdempotencyKey, "order-1")
	require.Equal(t, 201, again.status)
	require.Equal(t, "null", string(again.data["api_key"]))
	require.Equal(t, keyWasShown, again.text(t, "message"))
	for _, same := range []string{"endpoint", "slug", "created_at", "position"} {
		require.Equal(t, made.text(t, same), again.text(t, same))
	}
	_, reused = s.asks(t, "POST", "/api/endpoints", `{"slug":"shop" }`, HeaderIdempotencyKey, "order-1")
	require.Equal(t, 422, reused.status)
}
