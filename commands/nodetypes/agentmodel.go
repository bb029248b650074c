package nodetypes

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"math"
	"net/http"
	"net/url"
	"strings"
	"time"

	openai "github.com/sashabaranov/go-openai"

	"quipu/commands/node"
	"quipu/domain/rawjson"
)

// modelConfig says which model is asked, and how.
type modelConfig struct {
	baseURL        *url.URL
	key            string
	keyAt          string // where the key stands, for faults
	model          string
	temperature    float64
	hasTemperature bool
	perAttempt     bool
	timeout        time.Duration
	stream         bool // tell call.Delta of the text as it comes
	json           bool // ask for a JSON object
}

// question is what a model is asked.
type question struct{ system, message string }

// answer is what a provider said.
type answer struct {
	output json.RawMessage // a JSON string, unless the far side answered with other JSON
	model  string          // "" if not known
	usage  *usage
}

type usage struct{ prompt, completion int }

// configured tells whether there is a model to ask; without one the deterministic provider answers.
func (d Deps) configured(c modelConfig) bool { return c.baseURL != nil || d.Model.BaseURL != "" }

// describe notes an answer's model and tokens in the details of its call.
func (ans answer) describe(details map[string]any) {
	if ans.model != "" {
		details["model"] = ans.model
	}
	if ans.usage != nil {
		details["prompt_tokens"], details["completion_tokens"] = ans.usage.prompt, ans.usage.completion
		details["total_tokens"] = ans.usage.prompt + ans.usage.completion
	}
}

// askModel asks an OpenAI-compatible API for a chat completion. The process's key goes to the
// process's base URL only: a definition that names a base_url of its own could else collect it.
// LAO's api_key in turn is not for the process's model, unless that has no key.
//
// With c.stream the answer is asked for piece by piece. A server that answers in one piece all the
// same is understood; an answer that ends before the model has finished is a lost connection.
func (d Deps) askModel(ctx context.Context, call node.Call, c modelConfig, q question) (answer, map[string]any, *node.Failure) {
	base, key := d.Model.BaseURL, d.Model.Key
	if c.baseURL != nil {
		base, key = c.baseURL.String(), c.key
	} else if key == "" {
		key = c.key
	}
	if problem := checkHeader("Authorization", key); problem != "" {
		return answer{}, nil, configFailure(node.Fault{Pointer: c.keyAt, Message: problem})
	}
	if c.model == "" {
		return answer{}, nil, configFailure(node.Fault{Pointer: "/config/model", Message: "is required: the process has no default model"})
	}
	sent := modelCall{deps: d, call: call, perAttempt: c.perAttempt, stream: c.stream && call.Delta != nil}
	config := openai.DefaultConfig(key)
	config.BaseURL = strings.TrimRight(base, "/")
	config.HTTPClient = &sent
	config.EmptyMessagesLimit = emptyLinesMax
	client := openai.NewClientWithConfig(config)

	started := d.Now()
	var ans answer
	var err error
	if sent.stream {
		ans, err = sent.streamed(ctx, client, request(c, q, true))
	} else {
		ans, err = whole(client.CreateChatCompletion(ctx, request(c, q, false)))
	}
	details := sent.details
	if details == nil {
		details = map[string]any{}
	}
	details["provider"], details["model"] = "openai", c.model
	details["latency_ms"] = d.Now().Sub(started).Milliseconds()
	what := "POST " + sent.shown()
	var failure *node.Failure
	switch {
	case errors.As(err, &failure):
		failure.CallDetails = details
		return answer{}, details, failure
	case err != nil && sent.request == nil:
		return answer{}, details, configFailure(node.Fault{Pointer: "/config", Message: "gives no valid request to the model"})
	case errors.Is(err, errNoChoices):
		return answer{}, details, badReply(what, err.Error(), sent.body, details)
	case err != nil:
		return answer{}, details, badReply(what, "the answer is no chat completion", sent.body, details)
	}
	if ans.model == "" {
		ans.model = c.model
	}
	ans.describe(details)
	return ans, details, nil
}

// emptyLinesMax is how many lines without data may stand in a row of a streamed answer: servers send
// comments to keep a connection open while a model thinks.
const emptyLinesMax = 100_000

var errNoChoices = errors.New("the answer has no choices")

func request(c modelConfig, q question, stream bool) openai.ChatCompletionRequest {
	r := openai.ChatCompletionRequest{Model: c.model}
	if q.system != "" {
		r.Messages = append(r.Messages, openai.ChatCompletionMessage{Role: openai.ChatMessageRoleSystem, Content: q.system})
	}
	r.Messages = append(r.Messages, openai.ChatCompletionMessage{Role: openai.ChatMessageRoleUser, Content: q.message})
	if c.hasTemperature {
		// The library leaves a zero out, which would ask for the server's default.
		r.Temperature = max(float32(c.temperature), math.SmallestNonzeroFloat32)
	}
	if c.json {
		r.ResponseFormat = &openai.ChatCompletionResponseFormat{Type: openai.ChatCompletionResponseFormatTypeJSONObject}
	}
	if stream {
		r.StreamOptions = &openai.StreamOptions{IncludeUsage: true}
	}
	return r
}

// whole takes the answer out of a completion.
func whole(response openai.ChatCompletionResponse, err error) (answer, error) {
	if err == nil && len(response.Choices) == 0 {
		err = errNoChoices
	}
	if err != nil {
		return answer{}, err
	}
	ans := answer{output: rawjson.Quote(response.Choices[0].Message.Content), model: clip(response.Model, 200)}
	ans.count(&response.Usage)
	return ans, nil
}

func (ans *answer) count(u *openai.Usage) {
	if u != nil && (u.PromptTokens > 0 || u.CompletionTokens > 0) {
		ans.usage = &usage{prompt: u.PromptTokens, completion: u.CompletionTokens}
	}
}

// modelCall carries the library's one request with the limits, headers and failures of every other
// call.
type modelCall struct {
	deps       Deps
	call       node.Call
	perAttempt bool
	stream     bool

	request *http.Request
	body    []byte // of the answer, or its beginning
	details map[string]any
	reading *limitedBody // of a streamed answer
}

func (m *modelCall) shown() string {
	if m.request == nil {
		return ""
	}
	return shown(m.request.URL)
}

// Do sends the request; a failure comes back as an error of type *node.Failure.
func (m *modelCall) Do(req *http.Request) (*http.Response, error) {
	m.request = req
	mark(req.Header, m.call, m.perAttempt)
	if m.stream {
		return m.open(req)
	}
	got, details, failure := m.deps.exchange(req)
	m.details, m.body = details, got.body
	if failure != nil {
		return nil, failure
	}
	return &http.Response{
		StatusCode: got.status, Header: got.header, Request: req,
		Body: io.NopCloser(strings.NewReader(string(got.body))), ContentLength: int64(len(got.body)),
	}, nil
}
