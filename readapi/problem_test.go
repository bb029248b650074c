package readapi_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/gofiber/fiber/v2"
	"github.com/stretchr/testify/require"

	"quipu/domain"
	"quipu/readapi"
)

// The one table from Kind to status; a kind that is missing here would answer 500.
func TestProblem_StatusPerKind(t *testing.T) {
	for kind, want := range map[domain.Kind]int{
		domain.KindInternal: 500, domain.KindInvalid: 400, domain.KindUnprocessable: 422, domain.KindNotFound: 404,
		domain.KindRefused: 409, domain.KindConflict: 409, domain.KindExhausted: 429, domain.KindUnavailable: 503,
		domain.KindIndeterminate: 503, domain.KindCanceled: 499, domain.KindDeadline: 504, domain.KindCorrupt: 500, 200: 500,
		domain.KindUnauthenticated: 401, domain.KindForbidden: 403, domain.KindPrecondition: 412,
	} {
		require.Equal(t, want, readapi.Status(kind), kind.String())
	}
}

func TestProblem_Shape(t *testing.T) {
	field := func(f, m string) error {
		return domain.E(domain.KindUnprocessable, "op", "subject", m).WithField(f).WithCode("BAD")
	}
	status, p := readapi.NewProblem(fmt.Errorf("start: %w", errors.Join(field("/tasks/0/a~1b", "is bad"), field("run_name", "is long"))))
	require.Equal(t, 422, status)
	b, err := json.Marshal(p)
	require.NoError(t, err)
	require.JSONEq(t, `{"status":"error","message":"/tasks/0/a~1b: is bad (and 1 more, see detail)",
		"error":{"code":"BAD","message":"/tasks/0/a~1b: is bad (and 1 more, see detail)","details":{}},"detail":[
		{"loc":["body","tasks",0,"a/b"],"field":"/tasks/0/a~1b","msg":"is bad","type":"value_error"},
		{"loc":["run_name"],"field":"run_name","msg":"is long","type":"value_error"}]}`, string(b))

	status, p = readapi.NewProblem(domain.E(domain.KindRefused, "cancel", "r1", "the run has ended").WithDetails(map[string]any{"status": "completed"}))
	require.Equal(t, 409, status)
	require.Equal(t, "the run has ended", p.Detail)
	require.Equal(t, "REFUSED", p.Error.Code)
	require.Equal(t, map[string]any{"status": "completed"}, p.Error.Details)
}

// What went wrong inside is for the log, not for clients.
func TestProblem_InternalErrorsSayNothing(t *testing.T) {
	for _, err := range []error{
		errors.New("password=hunter2"), domain.E(domain.KindInternal, "x", "y", "hunter2"), domain.E(domain.KindCorrupt, "x", "y", "hunter2"),
		domain.Wrap(domain.KindUnavailable, "connect", "postgres://u:hunter2@h", errors.New("hunter2")),
	} {
		_, p := readapi.NewProblem(err)
		b, jsonErr := json.Marshal(p)
		require.NoError(t, jsonErr)
		require.NotContains(t, string(b), "hunter2")
	}
}

// Whoever is answered that a part is away is told what became of the request and what to do.
func TestProblem_PartsThatAreAway(t *testing.T) {
	for kind, want := range map[domain.Kind]string{
		domain.KindUnavailable: "nothing was done; send it again", domain.KindIndeterminate: "send it again with the same Idempotency-Key",
	} {
		_, p := readapi.NewProblem(domain.Wrap(kind, "append to", "run-1", errors.New("hunter2")))
		require.Contains(t, p.Message, want)
		require.Contains(t, p.Message, "/health/ready")
		require.NotContains(t, p.Message, "hunter2")
	}
}

func TestErrorHandler_FiberErrors(t *testing.T) {
	app := fiber.New(fiber.Config{ErrorHandler: readapi.ErrorHandler, BodyLimit: 10})
	app.Post("/post", func(c *fiber.Ctx) error { return c.SendStatus(200) })
	app.Get("/boom", func(*fiber.Ctx) error { return errors.New("hunter2") })
	app.Get("/busy", func(*fiber.Ctx) error { return domain.E(domain.KindExhausted, "", "", "later") })
	for _, c := range []struct {
		method, path, body string
		status             int
		code               string
	}{
		{"GET", "/nowhere", "", 404, "NOT_FOUND"},
		{"GET", "/post", "", 405, "METHOD_NOT_ALLOWED"},
		{"PATCH", "/post", "", 405, "METHOD_NOT_ALLOWED"},
		{"GET", "/boom", "", 500, "INTERNAL"},
		{"GET", "/busy", "", 429, "EXHAUSTED"},
	} {
		resp, err := app.Test(httptest.NewRequest(c.method, c.path, strings.NewReader(c.body)))
		require.NoError(t, err)
		b, err := io.ReadAll(resp.Body)
		require.NoError(t, err)
		require.Equal(t, c.status, resp.StatusCode, c.path)
		var p readapi.Problem
		require.NoError(t, json.Unmarshal(b, &p), string(b))
		require.Equal(t, c.code, p.Error.Code)
		require.Equal(t, "error", p.Status)
		require.NotContains(t, string(b), "hunter2")
		require.Equal(t, c.status == http.StatusTooManyRequests, resp.Header.Get("Retry-After") != "")
	}
}

// Who asks for what does not exist is told what does.
func TestErrorHandler_NamesWhatThereIs(t *testing.T) {
	app := fiber.New(fiber.Config{ErrorHandler: readapi.ErrorHandler})
	app.Use(func(c *fiber.Ctx) error { return c.Next() })
	done := func(c *fiber.Ctx) error { return c.SendStatus(200) }
	app.Get("/", done)
	app.Post("/run", done)
	app.Get("/things", done)
	app.Get("/things/:id", done)
	app.Delete("/things/:id", done)
	for _, c := range []struct{ method, path, message, allow string }{
		{"GET", "/nowhere", "no such route; there are /things, /things/:id, /run, and GET / says more", ""},
		{"POST", "/things/a/b", "no such route; there are /things, /things/:id, /run, and GET / says more", ""},
		{"GET", "/run", "method not allowed; this route takes POST", "POST"},
		{"PUT", "/things/x", "method not allowed; this route takes GET, HEAD, DELETE", "GET, HEAD, DELETE"},
	} {
		resp, err := app.Test(httptest.NewRequest(c.method, c.path, nil))
		require.NoError(t, err)
		b, err := io.ReadAll(resp.Body)
		require.NoError(t, err)
		var p readapi.Problem
		require.NoError(t, json.Unmarshal(b, &p), string(b))
		require.Equal(t, []string{c.message, c.message}, []string{p.Message, p.Error.Message})
		require.Equal(t, c.allow, resp.Header.Get("Allow"))
	}
}
