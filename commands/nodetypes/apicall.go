package nodetypes

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"time"

	"quipu/commands/node"
)

// apiTimeout is O1's limit for calls (contract C.2).
const apiTimeout = 2 * time.Minute

// apiCall sends one HTTP request.
//
// The request is what config says, or config.default where config has a mapping (see
// apirequest.go). Output: the reply's body (see replyValue), or with config.output "full"
// {status_code, headers, body}. Every status outside 2xx fails the attempt.
func apiCall(d Deps) node.Type {
	return node.Type{
		Name:        "api_call",
		Title:       "API call",
		Category:    categoryIntegration,
		Description: "Sends an HTTP request. Output: the body of the answer.",
		Input: json.RawMessage(`{
  "$schema": "https://json-schema.org/draft/2020-12/schema",
  "type": "object",
  "description": "Without config.body, and unless the method is GET or HEAD, these are the members of the request's body.",
  "additionalProperties": true
}`),
		Output: json.RawMessage(`{
  "$schema": "https://json-schema.org/draft/2020-12/schema",
  "anyOf": [
    {"description": "The answer's body: JSON as it came, another text as a string, null for none, {content_type, base64} for bytes."},
    {"type": "object", "description": "With output full, which stored workflows have by default.", "required": ["status_code", "headers", "body"], "properties": {
      "status_code": {"type": "integer"}, "headers": {"type": "object", "additionalProperties": {"type": "string"}}, "body": {}
    }}
  ]
}`),
		Examples: []node.Example{
			example("Send an object", `{"config":{"name":"Notify","url":"https://api.example.com/notes","method":"POST","headers":{"X-Team":"a"},"body":{"text":"done"}}}`, `{"id":7}`),
			example("Fields out of the answer of a task before", `{"config":{"depends":"classify","default":{"url":"https://api.example.com/tickets","BODY_source":"quipu"},"mapping":{"BODY_topic":"response"}}}`, `{"id":8}`),
		},
		Kind:    node.Effect,
		Calls:   node.CallsTool,
		Config:  json.RawMessage(apiCallSchema),
		Timeout: apiTimeout,
		Check: func(params json.RawMessage) []node.Fault {
			_, faults := readAPIRequest(params, nil, false)
			return faults
		},
		Run: func(ctx context.Context, call node.Call) (node.Reply, error) {
			r, faults := readAPIRequest(call.Params, call.Upstream, true)
			if len(faults) > 0 {
				return node.Reply{}, configFailure(faults[0])
			}
			if r.unmapped != nil {
				return node.Reply{}, r.unmapped
			}
			ctx, cancel := withTimeout(ctx, r.timeout, apiTimeout)
			defer cancel()
			req, err := r.request(ctx)
			if err != nil { // the parts were checked, so this cannot be; the error may quote the URL
				return node.Reply{}, configFailure(node.Fault{Pointer: "/config", Message: "gives no valid request"})
			}
			mark(req.Header, call, r.perAttempt)
			got, details, failure := d.exchange(req)
			if failure != nil {
				return node.Reply{}, failure
			}
			return node.Reply{Output: r.output(got, details), Details: details}, nil
		},
	}
}

func (r *apiRequest) request(ctx context.Context) (*http.Request, error) {
	u := *r.url
	for _, q := range r.query {
		if u.RawQuery != "" {
			u.RawQuery += "&"
		}
		u.RawQuery += q.encode()
	}
	req, err := http.NewRequestWithContext(ctx, r.method, u.String(), bytes.NewReader(r.body))
	if err != nil {
		return nil, err
	}
	if !r.hasBody {
		req.Body, req.GetBody, req.ContentLength = nil, nil, 0
	}
	for _, h := range r.headers {
		req.Header.Set(h.name, h.value)
	}
	if r.hasBody && req.Header.Get("Content-Type") == "" {
		req.Header.Set("Content-Type", r.contentType)
	}
	if req.Header.Get("Accept") == "" {
		req.Header.Set("Accept", "application/json, text/plain;q=0.9, */*;q=0.8")
	}
	// The transport asks for gzip and undoes it only where nobody else asked for an encoding.
	req.Header.Del("Accept-Encoding")
	return req, nil
}

const apiCallSchema = `{
  "$schema": "https://json-schema.org/draft/2020-12/schema",
  "type": "object",
  "properties": {
    "name": {"type": "string"},
    "url": {"type": "string", "description": "Absolute http or https URL."},
    "method": {"type": "string", "description": "Without one: POST if there is a body, else GET."},
    "headers": {"type": "object", "additionalProperties": {"type": ["string", "number", "boolean", "null"]}},
    "query": {"type": "object", "description": "Added to the URL's query; arrays repeat their name."},
    "body": {"description": "A string is sent as it is, other values as JSON. Without it, the other parameters are the body, unless the method is GET or HEAD."},
    "output": {"enum": ["body", "full"], "default": "body"},
    "timeout": {"type": ["number", "string", "null"], "description": "Seconds or a duration for one attempt, default 2m."},
    "retry": {"type": ["object", "boolean", "null"]},
    "idempotency": {"enum": ["per_task", "per_attempt"], "default": "per_task"},
    "depends": {"type": "string"},
    "default": {"type": "object", "description": "url, method, headers and fixed BODY_, QUERY_ and HEADER_ fields of a mapped call."},
    "mapping": {"type": "object", "additionalProperties": {"type": "string"}, "description": "BODY_x, QUERY_x or HEADER_x from a path in the output of the task in depends; \"response\" is the whole output."}
  }
}`
