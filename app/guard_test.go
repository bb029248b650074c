package app

import (
	"encoding/json"
	"io"
	"log/slog"
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/gofiber/fiber/v2"
	"github.com/stretchr/testify/require"

	"quipu/infra/config"
)

const testKey = "test-key-0123456789"

// guarded is the whole app with keys.
func guarded(t *testing.T, change func(*config.Config)) *server {
	t.Helper()
	c := config.Default()
	c.Storage.Data, c.HTTP.Addr = t.TempDir(), "127.0.0.1:0"
	c.Guard.APIKeys = "test:" + testKey
	if change != nil {
		change(&c)
	}
	s, err := open(t.Context(), c, testVersion, slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	t.Cleanup(func() {
		require.NoError(t, s.web.Listener.Close())
		require.NoError(t, s.close())
	})
	return s
}

func (s *server) answer(t *testing.T, method, path, key string) (status int, body string) {
	t.Helper()
	request := httptest.NewRequest(method, path, strings.NewReader("{}"))
	request.Host = "localhost"
	if key != "" {
		request.Header.Set("x-api-key", key)
	}
	response, err := s.web.App.Test(request, 10_000)
	require.NoError(t, err)
	b, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	require.NoError(t, response.Body.Close())
	if status = response.StatusCode; status == fiber.StatusUnauthorized && method != fiber.MethodHead {
		var problem struct {
			Status string
			Error  struct{ Code string }
		}
		require.NoError(t, json.Unmarshal(b, &problem), string(b))
		require.Equal(t, []string{"error", "KEY_MISSING"}, []string{problem.Status, problem.Error.Code})
		require.Equal(t, `Bearer realm="quipu"`, response.Header.Get(fiber.HeaderWWWAuthenticate))
	}
	return status, string(b)
}

// openRoutes need no key (docs/operations.md); laoRoutes need none where lao-open says so; endpointRoutes
// ask for the key of an endpoint.
var (
	openRoutes     = strings.Fields("/ /health/live /health/ready /docs /openapi.json")
	laoRoutes      = strings.Fields("/run-dag /task-status/:id /ws/:flow/:run")
	endpointRoutes = strings.Fields("/ws")
)

// S2-5: with keys, every route there is, and whichever is added, asks for one; but for those listed.
func TestS2_5_EveryRouteAsksForAKey(t *testing.T) {
	s := guarded(t, func(c *config.Config) { c.Guard.LAOOpen = "no" })
	parameter := regexp.MustCompile(`:[a-z]+|\*`)
	seen := 0
	for _, route := range s.web.App.GetRoutes(true) {
		path := parameter.ReplaceAllString(route.Path, "x")
		exempt := slices.Contains(openRoutes, route.Path) || strings.HasPrefix(route.Path, "/docs/") || slices.Contains(endpointRoutes, route.Path)
		status, body := s.answer(t, route.Method, path, "")
		if exempt {
			require.NotEqual(t, 401, status, "%s %s: %s", route.Method, path, body)
			continue
		}
		require.Equal(t, 401, status, "%s %s: %s", route.Method, path, body)
		seen++
	}
	require.Greater(t, seen, 20)
	status, _ := s.answer(t, "GET", "/nowhere", "")
	require.Equal(t, 401, status, "what there is is nobody's business either")
	status, _ = s.answer(t, "GET", "/nowhere", testKey)
	require.Equal(t, 404, status)
	status, body := s.answer(t, "GET", "/metrics", testKey)
	require.Equal(t, 200, status)
	require.Contains(t, body, `quipu_requests_refused_total{reason="key_missing"} `)
}

// S0-2, S2-5: on a loopback address LAO's routes stay open, as the page's client needs it.
func TestS0_2_LAOIsOpenOnLoopback(t *testing.T) {
	s := guarded(t, nil)
	for _, path := range laoRoutes {
		// No run is known to an executor that does not run, so none is asked for.
		status, body := s.answer(t, "POST", strings.NewReplacer(":id", "x", ":flow", "f", ":run", "r").Replace(path), "")
		require.NotEqual(t, 401, status, "%s: %s", path, body)
	}
	status, _ := s.answer(t, "GET", "/ws/workflows/x", "")
	require.Equal(t, 401, status)
}

// What the checks found is for those with a key.
func TestGuard_HealthIsBareWithoutAKey(t *testing.T) {
	s := guarded(t, nil)
	for _, path := range []string{"/health/ready", "/health/live"} {
		_, body := s.answer(t, "GET", path, "")
		require.Regexp(t, `^\{"status":"[a-z]+"\}$`, body)
		_, body = s.answer(t, "GET", path, testKey)
		require.Contains(t, body, `"checks":{`)
	}
}
