package nodetypes

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math"
	"net/http"
	"strings"

	openai "github.com/sashabaranov/go-openai"

	"quipu/commands/node"
	"quipu/domain/rawjson"
)

// askModel asks an OpenAI-compatible API for a chat completion. The process's key goes to the
// process's base URL only: a definition that names a base_url of its own could else collect it.
// LAO's api_key in turn is not for the process's model, unless that has no key.
func (d Deps) askModel(ctx context.Context, call node.Call, cfg agentConfig, message string) (answer, map[string]any, *node.Failure) {
	base, key := d.Model.BaseURL, d.Model.Key
	if cfg.baseURL != nil {
		base, key = cfg.baseURL.String(), cfg.key
	} else if key == "" {
		key = cfg.key
	}
	if problem := checkHeader("Authorization", key); problem != "" {
		return answer{}, nil, configFailure(node.Fault{Pointer: "/config/api_key", Message: problem})
	}
	model := cfg.modelName(d.Model.Name)
	if model == "" {
		return answer{}, nil, configFailure(node.Fault{Pointer: "/config/model", Message: "is required: the process has no default model"})
	}
	request := openai.ChatCompletionRequest{Model: model}
	if cfg.system != "" {
		request.Messages = append(request.Messages, openai.ChatCompletionMessage{Role: openai.ChatMessageRoleSystem, Content: cfg.system})
	}
	request.Messages = append(request.Messages, openai.ChatCompletionMessage{Role: openai.ChatMessageRoleUser, Content: message})
	if cfg.hasTemperature {
		// The library leaves a zero out, which would ask for the server's default.
		request.Temperature = max(float32(cfg.temperature), math.SmallestNonzeroFloat32)
	}

	config := openai.DefaultConfig(key)
	config.BaseURL = strings.TrimRight(base, "/")
	sent := modelCall{deps: d, call: call, perAttempt: cfg.perAttempt}
	config.HTTPClient = &sent
	response, err := openai.NewClientWithConfig(config).CreateChatCompletion(ctx, request)
	details := sent.details
	if details == nil {
		details = map[string]any{}
	}
	details["provider"], details["model"] = "openai", model
	what := "POST " + sent.shown()
	var failure *node.Failure
	switch {
	case errors.As(err, &failure):
		failure.CallDetails = details
		return answer{}, details, failure
	case err != nil && sent.request == nil:
		return answer{}, details, configFailure(node.Fault{Pointer: "/config", Message: "gives no valid request to the model"})
	case err != nil:
		return answer{}, details, badReply(what, "the answer is no chat completion", sent.body, details)
	case len(response.Choices) == 0:
		return answer{}, details, badReply(what, "the answer has no choices", sent.body, details)
	}
	ans := answer{output: rawjson.Quote(response.Choices[0].Message.Content), model: model}
	if response.Model != "" {
		ans.model = clip(response.Model, 200)
	}
	if u := response.Usage; u.PromptTokens > 0 || u.CompletionTokens > 0 {
		ans.usage = &usage{prompt: u.PromptTokens, completion: u.CompletionTokens}
	}
	return ans, details, nil
}

// modelCall carries the library's one request through exchange, so that limits, headers and
// failures are those of every other call.
type modelCall struct {
	deps       Deps
	call       node.Call
	perAttempt bool

	request *http.Request
	body    []byte
	details map[string]any
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
	got, details, failure := m.deps.exchange(req)
	m.details, m.body = details, got.body
	if failure != nil {
		return nil, failure
	}
	return &http.Response{
		StatusCode: got.status, Header: got.header, Request: req,
		Body: io.NopCloser(bytes.NewReader(got.body)), ContentLength: int64(len(got.body)),
	}, nil
}
