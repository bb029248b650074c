package nodetypes

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"time"

	"quipu/commands/node"
	"quipu/domain"
	"quipu/domain/rawjson"
)

// How often an unfinished task of another agent is asked about.
const (
	a2aPollMin = time.Second
	a2aPollMax = 10 * time.Second
)

// a2a sends a message to another agent by the Agent2Agent protocol: JSON-RPC method message/send over
// HTTP at base_url (protocol versions 0.2 and 0.3; answers of 1.0 are understood), then, while the
// agent's task is at work, tasks/get. Output: the texts of the answer; where it has none, or with
// config.output "full", the result object as it came.
func a2a(d Deps) node.Type {
	return node.Type{
		Name:        "a2a",
		Title:       "Agent to agent",
		Category:    categoryAgents,
		Description: "Sends a message to another agent by the Agent2Agent protocol and waits for its answer.",
		Input:       json.RawMessage(withMessage),
		Output: json.RawMessage(`{
  "$schema": "https://json-schema.org/draft/2020-12/schema",
  "anyOf": [
    {"type": "string", "description": "The texts of the answer, a line each."},
    {"type": "object", "description": "The result as it came: with output full, or where it holds no text."}
  ]
}`),
		Examples: []node.Example{
			example("Ask another agent", `{"config":{"name":"Remote"},"base_url":"https://agent.example.com/a2a","message":"What is the weather?"}`, `"Sunny, 21 degrees"`),
		},
		Kind:    node.Effect,
		Calls:   node.CallsTool,
		Config:  json.RawMessage(a2aSchema),
		Timeout: agentTimeout,
		Check: func(params json.RawMessage) []node.Fault {
			_, faults := readA2A(params, false)
			return faults
		},
		Run: d.runA2A,
	}
}

type a2aRequest struct {
	apiRequest
	contextID string
}

func readA2A(params json.RawMessage, resolved bool) (a2aRequest, []node.Fault) {
	r := apiReader{reader: reader{params: params, resolved: resolved}}
	if r.has("/config") {
		r.members("/config")
	}
	at := r.either("base_url")
	r.out.url = r.url(at)
	if _, known := r.value(at); !r.has(at) || resolved && !known && len(r.faults) == 0 {
		r.fault(at, "is required: the URL at which the agent takes JSON-RPC")
	}
	r.readHeaders(r.either("headers"))
	at = r.either("api_key")
	if key, _ := r.text(at); key != "" {
		if problem := checkHeader("Authorization", key); problem != "" {
			r.fault(at, "%s", problem)
		}
		r.out.headers = append([]pair{{"Authorization", "Bearer " + key}}, r.out.headers...)
	}
	r.out.full = r.choice("/config/output", "text", "full") == "full"
	r.out.perAttempt = r.choice("/config/idempotency", "per_task", "per_attempt") == "per_attempt"
	r.out.timeout = r.timeout("/config/timeout")
	context, _ := r.text(r.either("context_id"))
	return a2aRequest{r.out, context}, r.faults
}

func (d Deps) runA2A(ctx context.Context, call node.Call) (node.Reply, error) {
	q, faults := readA2A(call.Params, true)
	if len(faults) > 0 {
		return node.Reply{}, configFailure(faults[0])
	}
	ctx, cancel := withTimeout(ctx, q.timeout, agentTimeout)
	defer cancel()
	r := reader{params: call.Params, resolved: true}
	started := d.Now()
	result, details, failure := d.rpc(ctx, call, &q, "message/send", q.message(call, topic(&r, call)))
	for wait := a2aPollMin; failure == nil; wait = min(wait*3/2, a2aPollMax) {
		task := a2aTask(result)
		state := a2aState(task)
		if task == nil || state != "submitted" && state != "working" {
			failure = a2aEnded(task, state, details)
			break
		}
		if failure = rest(ctx, wait, "POST "+shown(q.url)); failure == nil {
			result, details, failure = d.rpc(ctx, call, &q, "tasks/get", a2aGet(task))
		}
	}
	if details != nil {
		details["latency_ms"] = d.Now().Sub(started).Milliseconds()
	}
	if failure != nil {
		if failure.CallDetails == nil {
			failure.CallDetails = details
		}
		return node.Reply{}, failure
	}
	if words := a2aTexts(result); !q.full && words != "" {
		return node.Reply{Output: rawjson.Quote(words), Details: details}, nil
	}
	return node.Reply{Output: result, Details: details}, nil
}

// rest waits before the next question.
func rest(ctx context.Context, d time.Duration, what string) *node.Failure {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return sendFailure(ctx, what, ctx.Err())
	}
}

// message are the params of message/send. The message's id is the same in every attempt, so that an
// agent can tell a repetition.
func (q *a2aRequest) message(call node.Call, text string) domain.Value {
	var part, message, configuration, params domain.Object
	part.Add("kind", domain.Text("text"))
	part.Add("text", domain.Text(text))
	message.Add("kind", domain.Text("message"))
	message.Add("role", domain.Text("user"))
	message.Add("messageId", domain.Text(call.TaskID))
	if q.contextID != "" {
		message.Add("contextId", domain.Text(q.contextID))
	}
	message.Add("parts", domain.Raw(append(append([]byte{'['}, part.Value().JSON...), ']')))
	configuration.Add("acceptedOutputModes", domain.Raw([]byte(`["text/plain","application/json"]`)))
	configuration.Add("blocking", domain.Raw([]byte("true")))
	params.Add("message", message.Value())
	params.Add("configuration", configuration.Value())
	return params.Value()
}

func a2aGet(task json.RawMessage) domain.Value {
	var params domain.Object
	params.Add("id", domain.Text(field(task, "/id")))
	return params.Value()
}

// rpc makes one call and returns its result.
func (d Deps) rpc(ctx context.Context, call node.Call, q *a2aRequest, method string, params domain.Value) (json.RawMessage, map[string]any, *node.Failure) {
	var body domain.Object
	body.Add("jsonrpc", domain.Text("2.0"))
	body.Add("id", domain.Text(call.TaskID))
	body.Add("method", domain.Text(method))
	body.Add("params", params)
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, q.url.String(), bytes.NewReader(body.Value().JSON))
	if err != nil {
		return nil, nil, configFailure(node.Fault{Pointer: "/config/base_url", Message: "gives no valid request"})
	}
	for _, h := range q.headers {
		req.Header.Set(h.name, h.value)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Accept", "application/json")
	mark(req.Header, call, q.perAttempt)
	got, details, failure := d.exchange(req)
	details["rpc_method"] = method
	if failure != nil {
		return nil, details, failure
	}
	what := req.Method + " " + shown(req.URL)
	if rawjson.Check(got.body, domain.JSONDepthMax-1) != nil || rawjson.KindOf(got.body) != rawjson.Object {
		return nil, details, badReply(what, "the answer is no JSON-RPC response", got.body, details)
	}
	if e, failed := rawjson.Get(got.body, "/error"); failed && rawjson.KindOf(e) != rawjson.Null {
		return nil, details, rpcFailure(what, e, details)
	}
	result, ok := rawjson.Get(got.body, "/result")
	if !ok || rawjson.KindOf(result) != rawjson.Object {
		return nil, details, badReply(what, "the answer has no result", got.body, details)
	}
	return result, details, nil
}

// rpcFailure is the failure of a call that the far side refused. Internal errors, and they alone, may
// pass (JSON-RPC 2.0, section 5.1).
func rpcFailure(what string, e json.RawMessage, details map[string]any) *node.Failure {
	code, _ := rawjson.Get(e, "/code")
	f := node.Failf("A2AError", codeA2A, string(code) == "-32603", "%s: the agent answered with error %s", what, clip(plain(code), 20))
	f.Said = oneLine(field(e, "/message"))
	var o domain.Object
	o.Add("code", domain.Raw(orNull(code)))
	f.Details, f.CallDetails = o.Value().JSON, details
	return f
}

func orNull(raw json.RawMessage) json.RawMessage {
	if len(raw) == 0 {
		return json.RawMessage("null")
	}
	return raw
}

// a2aTask is the task in a result; nil if it is a message. Version 1.0 names the kind as a member.
func a2aTask(result json.RawMessage) json.RawMessage {
	if task, ok := rawjson.Get(result, "/task"); ok && rawjson.KindOf(task) == rawjson.Object {
		return task
	}
	if _, ok := rawjson.Get(result, "/status"); ok {
		return result
	}
	return nil
}

// a2aState is a task's state: "working", also where it is written TASK_STATE_WORKING.
func a2aState(task json.RawMessage) string {
	state := strings.TrimPrefix(strings.ToLower(field(task, "/status/state")), "task_state_")
	return strings.ReplaceAll(state, "_", "-")
}

// a2aEnded is the failure of a task that did not come to its end.
func a2aEnded(task json.RawMessage, state string, details map[string]any) *node.Failure {
	if task == nil || state == "completed" {
		return nil
	}
	what := errors.New("the agent's task is " + clip(oneLine(state), 40))
	if state == "" {
		what = errors.New("the agent's task has no state")
	}
	f := node.Failf("A2AError", codeA2A, false, "%s", what)
	f.Said = oneLine(strings.Join(partTexts(task, "/status/message/parts"), " "))
	f.Details = append(rawjson.AppendString([]byte(`{"state":`), clip(state, 40)), '}')
	f.CallDetails = details
	return f
}

// a2aTexts are the texts of an answer, a line each: of a message its parts, of a task its artifacts',
// else those of its status.
func a2aTexts(result json.RawMessage) string {
	task := a2aTask(result)
	if task == nil {
		if m, ok := rawjson.Get(result, "/message"); ok && rawjson.KindOf(m) == rawjson.Object {
			result = m
		}
		return strings.Join(partTexts(result, "/parts"), "\n")
	}
	var out []string
	artifacts, _ := rawjson.Get(task, "/artifacts")
	for _, a := range rawjson.Items(artifacts) {
		out = append(out, partTexts(a, "/parts")...)
	}
	if len(out) == 0 {
		out = partTexts(task, "/status/message/parts")
	}
	return strings.Join(out, "\n")
}

func partTexts(doc json.RawMessage, at string) []string {
	parts, ok := rawjson.Get(doc, at)
	if !ok || rawjson.KindOf(parts) != rawjson.Array {
		return nil
	}
	var out []string
	for _, p := range rawjson.Items(parts) {
		if s := field(p, "/text"); s != "" {
			out = append(out, s)
		}
	}
	return out
}

const a2aSchema = `{
  "$schema": "https://json-schema.org/draft/2020-12/schema",
  "type": "object",
  "properties": {
    "name": {"type": "string"},
    "base_url": {"type": "string", "description": "Where the agent takes JSON-RPC, an absolute http or https URL."},
    "message": {"description": "What the agent is told. Default: what the tasks before it gave."},
    "context_id": {"type": ["string", "null"], "description": "Goes on with a conversation of the agent."},
    "api_key": {"type": ["string", "null"], "description": "Sent as Authorization: Bearer."},
    "headers": {"type": "object", "additionalProperties": {"type": ["string", "number", "boolean", "null"]}},
    "output": {"enum": ["text", "full"], "default": "text", "description": "full: the result object."},
    "timeout": {"type": ["number", "string", "null"], "description": "Seconds or a duration for one attempt, default 10m."},
    "retry": {"type": ["object", "boolean", "null"]},
    "idempotency": {"enum": ["per_task", "per_attempt"], "default": "per_task"}
  }
}`
