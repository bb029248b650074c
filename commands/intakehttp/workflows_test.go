package intakehttp

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/gofiber/fiber/v2"
	"github.com/stretchr/testify/require"

	"quipu/commands"
	"quipu/domain"
	"quipu/domain/rawjson"
	"quipu/domain/run"
	"quipu/domain/wire"
	"quipu/eventbus"
	"quipu/infra/clock"
	"quipu/infra/memory"
	"quipu/readapi"
)

// site is the routes over the real service, executor and node types, with stores in memory.
type site struct {
	app      *fiber.App
	log      *memory.Log
	executor *commands.Executor
}

func newSite(t *testing.T) *site {
	t.Helper()
	log, blobs := memory.NewLog(), memory.NewBlobs()
	secrets := commands.Secrets{Vault: memory.NewVault(), Blobs: blobs}
	r, effects := registry(t), eventbus.NewEffects(8, nil)
	e := commands.NewExecutor(commands.Deps{
		Log: log, Blobs: blobs, Secrets: secrets, Effects: effects, Registry: r,
		Compute: commands.Compute{Registry: r, Blobs: blobs}, Clock: clock.System{}, IDs: clock.System{},
	}, commands.Limits{})
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- e.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		require.NoError(t, <-ended)
		effects.Wait()
	})
	<-e.Ready()
	s := &site{app: fiber.New(fiber.Config{CaseSensitive: true, ErrorHandler: readapi.ErrorHandler, BodyLimit: 8 << 20}), log: log, executor: e}
	routes := &Workflows{Registry: r, LogID: log.ID(), Timeout: 10 * time.Second, Definitions: commands.NewDefinitions(commands.DefinitionDeps{
		Log: log, Blobs: blobs, Secrets: secrets, Clock: clock.System{}, IDs: clock.System{}, Registry: r, Starter: e,
	})}
	routes.Register(s.app)
	(&NodeTypes{Registry: r}).Register(s.app)
	return s
}

// reply is what a client sees.
type reply struct {
	answer
	location string
	data     map[string]json.RawMessage
}

func (s *site) do(t *testing.T, method, path, body string) reply {
	t.Helper()
	request := httptest.NewRequest(method, "/", strings.NewReader(body))
	request.URL.Path, request.RequestURI = path, path
	request.Header.Set("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")
	_, out := s.send(t, request)
	return out
}

func (s *site) send(t *testing.T, request *http.Request) (*http.Response, reply) {
	t.Helper()
	response, err := s.app.Test(request, 15_000)
	require.NoError(t, err)
	defer func() { require.NoError(t, response.Body.Close()) }()
	b, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	require.Equal(t, fiber.MIMEApplicationJSON, response.Header.Get(fiber.HeaderContentType))
	out := reply{answer: answer{status: response.StatusCode, body: string(b), position: response.Header.Get(HeaderPosition)}, location: response.Header.Get(fiber.HeaderLocation)}
	if out.status < 300 {
		var envelope struct {
			Data   map[string]json.RawMessage
			Status string
		}
		require.NoError(t, json.Unmarshal(b, &envelope), out.body)
		require.Equal(t, "success", envelope.Status)
		out.data = envelope.Data
	}
	return response, out
}

func (r reply) text(t *testing.T, key string) string {
	t.Helper()
	var s string
	require.NoError(t, json.Unmarshal(r.data[key], &s), r.body)
	return s
}

const smallGraph = `{"nodes": [{"id":"in","type":"trigger","position":{"x":1.0}},{"id":"out","type":"end"}],"edges":[{"id":"e","source":"in","target":"out"}],"zoom":1e400}`

// S2-7, S2-9 to S2-11, D16, D17, D22, D23: a workflow's life as a client drives it.
func TestWorkflows_LifeOverHTTP(t *testing.T) {
	s := newSite(t)
	made := s.do(t, "POST", "/api/workflows", `{"name":"Support","description":"sorts","definition":`+smallGraph+`,"session_id":"ignored"}`)
	require.Equal(t, 201, made.status, made.body)
	id := made.text(t, "id")
	require.Equal(t, "/api/workflows/"+id, made.location)
	require.Equal(t, made.position, made.text(t, "position"))
	_, _, err := domain.ParseCursor(made.position)
	require.NoError(t, err)
	require.Equal(t, smallGraph, string(made.data["definition"]), "byte for byte")
	require.Equal(t, "1", string(made.data["version"]))
	require.Equal(t, []string{"Support", "sorts", "default"}, []string{made.text(t, "name"), made.text(t, "description"), made.text(t, "endpoint")})
	require.Equal(t, made.data["created_at"], made.data["updated_at"])
	_, err = time.Parse(domain.TimeLayout, made.text(t, "created_at"))
	require.NoError(t, err)

	ran := s.do(t, "POST", "/api/workflows/"+id+"/execute", `{"input_data":{"q":1e2},"other":1}`)
	require.Equal(t, 202, ran.status, ran.body)
	runID := ran.text(t, "execution_id")
	require.Equal(t, "/api/executions/"+runID, ran.location)
	require.Equal(t, []string{id, "running", ran.position}, []string{ran.text(t, "workflow_id"), ran.text(t, "status"), ran.text(t, "position")})
	require.Equal(t, "1", string(ran.data["workflow_version"]))
	state, err := s.executor.Await(t.Context(), runID, 10*time.Second)
	require.NoError(t, err)
	require.Equal(t, run.PhaseCompleted, state.Phase)
	require.Equal(t, `{"q":1e2}`, string(state.Task(1).Output.JSON), "the end answers what the trigger was given")

	renamed := s.do(t, "PUT", "/api/workflows/"+id, `{"name":"Renamed","endpoint":"shop-00112233"}`)
	require.Equal(t, 200, renamed.status, renamed.body)
	require.Equal(t, "2", string(renamed.data["version"]))
	require.Equal(t, []string{"Renamed", "sorts", "shop-00112233"}, []string{renamed.text(t, "name"), renamed.text(t, "description"), renamed.text(t, "endpoint")})
	require.Equal(t, smallGraph, string(renamed.data["definition"]), "what is not sent stays")
	require.Equal(t, made.data["created_at"], renamed.data["created_at"])
	same := s.do(t, "PUT", "/api/workflows/"+id, `{}`)
	require.Equal(t, renamed.body, same.body, "nothing changed, nothing written")
	flat := s.do(t, "PUT", "/api/workflows/"+id, `{"nodes":[ ],"edges":[]}`)
	require.Equal(t, `{"nodes":[ ],"edges":[]}`, string(flat.data["definition"]), "nodes and edges replace together")
	require.Equal(t, "3", string(flat.data["version"]))

	refused := s.do(t, "POST", "/api/workflows/"+id+"/execute", "")
	require.Equal(t, 400, refused.status)
	code, _, fields := refused.problem(t)
	require.Equal(t, "INVALID_WORKFLOW", code)
	require.Equal(t, []string{"/nodes"}, fields)
	var problem struct {
		Error struct{ Details struct{ Errors []string } }
	}
	require.NoError(t, json.Unmarshal([]byte(refused.body), &problem))
	require.Equal(t, []string{"nodes: has no trigger and no end node; add one of each"}, problem.Error.Details.Errors)

	gone := s.do(t, "DELETE", "/api/workflows/"+id, "")
	require.Equal(t, 200, gone.status)
	require.Equal(t, []string{"deleted", id, gone.position}, []string{gone.text(t, "status"), gone.text(t, "workflow_id"), gone.text(t, "position")})
	for _, again := range []reply{
		s.do(t, "DELETE", "/api/workflows/"+id, ""), s.do(t, "PUT", "/api/workflows/"+id, `{}`), s.do(t, "POST", "/api/workflows/"+id+"/execute", ""),
	} {
		require.Equal(t, 404, again.status, again.body)
		code, _, _ := again.problem(t)
		require.Equal(t, "WORKFLOW_UNKNOWN", code)
	}
	events, err := s.log.ReadStream(t.Context(), commands.RunStream(runID), 0, 1)
	require.NoError(t, err)
	m, err := wire.DecodeMetadata(events[0].Metadata)
	require.NoError(t, err)
	require.Equal(t, wire.Actor{Kind: wire.ActorAnonymous, Via: "api"}, m.Actor)
	require.Equal(t, "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", m.Traceparent)
}

func TestWorkflows_ExecuteBodies(t *testing.T) {
	s := newSite(t)
	id := s.do(t, "POST", "/api/workflows", `{"name":"n","nodes":[{"id":"in","type":"trigger"},{"id":"out","type":"end"}],"edges":[{"source":"in","target":"out"}]}`).text(t, "id")
	for body, want := range map[string]int{
		"": 202, " \n": 202, "{}": 202, `{"input_data":null}`: 202, `{"input_data":{}}`: 202, `{"input":{},"input_data":null}`: 202,
		`{"input":{}}`: 422, `{"":{}}`: 422, "[]": 422, `"x"`: 422, `{"input_data":[]}`: 422, `{"input_data":"x"}`: 422,
		"{": 400, "\xef\xbb\xbf{}": 400, `{"a":1,"a":2}`: 400, "null": 202, strings.Repeat(`{"input_data":`, 200) + "1" + strings.Repeat("}", 200): 400, "\xff": 400,
	} {
		got := s.do(t, "POST", "/api/workflows/"+id+"/execute", body)
		require.Equal(t, want, got.status, "%q: %s", body, got.body)
	}
	for _, path := range []string{"/api/workflows/none/execute", "/api/workflows/%00/execute", "/api/workflows/" + strings.Repeat("x", 600) + "/execute"} {
		require.Equal(t, 404, s.do(t, "POST", path, "").status, path)
	}
	require.Equal(t, 400, s.do(t, "POST", "/api/workflows/%zz/execute", "").status)
	_, message, fields := s.do(t, "POST", "/api/workflows/"+id+"/execute", `{"input":{"q":1},"b":2}`).problem(t)
	require.Equal(t, []string{"/input_data"}, fields)
	require.Contains(t, message, `"input" is not read`, "what a client had in its place is named")
}

// An id is at fault in one form, whoever finds it out.
func TestWorkflows_UnknownIDs(t *testing.T) {
	s := newSite(t)
	for method, path := range map[string]string{"PUT": "", "DELETE": "", "POST": "/execute"} {
		for _, id := range []string{"none", "%00"} {
			got := s.do(t, method, "/api/workflows/"+id+path, `{}`)
			require.Equal(t, 404, got.status, got.body)
			code, message, fields := got.problem(t)
			require.Equal(t, []any{"WORKFLOW_UNKNOWN", "path/id: names no workflow", []string{"path/id"}}, []any{code, message, fields})
		}
	}
}

// D25: a graph at top level keeps what else is in it, as one under definition does.
func TestWorkflows_FlatGraphKeepsItsMembers(t *testing.T) {
	s := newSite(t)
	made := s.do(t, "POST", "/api/workflows", `{"viewport":{"x":1.0, "zoom":1e400},"name":"n","nodes":[ ],"description":"d","a\"b":[null],"edges":[],"endpoint":"e","meta":null}`)
	require.Equal(t, 201, made.status, made.body)
	require.Equal(t, `{"viewport":{"x":1.0, "zoom":1e400},"nodes":[ ],"a\"b":[null],"edges":[],"meta":null}`, string(made.data["definition"]))
	path := "/api/workflows/" + made.text(t, "id")
	for body, want := range map[string]string{
		`{"nodes":[],"edges":[],"viewport":5,"id":"x","version":9,"created_at":"t","updated_at":"t","position":"p"}`: `{"nodes":[],"edges":[],"viewport":5}`,
		`{"viewport":1,"definition":{"nodes":[],"edges":[],"zoom":2},"nodes":[5]}`:                                   `{"nodes":[],"edges":[],"zoom":2}`,
	} {
		got := s.do(t, "PUT", path, body)
		require.Equal(t, 200, got.status, got.body)
		require.Equal(t, want, string(got.data["definition"]))
		again := s.do(t, "PUT", path, `{"viewport":7}`)
		require.Equal(t, got.body, again.body, "without nodes and edges there is no graph")
	}
}

// Texts that no database could keep, or nobody could tell apart, are refused.
func TestWorkflows_ControlCharacters(t *testing.T) {
	s := newSite(t)
	id := s.do(t, "POST", "/api/workflows", `{"name":"n","description":"two\n\tlines\r\n","nodes":[]}`).text(t, "id")
	for _, c := range []string{`\u0000`, `\u001b`, `\u0085`} {
		body := `{"name":"a` + c + `b","endpoint":"a` + c + `b","nodes":[],"edges":[]}`
		for method, path := range map[string]string{"POST": "/api/workflows", "PUT": "/api/workflows/" + id} {
			got := s.do(t, method, path, body)
			require.Equal(t, 422, got.status, got.body)
			_, message, fields := got.problem(t)
			require.ElementsMatch(t, []string{"/name", "/endpoint"}, fields)
			require.Contains(t, message, "contains a control character; remove it")
		}
	}
	_, message, fields := s.do(t, "PUT", "/api/workflows/"+id, `{"description":"a\u0000b"}`).problem(t)
	require.Equal(t, []string{"/description"}, fields)
	require.Contains(t, message, "contains a NUL character; remove it")
}

// One thing wrong with a timer is one fault, in plain numbers.
func TestWorkflows_TimerFaults(t *testing.T) {
	s := newSite(t)
	for config, want := range map[string]string{
		`{}`:                                     "/nodes/0/data/config/duration_seconds: is required, or one of duration and until",
		`{"duration_seconds":315360001}`:         "/nodes/0/data/config/duration_seconds: must be a number of seconds from 0 to 315360000 (10 years)",
		`{"duration_seconds":-1}`:                "/nodes/0/data/config/duration_seconds: must be at least 0",
		`{"duration":"99999h"}`:                  `/nodes/0/data/config/duration: must be a duration such as "1h30m", from 0 to 87600h (10 years)`,
		`{"duration_seconds":1,"duration":"1s"}`: "/nodes/0/data/config/duration: stands beside another; give one of duration_seconds, duration or until",
	} {
		got := s.do(t, "POST", "/api/workflows", `{"name":"n","nodes":[{"id":"t","type":"timer","data":{"config":`+config+`}}],"edges":[]}`)
		require.Equal(t, 422, got.status, got.body)
		_, message, fields := got.problem(t)
		require.Len(t, fields, 1, config)
		require.Equal(t, want, message)
	}
}

// A graph that comes in half would lose the other half.
func TestWorkflows_UpdateOfHalfAGraph(t *testing.T) {
	s := newSite(t)
	id := s.do(t, "POST", "/api/workflows", `{"name":"n","nodes":[{"id":"in","type":"trigger"},{"id":"out","type":"end"}],"edges":[{"source":"in","target":"out"}]}`).text(t, "id")
	for body, want := range map[string]string{
		`{"nodes":[{"id":"in","type":"trigger"}]}`:                "/edges",
		`{"definition":{"nodes":[{"id":"in","type":"trigger"}]}}`: "/definition/edges",
		`{"edges":[]}`:                "/nodes",
		`{"definition":{"edges":[]}}`: "/definition/nodes",
	} {
		got := s.do(t, "PUT", "/api/workflows/"+id, body)
		require.Equal(t, 422, got.status, got.body)
		_, message, fields := got.problem(t)
		require.Equal(t, []string{want}, fields)
		require.Contains(t, message, "is missing; nodes and edges replace the graph together")
	}
	kept := s.do(t, "PUT", "/api/workflows/"+id, `{"description":"d"}`)
	require.Equal(t, 200, kept.status, kept.body)
	require.Contains(t, string(kept.data["definition"]), `"target":"out"`, "a PUT that names neither keeps the graph")
	require.Equal(t, "2", string(kept.data["version"]), "nothing of the refused ones was stored")
}

// Every field at fault is named at once, by its pointer into what was sent; nothing is stored and no
// value of a secret comes back.
func TestWorkflows_NamesEachFault(t *testing.T) {
	s := newSite(t)
	const bad = `"nodes":[{"id":"a","type":"nothing"},{"id":"b","type":"api_call","data":{"config":{"url":"https://example.org","method":5,"headers":{"Authorization":"sk-live-secret {{"}}}}],"edges":[{"source":1,"target":"b"}]`
	for body, want := range map[string][]string{
		`{}`:                              {"/name", "/nodes"},
		`{"name":null,"definition":null}`: {"/name", "/nodes"},
		`{"name":5,"description":[],"endpoint":{},` + bad + `}`:                                                        {"/name", "/description", "/endpoint", "/nodes/0/type", "/nodes/1/data/config/method", "/nodes/1/data/config/headers/Authorization", "/edges/0/source"},
		`{"name":"","endpoint":"","definition":{` + bad + `}}`:                                                         {"/name", "/endpoint", "/definition/nodes/0/type", "/definition/nodes/1/data/config/method", "/definition/nodes/1/data/config/headers/Authorization", "/definition/edges/0/source"},
		`{"name":"` + strings.Repeat("n", 513) + `","description":"` + strings.Repeat("d", 16<<10+1) + `","nodes":[]}`: {"/name", "/description"},
		`{"name":"\ud800","nodes":[]}`:                                                                                 {"/name"},
		`{"name":"n","definition":[]}`:                                                                                 {"/definition"},
		`{"name":"n","definition":"x"}`:                                                                                {"/definition"},
		`{"name":"n","edges":[]}`:                                                                                      {"/nodes"},
		`{"name":"n","nodes":1e400,"edges":""}`:                                                                        {"/nodes", "/edges"},
		`[]`:                                                                                                           {"body"},
		`"x"`:                                                                                                          {"body"},
	} {
		got := s.do(t, "POST", "/api/workflows", body)
		require.Equal(t, 422, got.status, "%s\n%s", body, got.body)
		code, _, fields := got.problem(t)
		require.Equal(t, "INVALID_WORKFLOW", code)
		require.ElementsMatch(t, want, fields, body)
		require.NotContains(t, got.body, "sk-live")
	}
	for _, body := range []string{"", " ", "{", "{]", `{"a":1,"a":1}`, `{"name":"\x"}`, "\xef\xbb\xbf{}", `{"name":NaN}`, strings.Repeat("[", 5000), `{"n":01}`} {
		got := s.do(t, "POST", "/api/workflows", body)
		require.Equal(t, 400, got.status, "%s\n%s", body, got.body)
		code, _, fields := got.problem(t)
		require.Equal(t, "INVALID_JSON", code)
		require.Len(t, fields, 1)
	}
	head, err := s.log.Head(t.Context())
	require.NoError(t, err)
	require.Zero(t, head)
	id := s.do(t, "POST", "/api/workflows", `{"name":"n","nodes":[]}`).text(t, "id")
	for body, want := range map[string]int{`{"name":5}`: 422, `{"name":""}`: 422, `{"edges":[]}`: 422, `{"definition":{}}`: 422, ``: 400, `[]`: 422, `{"name":null}`: 200} {
		require.Equal(t, want, s.do(t, "PUT", "/api/workflows/"+id, body).status, body)
	}
}

// D10: what is a secret is shown as a mask, and a mask sent back keeps it.
func TestWorkflows_SecretsAreMasked(t *testing.T) {
	s := newSite(t)
	body := func(key string) string {
		return `{"name":"n","nodes":[{"id":"a","type":"agent","data":{"config":{"api_key":"` + key + `"}}}],"edges":[]}`
	}
	made := s.do(t, "POST", "/api/workflows", body("sk-live-0123456789"))
	require.Equal(t, 201, made.status, made.body)
	require.NotContains(t, made.body, "sk-live")
	mask, ok := rawjson.Get(made.data["definition"], "/nodes/0/data/config/api_key")
	require.True(t, ok)
	kept := s.do(t, "PUT", "/api/workflows/"+made.text(t, "id"), body(rawjson.Unquote(mask)))
	require.Equal(t, 200, kept.status, kept.body)
	require.Equal(t, "1", string(kept.data["version"]), "the same content makes no version")
	unknown := s.do(t, "PUT", "/api/workflows/"+made.text(t, "id"), body("***00000000"))
	require.Equal(t, 422, unknown.status)
	code, _, fields := unknown.problem(t)
	require.Equal(t, "UNKNOWN_MASK", code)
	require.Equal(t, []string{"/nodes/0/data/config/api_key"}, fields)
}

// Errors of the service reach the client as they are.
type failing struct{ Definitions }

func (failing) Create(context.Context, commands.Change, commands.By) (commands.Workflow, error) {
	return commands.Workflow{}, domain.E(domain.KindUnavailable, "append", "", "the disk is full")
}

func (failing) Show(context.Context, commands.Workflow) ([]byte, error) {
	return nil, errors.New("not reached")
}

func TestWorkflows_PassOnErrors(t *testing.T) {
	s := &site{app: fiber.New(fiber.Config{ErrorHandler: readapi.ErrorHandler})}
	(&Workflows{Registry: registry(t), Definitions: failing{}, Timeout: time.Second}).Register(s.app)
	got := s.do(t, "POST", "/api/workflows", `{"name":"n","nodes":[]}`)
	require.Equal(t, http.StatusServiceUnavailable, got.status)
	require.Contains(t, got.body, "the disk is full")
}

// Whatever comes in: an answer, never a panic, and no fault without its place.
func FuzzParseWorkflow(f *testing.F) {
	r := registry(f)
	for _, seed := range []string{
		"", "{}", "[]", `{"name":"n","definition":` + smallGraph + `}`, `{"name":"n","nodes":[],"edges":[]}`, `{"name":"\ud800\udc00","nodes":{}}`,
		`{"name":"n","definition":{"nodes":[{"id":"a","type":"agent","data":{"config":{"api_key":"***00000000"}}}]},"nodes":5}`, `{"input_data":{"a":1e400}}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		for _, create := range []bool{true, false} {
			c, err := parseWorkflow(body, create, r)
			if err != nil {
				var e *domain.Error
				if !errors.As(err, &e) || e.Kind != domain.KindInvalid && e.Kind != domain.KindUnprocessable || e.Field == "" || e.Message == "" {
					t.Fatalf("%v", err)
				}
				continue
			}
			if create && (c.Name == nil || c.Graph == nil) {
				t.Fatalf("accepted without name or graph: %q", body)
			}
		}
		if input, err := parseExecute(body); err == nil && rawjson.KindOf(input) != rawjson.Object {
			t.Fatalf("input %q", input)
		}
	})
}
