package guard_test

import (
	"crypto/sha256"
	"encoding/json"
	"io"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/gofiber/fiber/v2"
	"github.com/stretchr/testify/require"

	"quipu/commands"
	"quipu/infra/clock/clocktest"
	"quipu/infra/guard"
	"quipu/readapi"
)

const (
	keyCI  = "ci-key-0123456789"
	keyOps = "ops-key-0123456789"
)

// door is a guard before a route that says who came in.
func door(change func(*guard.Options)) *fiber.App {
	options := guard.Options{
		Keys:    []guard.Key{{Name: "ci", SHA256: sha256.Sum256([]byte(keyCI))}, {Name: "ops", SHA256: sha256.Sum256([]byte(keyOps))}},
		Origins: guard.NewOrigins([]string{"https://studio.example"}),
		Hosts:   guard.NewHosts(nil, []string{"https://studio.example"}, true),
	}
	if change != nil {
		change(&options)
	}
	g := guard.New(options)
	app := fiber.New(fiber.Config{ErrorHandler: readapi.ErrorHandler})
	app.Use(g.Handle)
	app.Use(func(c *fiber.Ctx) error {
		actor := commands.ActorOf(c.UserContext(), "test")
		return c.JSON(map[string]any{"actor": actor.Kind + ":" + actor.ID, "known": g.Known(c)})
	})
	return app
}

type answer struct {
	status   int
	body     string
	header   map[string][]string
	Actor    string
	Known    bool
	Error    struct{ Code string }
	protocol string
}

func ask(t *testing.T, app *fiber.App, method, path string, headers ...string) answer {
	t.Helper()
	request := httptest.NewRequest(method, path, nil)
	request.Host = "127.0.0.1:8080"
	for i := 0; i < len(headers); i += 2 {
		if headers[i] == "Host" {
			request.Host = headers[i+1]
		} else {
			request.Header.Set(headers[i], headers[i+1])
		}
	}
	response, err := app.Test(request, 10_000)
	require.NoError(t, err)
	b, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	require.NoError(t, response.Body.Close())
	a := answer{status: response.StatusCode, body: string(b), header: response.Header, protocol: response.Header.Get("Sec-WebSocket-Protocol")}
	require.NoError(t, json.Unmarshal(b, &a), a.body)
	return a
}

func TestGuard_Keys(t *testing.T) {
	app := door(nil)
	for _, good := range [][]string{
		{"x-api-key", keyCI},
		{"X-API-KEY", keyCI},
		{"Authorization", "Bearer " + keyCI},
		{"Authorization", "bearer  " + keyCI},
		{"x-api-key", keyCI, "Authorization", "Basic abc"},
		{"x-api-key", keyCI, "Authorization", "Bearer other"},
		{"Upgrade", "websocket", "Sec-WebSocket-Protocol", "x-api-key." + keyCI},
		{"Upgrade", "websocket", "Sec-WebSocket-Protocol", "json, x-api-key." + keyCI + ",x-api-key.other"},
	} {
		a := ask(t, app, "GET", "/api/executions", good...)
		require.Equal(t, 200, a.status, "%v: %s", good, a.body)
		require.Equal(t, "key:ci", a.Actor)
		require.True(t, a.Known)
		require.Equal(t, good[0] == "Upgrade", a.protocol == "x-api-key."+keyCI, "echoed as offered, and alone")
	}
	require.Equal(t, "key:ops", ask(t, app, "POST", "/api/workflows", "x-api-key", keyOps).Actor)
	for code, headers := range map[string][][]string{
		"KEY_MISSING": {nil, {"x-api-key", ""}, {"Authorization", "Basic " + keyCI}, {"Authorization", "Bearer"}, {"Sec-WebSocket-Protocol", "x-api-key." + keyCI}, {"Upgrade", "websocket", "Sec-WebSocket-Protocol", "json"}},
		"KEY_UNKNOWN": {
			{"x-api-key", keyCI + "x"},
			{"x-api-key", strings.ToUpper(keyCI)},
			{"x-api-key", "ci"},
			{"Authorization", "Bearer x"},
			{"x-api-key", "wrong", "Authorization", "Bearer " + keyCI},
			{"Upgrade", "websocket", "Sec-WebSocket-Protocol", "x-api-key.x"},
			{"Upgrade", "websocket", "Sec-WebSocket-Protocol", "x-api-key.x, x-api-key." + keyCI},
		},
	} {
		for _, h := range headers {
			a := ask(t, app, "GET", "/api/executions", h...)
			require.Equal(t, 401, a.status, "%v", h)
			require.Equal(t, code, a.Error.Code, "%v", h)
			require.Equal(t, []string{`Bearer realm="quipu"`}, a.header["Www-Authenticate"])
			require.NotContains(t, a.body, keyCI)
			require.Empty(t, a.protocol)
		}
	}
}

// What is open is a short list; whatever else there is or may come is closed.
func TestGuard_Areas(t *testing.T) {
	const wrong = "wrong-key-0123456789"
	for _, laoOpen := range []bool{true, false} {
		app := door(func(o *guard.Options) { o.LAOOpen = laoOpen })
		for _, path := range []string{"/", "/health/live", "/health/ready", "/health/ready/", "/docs", "/docs/", "/docs/sockets", "/openapi.json"} {
			a := ask(t, app, "GET", path)
			require.Equal(t, []any{200, "anonymous:", false}, []any{a.status, a.Actor, a.Known}, path)
			require.Equal(t, 200, ask(t, app, "GET", path, "x-api-key", wrong).status, "a key opens nothing that is open")
			require.True(t, ask(t, app, "GET", path, "x-api-key", keyCI).Known, path)
		}
		for _, path := range []string{
			"/api/executions", "/metrics", "/admin/views/verify", "/blobs/00", "/ws/workflows/x", "/ws/workflows/x/", "/ws/workflows//", "/ws/a", "/ws/a/b/c", "/ws/workflows",
			"/nowhere", "/health", "/health/live/x", "/docsx", "/openapi.json/x", "/run-dagx", "/task-status", "/api/events/ws/workflows/x", "/Health/live", "//health/live", "/%68ealth/live", "/wsx", "/run-dag/x",
		} {
			require.Equal(t, 401, ask(t, app, "GET", path).status, path)
			require.Equal(t, 401, ask(t, app, "POST", path).status, path)
			require.Equal(t, 401, ask(t, app, "OPTIONS", path).status, path)
			require.Equal(t, 200, ask(t, app, "POST", path, "x-api-key", keyCI).status, path)
		}
		for _, path := range []string{"/run-dag", "/run-dag/", "/task-status/x", "/ws/flow/run", "/ws/flow/run/", "/ws/Workflows/run"} {
			require.Equal(t, map[bool]int{true: 200, false: 401}[laoOpen], ask(t, app, "POST", path).status, path)
			require.Equal(t, "key:ci", ask(t, app, "POST", path, "x-api-key", keyCI).Actor, path)
			require.Equal(t, 401, ask(t, app, "POST", path, "x-api-key", wrong).status, "a wrong key is not taken for none: %s", path)
		}
		// The endpoint's key is looked at by the route; ours does not stand in its way.
		for _, path := range []string{"/ws", "/ws/"} {
			a := ask(t, app, "GET", path, "Upgrade", "websocket", "Sec-WebSocket-Protocol", "x-api-key.qk_x")
			require.Equal(t, []any{200, "anonymous:", ""}, []any{a.status, a.Actor, a.protocol})
		}
	}
}

func TestGuard_WithoutKeysAllIsOpen(t *testing.T) {
	app := door(func(o *guard.Options) { o.Keys = nil })
	for _, path := range []string{"/api/executions", "/metrics", "/run-dag", "/ws/workflows/x"} {
		a := ask(t, app, "POST", path, "x-api-key", "any")
		require.Equal(t, []any{200, "anonymous:", true}, []any{a.status, a.Actor, a.Known}, path)
		a = ask(t, app, "GET", path, "Upgrade", "websocket", "Sec-WebSocket-Protocol", "x-api-key.any")
		require.Equal(t, "x-api-key.any", a.protocol, "a page with a key works with a server without any")
	}
}

// Trap 9: pages of other origins may neither change anything nor open a socket; what they may read is the
// browser's business.
func TestGuard_Origins(t *testing.T) {
	app := door(func(o *guard.Options) { o.Keys, o.LAOOpen = nil, true })
	for _, origin := range []string{"https://evil.example", "null", "http://studio.example", "https://studio.example:444", "https://studio.example.evil.example", "http://127.0.0.1:8081"} {
		for _, path := range []string{"/run-dag", "/api/workflows", "/ws", "/docs"} {
			for _, method := range []string{"POST", "PUT", "DELETE", "PATCH"} {
				a := ask(t, app, method, path, "Origin", origin)
				require.Equal(t, []any{403, "FORBIDDEN"}, []any{a.status, a.Error.Code}, "%s %s %s", method, path, origin)
			}
			require.Equal(t, 403, ask(t, app, "GET", path, "Origin", origin, "Upgrade", "websocket").status)
			require.Equal(t, 200, ask(t, app, "GET", path, "Origin", origin).status)
		}
	}
	for _, headers := range [][]string{
		nil,
		{"Origin", "https://studio.example"},
		{"Origin", "HTTPS://STUDIO.example"},
		{"Origin", "http://127.0.0.1:8080"},
		{"Origin", "https://127.0.0.1:8080"},
		{"Origin", "http://localhost:8080", "Host", "LOCALHOST:8080"},
		{"Sec-Fetch-Site", "same-origin"},
		{"Sec-Fetch-Site", "cross-site", "Origin", "https://studio.example"},
	} {
		require.Equal(t, 200, ask(t, app, "POST", "/api/workflows", headers...).status, "%v", headers)
	}
	require.Equal(t, 403, ask(t, app, "POST", "/api/workflows", "Sec-Fetch-Site", "cross-site").status)
	everyPage := door(func(o *guard.Options) { o.Origins = guard.NewOrigins([]string{"*"}) })
	require.Equal(t, 200, ask(t, everyPage, "POST", "/api/workflows", "Origin", "https://any.example", "x-api-key", keyCI).status)
	require.Equal(t, 401, ask(t, everyPage, "POST", "/api/workflows", "Origin", "https://any.example").status)
}

// A name that its owner points at this machine is of the server's own origin, for a browser.
func TestGuard_Hosts(t *testing.T) {
	loopback := door(func(o *guard.Options) { o.Keys = nil })
	for _, host := range []string{"evil.example", "evil.example:8080", "127.0.0.1.evil.example", "localhost.evil.example", "xlocalhost", "1.2.3"} {
		a := ask(t, loopback, "POST", "/run-dag", "Host", host, "Origin", "http://"+host)
		require.Equal(t, []any{403, "HOST_NOT_ALLOWED"}, []any{a.status, a.Error.Code}, host)
		require.Equal(t, 403, ask(t, loopback, "GET", "/health/live", "Host", host).status, host)
	}
	for _, host := range []string{"localhost", "LocalHost:1", "a.localhost:8080", "localhost.:8080", "127.0.0.1", "127.1.2.3:9", "[::1]", "[::1]:8080", "192.0.2.1:8080", "studio.example", "Studio.Example:443"} {
		require.Equal(t, 200, ask(t, loopback, "GET", "/api/executions", "Host", host).status, host)
	}
	for _, c := range []struct {
		hosts guard.Hosts
		host  string
		want  int
	}{
		{guard.NewHosts(nil, nil, false), "any.example", 200}, // a proxy in front, or a name of one's own
		{guard.NewHosts([]string{"quipu.example"}, nil, false), "any.example", 403},
		{guard.NewHosts([]string{"Quipu.Example."}, nil, false), "quipu.example:443", 200},
		{guard.NewHosts([]string{"quipu.example"}, nil, true), "QUIPU.example", 200},
		{guard.NewHosts([]string{"*"}, nil, true), "any.example", 200},
		{guard.NewHosts(nil, []string{"*"}, true), "any.example", 403},
		{guard.Hosts{}, "any.example", 200},
	} {
		app := door(func(o *guard.Options) { o.Keys, o.Hosts = nil, c.hosts })
		require.Equal(t, c.want, ask(t, app, "GET", "/", "Host", c.host).status, "%+v", c)
	}
}

// Every refusal is counted; lines about them come slowly, and say what was left out.
func TestGuard_RefusalsAreToldSlowly(t *testing.T) {
	clock := clocktest.New(time.Time{}, 1)
	counts := map[string]int{}
	type line struct {
		reason string
		more   int
	}
	var lines []line
	app := door(func(o *guard.Options) {
		o.Now, o.Refused = clock.Now, func(reason string) { counts[reason]++ }
		o.Told = func(reason, from string, more int) {
			require.NotEmpty(t, from)
			lines = append(lines, line{reason, more})
		}
	})
	for range 5 {
		ask(t, app, "GET", "/api/executions")
	}
	ask(t, app, "GET", "/api/executions", "x-api-key", "wrong-key-0123456789")
	ask(t, app, "GET", "/", "Host", "evil.example")
	ask(t, app, "POST", "/", "Origin", "https://evil.example")
	clock.Advance(guard.TellEvery)
	ask(t, app, "GET", "/api/executions")
	ask(t, app, "GET", "/api/executions")
	require.Equal(t, map[string]int{guard.ReasonKeyMissing: 7, guard.ReasonKeyUnknown: 1, guard.ReasonHost: 1, guard.ReasonOrigin: 1}, counts)
	require.Equal(t, []line{{guard.ReasonKeyMissing, 0}, {guard.ReasonKeyUnknown, 0}, {guard.ReasonHost, 0}, {guard.ReasonOrigin, 0}, {guard.ReasonKeyMissing, 4}}, lines)
}
