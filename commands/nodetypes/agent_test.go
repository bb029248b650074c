package nodetypes_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"quipu/commands/node"
	"quipu/commands/nodetypes"
)

func TestAgent_AsksItsAPI(t *testing.T) {
	var answer string
	s, requests := serve(t, func(w http.ResponseWriter, r *http.Request) { _, _ = w.Write([]byte(answer)) })
	call := params(`{"config":{"user_id":"u","session_id":"s","agent_id":"a","api_key":"k-1","api_url":"` + s.URL + `/v3/inference/chat/","agent_name":"N"},` +
		`"user_message":{"value":{"q":1}},"assets":["x"],"fetch":"ignored"}`)
	call.Upstream = []node.Upstream{{Task: "fetch", Param: "fetch", Output: json.RawMessage(`"got"`)}}
	call.Key, call.Attempt, call.RunID = "r/t/0", 1, "run-1"
	d := nodetypes.Deps{HTTP: guarded(t), Model: nodetypes.Model{BaseURL: "http://127.0.0.1:1", Key: "process"}}
	for reply, want := range map[string]string{
		`{"response":"Hi \"you\"","other":1}`:       `"Hi \"you\""`,
		`{"response":{"a":[1.0]}}`:                  `{"a":[1.0]}`,
		`{"response":null}`:                         `null`,
		`{"response":"x","module_outputs":{"a":1}}`: `"x"`,
	} {
		answer = reply
		got, err := run(t, registry(t, d), "call_lyzr_agent", call)
		require.NoError(t, err)
		require.Equal(t, want, string(got.Output))
		require.Equal(t, "agent_api", got.Details["provider"])
		require.Contains(t, got.Details, "latency_ms")
	}
	got := (*requests)[0]
	require.Equal(t, `{"user_id":"u","agent_id":"a","session_id":"s","message":"{\"q\":1}\nfetch: got","assets":["x"]}`, got.body)
	require.Equal(t, []string{"POST", "/v3/inference/chat/", "k-1", "r/t/0", "1", ""},
		[]string{got.method, got.uri, got.header.Get("x-api-key"), got.header.Get("Idempotency-Key"), got.header.Get("Quipu-Attempt"), got.header.Get("Authorization")})

	for _, bad := range []string{`<html>`, `[]`, `{"detail":"x"}`, ``, `{"response":1,"response":2}`} {
		answer = bad
		_, err := run(t, registry(t, d), "call_lyzr_agent", call)
		var f *node.Failure
		require.ErrorAs(t, err, &f)
		require.Equal(t, "BAD_REPLY", f.Code)
		require.NotContains(t, f.Message+string(f.Details), "k-1")
	}
}

const completion = `{"id":"1","object":"chat.completion","model":"m-2026","choices":[{"index":0,"message":{"role":"assistant","content":"Grüße"},"finish_reason":"stop"}],"usage":{"prompt_tokens":11,"completion_tokens":3,"total_tokens":14}}`

func TestAgent_AsksAModel(t *testing.T) {
	s, requests := serve(t, func(w http.ResponseWriter, r *http.Request) { _, _ = w.Write([]byte(completion)) })
	process := nodetypes.Model{BaseURL: s.URL + "/v1/", Key: "process-key", Name: "default-model"}
	for name, c := range map[string]struct {
		model              nodetypes.Model
		config             string
		path, auth, wanted string
	}{
		"process's model":           {process, `{}`, "/v1/chat/completions", "Bearer process-key", "default-model"},
		"LAO's opaque agent id":     {process, `{"agent_id":"66f0a1b2c3d4e5f6a7b8c9d0","api_key":"lyzr"}`, "/v1/chat/completions", "Bearer process-key", "default-model"},
		"agent_id names a model":    {process, `{"agent_id":"gpt-4o-mini"}`, "/v1/chat/completions", "Bearer process-key", "gpt-4o-mini"},
		"model given":               {process, `{"model":"m","agent_id":"x","api_url":""}`, "/v1/chat/completions", "Bearer process-key", "m"},
		"base_url of its own":       {process, `{"base_url":"` + s.URL + `/own","model":"m"}`, "/own/chat/completions", "", "m"},
		"base_url with its own key": {process, `{"base_url":"` + s.URL + `/own","model":"m","api_key":"own"}`, "/own/chat/completions", "Bearer own", "m"},
	} {
		t.Run(name, func(t *testing.T) {
			*requests = nil
			call := params(`{"config":` + c.config + `,"message":"Hi"}`)
			call.Key, call.Attempt = "r/t/0", 4
			reply, err := run(t, registry(t, nodetypes.Deps{HTTP: guarded(t), Model: c.model}), "agent", call)
			require.NoError(t, err)
			require.Equal(t, `"Grüße"`, string(reply.Output))
			got := (*requests)[0]
			require.Equal(t, []string{"POST", c.path, c.auth, "r/t/0", "4"},
				[]string{got.method, got.uri, got.header.Get("Authorization"), got.header.Get("Idempotency-Key"), got.header.Get("Quipu-Attempt")})
			require.JSONEq(t, `{"model":"`+c.wanted+`","messages":[{"role":"user","content":"Hi"}],"stream":false}`, got.body)
			require.Equal(t, "m-2026", reply.Details["model"])
			require.Equal(t, 11, reply.Details["prompt_tokens"])
			require.Equal(t, 3, reply.Details["completion_tokens"])
		})
	}
	*requests = nil
	reply, err := run(t, registry(t, nodetypes.Deps{HTTP: guarded(t), Model: process}), "agent",
		params(`{"config":{"system_instructions":"Be brief","temperature":0.7,"output":"full"},"message":"Hi"}`))
	require.NoError(t, err)
	require.Equal(t, `{"output":"Grüße","model":"m-2026","cost":null,"usage":{"prompt_tokens":11,"completion_tokens":3,"total_tokens":14},"temperature_used":0.7}`, string(reply.Output))
	require.JSONEq(t, `{"model":"default-model","messages":[{"role":"system","content":"Be brief"},{"role":"user","content":"Hi"}],"temperature":0.7,"stream":false}`, (*requests)[0].body)
}

func TestAgent_ModelFailures(t *testing.T) {
	var status int
	var answer string
	s, _ := serve(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Retry-After", "9")
		w.WriteHeader(status)
		_, _ = w.Write([]byte(answer))
	})
	d := nodetypes.Deps{HTTP: guarded(t), ReplyBytesMax: 10_000, Model: nodetypes.Model{BaseURL: s.URL, Key: "process-key", Name: "m"}}
	for _, c := range []struct {
		status    int
		answer    string
		code      string
		retryable bool
	}{
		{429, `{"error":{"message":"slow down"}}`, "HTTP_429", true},
		{500, `oops`, "HTTP_500", true},
		{401, `{"error":{"message":"bad key"}}`, "HTTP_401", false},
		{200, `<html>`, "BAD_REPLY", false},
		{200, `{"choices":[]}`, "BAD_REPLY", false},
		{200, strings.Repeat("x", 20_000), "REPLY_TOO_LARGE", false},
	} {
		status, answer = c.status, c.answer
		_, err := run(t, registry(t, d), "agent", params(`{"message":"Hi"}`))
		var f *node.Failure
		require.ErrorAs(t, err, &f)
		require.Equal(t, c.code, f.Code)
		require.Equal(t, c.retryable, f.Retryable)
		require.Equal(t, "openai", f.CallDetails["provider"])
		require.Equal(t, c.code == "HTTP_429", f.RetryAfter > 0 && c.status == 429)
		require.NotContains(t, f.Message+string(f.Details), "process-key")
	}
}

func TestAgent_CheckPointsAtFaults(t *testing.T) {
	for p, pointer := range map[string]string{
		`{}`: "",
		`{"config":{"api_url":"","api_key":null,"agent_id":{"input":"a"}}}`: "",
		`{"config":[]}`:                        "/config",
		`{"config":{"api_url":"nowhere"}}`:     "/config/api_url",
		`{"config":{"base_url":"ftp://x"}}`:    "/config/base_url",
		`{"config":{"temperature":3}}`:         "/config/temperature",
		`{"config":{"temperature":"hot"}}`:     "/config/temperature",
		`{"config":{"agent_id":7}}`:            "/config/agent_id",
		`{"config":{"output":"everything"}}`:   "/config/output",
		`{"config":{"timeout":"1 fortnight"}}`: "/config/timeout",
	} {
		faults := check(t, "call_lyzr_agent", p)
		if pointer == "" {
			require.Empty(t, faults, p)
			continue
		}
		require.NotEmpty(t, faults, p)
		require.Equal(t, pointer, faults[0].Pointer)
	}
	_, err := run(t, registry(t, nodetypes.Deps{}), "agent", params(`{"config":{"api_url":"http://h","api_key":"a\r\nB: c"},"message":"x"}`))
	require.ErrorContains(t, err, "INVALID_CONFIG: /config/api_key")
}
