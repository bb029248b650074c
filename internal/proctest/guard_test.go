package proctest

import (
	"encoding/json"
	"errors"
	"net/http"
	"regexp"
	"strings"
	"testing"

	"github.com/fasthttp/websocket"
	"github.com/stretchr/testify/require"
)

const (
	ciKey   = "ci-key-hunter2-0123456789"
	wrongCI = "no-key-hunter3-0123456789"
)

// as sends one request with headers.
func as(t *testing.T, s *Server, method, path, body string, headers ...string) Reply {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), method, "http://"+s.Addr()+path, strings.NewReader(body))
	require.NoError(t, err)
	for i := 0; i < len(headers); i += 2 {
		if headers[i] == "Host" {
			request.Host = headers[i+1]
			continue
		}
		request.Header.Set(headers[i], headers[i+1])
	}
	reply, err := s.Client().send(request)
	require.NoError(t, err)
	return reply
}

// handshake opens a socket and hangs up, or returns what the server answered instead.
func handshake(t *testing.T, s *Server, path string, headers http.Header, protocols ...string) (status int, protocol string) {
	t.Helper()
	dialer := websocket.Dialer{Subprotocols: protocols}
	conn, response, err := dialer.DialContext(t.Context(), "ws://"+s.Addr()+path, headers)
	if err != nil {
		require.True(t, errors.Is(err, websocket.ErrBadHandshake) && response != nil, "%v", err)
		return response.StatusCode, ""
	}
	protocol = conn.Subprotocol()
	require.NoError(t, conn.Close())
	return http.StatusSwitchingProtocols, protocol
}

// S2-5: who may call is asked of REST and sockets alike, and events say whose key it was.
func TestS2_5_KeysGuardRESTAndSockets(t *testing.T) {
	s := Start(t, Options{Args: []string{"--api-keys", "ci:" + ciKey, "--lao-open", "no"}})
	s.Ready()
	for _, headers := range [][]string{nil, {"x-api-key", wrongCI}, {"Authorization", "Bearer " + wrongCI}} {
		for path, method := range map[string]string{"/api/executions": "GET", "/run-dag": "POST", "/metrics": "GET", "/admin/views/verify": "POST", "/blobs/x": "GET"} {
			r := as(t, s, method, path, "", headers...)
			require.Equal(t, 401, r.Status, "%s %v: %s", path, headers, r.Body)
			require.NotContains(t, string(r.Body), "hunter")
		}
	}
	r := as(t, s, "POST", "/run-dag", string(dag("f", "r", nil, noop("a", 1))), "Authorization", "Bearer "+ciKey)
	require.Equal(t, 200, r.Status, string(r.Body))
	var started Started
	require.NoError(t, json.Unmarshal(r.Body, &started))
	r = as(t, s, "GET", "/api/events?execution_id="+started.TaskID, "", "x-api-key", ciKey)
	require.Equal(t, 200, r.Status, string(r.Body))
	require.Contains(t, string(r.Body), `"actor":{"kind":"key","id":"ci","via":"run-dag"}`)

	key := http.Header{"X-Api-Key": {ciKey}}
	for _, c := range []struct {
		headers   http.Header
		protocols []string
		status    int
		echoed    string
	}{
		{nil, nil, 401, ""},
		{http.Header{"X-Api-Key": {wrongCI}}, nil, 401, ""},
		{nil, []string{"x-api-key." + wrongCI}, 401, ""},
		{key, nil, 101, ""},
		{nil, []string{"x-api-key." + ciKey}, 101, "x-api-key." + ciKey},
		{nil, []string{"json", "x-api-key." + ciKey}, 101, "x-api-key." + ciKey},
		{http.Header{"X-Api-Key": {ciKey}, "Origin": {"https://evil.example"}}, nil, 403, ""},
		{http.Header{"X-Api-Key": {ciKey}, "Origin": {"http://" + s.Addr()}}, nil, 101, ""},
	} {
		status, echoed := handshake(t, s, "/ws/f/r", c.headers, c.protocols...)
		require.Equal(t, []any{c.status, c.echoed}, []any{status, echoed}, "%+v", c)
	}
	// A socket has to live on the header that the guard set, too.
	code, out := Run(t, "watch", "f", "r", "--server", s.Addr(), "--api-key", ciKey)
	require.Equal(t, 0, code, out)
	require.Contains(t, out, "flow_completed")
	code, out = Run(t, "watch", "f", "r", "--server", s.Addr())
	require.Equal(t, 1, code)
	require.Contains(t, out, "401")
	code, out = Run(t, "views", "verify", "--server", s.Addr(), "--api-key", ciKey)
	require.Equal(t, 0, code, out)
	code, _ = Run(t, "views", "verify", "--server", s.Addr(), "--api-key", wrongCI)
	require.Equal(t, 1, code)
	require.NotContains(t, s.Output(), "hunter")
	require.Contains(t, s.Output(), `"reason":"key_unknown"`)
}

// Pages of other sites, and pages under a name that points here, get nowhere on a server without keys.
func TestGuard_PagesOfOthers(t *testing.T) {
	s := Start(t, Options{Args: []string{"--cors-origins", "https://studio.example", "--hosts", "quipu.internal"}})
	s.Ready()
	body := string(dag("f", "r", nil, noop("a", 1)))
	require.Equal(t, 403, as(t, s, "POST", "/run-dag", body, "Origin", "https://evil.example").Status)
	require.Equal(t, 403, as(t, s, "POST", "/run-dag", body, "Origin", "http://evil.example", "Host", "evil.example").Status)
	require.Equal(t, 403, as(t, s, "GET", "/api/executions", "", "Host", "evil.example:80").Status)
	for _, path := range []string{"/ws/f/r", "/ws/workflows/lao-0123456789abcdef", "/ws?x-wf-endpoint=e"} {
		status, _ := handshake(t, s, path, http.Header{"Origin": {"https://evil.example"}})
		require.Equal(t, 403, status, path)
	}
	status, _ := handshake(t, s, "/ws/f/r", http.Header{"Origin": {"https://studio.example"}})
	require.Equal(t, 101, status)
	require.Equal(t, 200, as(t, s, "GET", "/api/executions", "", "Host", "quipu.internal").Status)
	r := as(t, s, "POST", "/run-dag", body, "Origin", "https://studio.example")
	require.Equal(t, 200, r.Status, string(r.Body))
	require.Equal(t, "https://studio.example", r.Header.Get("Access-Control-Allow-Origin"))
	r = as(t, s, "OPTIONS", "/api/workflows", "", "Origin", "https://studio.example", "Access-Control-Request-Method", "POST", "Access-Control-Request-Headers", "authorization,x-api-key")
	require.Equal(t, 204, r.Status)
	require.Equal(t, "authorization,x-api-key", r.Header.Get("Access-Control-Allow-Headers"), "a page can send its key")
}

// An API that others can reach is not opened by mistake.
func TestGuard_OpenToOthersMustBeSaid(t *testing.T) {
	code, out := Run(t, "serve", "--addr", "0.0.0.0:0", "--data", DataFolder(t))
	require.Equal(t, 2, code)
	for _, word := range []string{"api_keys", "QUIPU_API_KEYS", "--insecure", "127.0.0.1"} {
		require.Contains(t, out, word)
	}
	s := Start(t, Options{Args: []string{"--addr", "0.0.0.0:0", "--insecure"}})
	s.Ready()
	require.Contains(t, s.Output(), "whoever reaches the address may do everything")
}

// D15: the first start on an empty log makes an endpoint and prints its key; no later one does.
func TestD15_FirstEndpointIsPrintedOnce(t *testing.T) {
	data := DataFolder(t)
	s := Start(t, Options{Data: data})
	s.Ready()
	var line []string
	printed := regexp.MustCompile(`endpoint (default-[0-9a-f]{8}) is ready; its key, which is shown this once: (qk_[A-Za-z0-9_-]{32})\n`)
	Eventually(t, readyLimit, "the endpoint's line", func() bool {
		line = printed.FindStringSubmatch(s.Output())
		return line != nil
	})
	require.Equal(t, 1, strings.Count(s.Output(), line[2]))
	r := s.Client().Must(t, "GET", "/api/endpoints", nil)
	require.Contains(t, string(r.Body), `"endpoint":"`+line[1]+`"`)
	require.NotContains(t, string(r.Body), line[2])
	r = s.Client().Must(t, "GET", "/api/endpoints/"+line[1], nil)
	require.Equal(t, 200, r.Status)
	r = s.Client().Must(t, "POST", "/api/endpoints", []byte(`{"slug":"coffee-shop"}`))
	require.Equal(t, 201, r.Status, string(r.Body))
	var made struct {
		Data struct {
			Endpoint string
			Key      string `json:"api_key"`
		}
	}
	require.NoError(t, json.Unmarshal(r.Body, &made))
	require.Equal(t, 200, s.Client().Must(t, "GET", "/api/endpoints/"+made.Data.Endpoint, nil).Status)
	s.Kill()
	s = Start(t, Options{Data: data})
	s.Ready()
	require.NotContains(t, s.Output(), "is ready; its key")
	require.NotContains(t, s.Output(), made.Data.Key)
	require.Equal(t, 200, s.Client().Must(t, "GET", "/api/endpoints/"+made.Data.Endpoint, nil).Status)
}
