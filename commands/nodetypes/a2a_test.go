package nodetypes_test

import (
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"quipu/commands/node"
	"quipu/commands/nodetypes"
)

func rpc(result string) string { return `{"jsonrpc":"2.0","id":"x","result":` + result + `}` }

func TestA2A_SendsAMessage(t *testing.T) {
	var answer string
	s, requests := serve(t, func(w http.ResponseWriter, r *http.Request) { _, _ = w.Write([]byte(answer)) })
	d := nodetypes.Deps{HTTP: guarded(t)}
	call := params(`{"base_url":"` + s.URL + `/a2a","message":{"value":"Hi"},"api_key":"k-secret","config":{"headers":{"X-Team":"a"}}}`)
	call.TaskID, call.Key, call.Attempt = "t-1", "r/t/0", 2
	for result, want := range map[string]string{
		`{"kind":"message","role":"agent","parts":[{"kind":"text","text":"a"},{"kind":"data","data":{}},{"type":"text","text":"b"}]}`: `"a\nb"`,
		`{"kind":"task","id":"9","status":{"state":"completed"},"artifacts":[{"parts":[{"kind":"text","text":"done"}]}]}`:             `"done"`,
		`{"kind":"task","id":"9","status":{"state":"completed","message":{"parts":[{"kind":"text","text":"said"}]}}}`:                 `"said"`,
		`{"task":{"id":"9","status":{"state":"TASK_STATE_COMPLETED"},"artifacts":[{"parts":[{"text":"newer"}]}]}}`:                    `"newer"`,
		`{"message":{"parts":[{"text":"newer"}]}}`:                      `"newer"`,
		`{"kind":"message","parts":[{"kind":"data","data":{"n":1.0}}]}`: `{"kind":"message","parts":[{"kind":"data","data":{"n":1.0}}]}`,
	} {
		answer = rpc(result)
		reply, err := run(t, registry(t, d), "a2a", call)
		require.NoError(t, err, result)
		require.Equal(t, want, string(reply.Output))
		require.Equal(t, "message/send", reply.Details["rpc_method"])
	}
	got := (*requests)[0]
	require.JSONEq(t, `{"jsonrpc":"2.0","id":"t-1","method":"message/send","params":{"message":{"kind":"message","role":"user","messageId":"t-1","parts":[{"kind":"text","text":"Hi"}]},"configuration":{"acceptedOutputModes":["text/plain","application/json"],"blocking":true}}}`, got.body)
	require.Equal(t, []string{"/a2a", "Bearer k-secret", "a", "r/t/0", "2"}, []string{got.uri, got.header.Get("Authorization"), got.header.Get("X-Team"), got.header.Get("Idempotency-Key"), got.header.Get("Quipu-Attempt")})

	for reply, want := range map[string][]any{
		`{"jsonrpc":"2.0","error":{"code":-32602,"message":"bad\nparams"}}`:      {"A2A_FAILED", false, "bad params"},
		`{"jsonrpc":"2.0","error":{"code":-32603,"message":"oops"}}`:             {"A2A_FAILED", true, "oops"},
		rpc(`{"status":{"state":"failed","message":{"parts":[{"text":"no"}]}}}`): {"A2A_FAILED", false, "no"},
		rpc(`{"status":{"state":"input-required"}}`):                             {"A2A_FAILED", false, ""},
		rpc(`{"status":{}}`): {"A2A_FAILED", false, ""},
		rpc(`7`):             {"BAD_REPLY", false, ""},
		`<html>`:             {"BAD_REPLY", false, ""},
	} {
		answer = reply
		_, err := run(t, registry(t, d), "a2a", call)
		var f *node.Failure
		require.ErrorAs(t, err, &f, reply)
		require.Equal(t, want, []any{f.Code, f.Retryable, f.Said}, reply)
		require.NotContains(t, f.Message+string(f.Details), "k-secret")
	}
	for p, pointer := range map[string]string{`{}`: "/config/base_url", `{"base_url":"x"}`: "/base_url", `{"base_url":"http://h","api_key":"a\nb"}`: "/api_key", `{"config":{"base_url":"http://h","output":"x"}}`: "/config/output"} {
		faults := check(t, "a2a", p)
		require.NotEmpty(t, faults, p)
		require.Equal(t, pointer, faults[0].Pointer, p)
	}
}

type scripted struct {
	answers []string
	asked   []string
}

func (s *scripted) Do(r *http.Request) (*http.Response, error) {
	b, _ := io.ReadAll(r.Body)
	var q struct{ Method string }
	_ = json.Unmarshal(b, &q)
	s.asked = append(s.asked, q.Method)
	answer := s.answers[min(len(s.asked), len(s.answers))-1]
	return &http.Response{StatusCode: 200, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(answer)), Request: r}, nil
}

// A task that takes long is asked about until it ends, or until the attempt does.
func TestA2A_WaitsForTasks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		working := rpc(`{"kind":"task","id":"9","status":{"state":"working"}}`)
		far := &scripted{answers: []string{working, working, working, rpc(`{"kind":"task","id":"9","status":{"state":"completed"},"artifacts":[{"parts":[{"text":"done"}]}]}`)}}
		began := time.Now()
		reply, err := run(t, registry(t, nodetypes.Deps{HTTP: far}), "a2a", params(`{"base_url":"http://h","message":"Hi"}`))
		require.NoError(t, err)
		require.Equal(t, `"done"`, string(reply.Output))
		require.Equal(t, []string{"message/send", "tasks/get", "tasks/get", "tasks/get"}, far.asked)
		require.Equal(t, 4750*time.Millisecond, time.Since(began))

		far = &scripted{answers: []string{working}}
		_, err = run(t, registry(t, nodetypes.Deps{HTTP: far}), "a2a", params(`{"base_url":"http://h","message":"Hi","config":{"timeout":"1m"}}`))
		require.ErrorContains(t, err, "TIMEOUT")
	})
}
