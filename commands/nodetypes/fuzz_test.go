package nodetypes_test

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/iotest"
	"unicode/utf8"

	"quipu/commands/node"
	"quipu/commands/nodetypes"
	"quipu/domain"
	"quipu/domain/rawjson"
)

// answering is a far side that answers everything alike, after some of it in pieces of one byte.
type answering struct {
	status    int
	kind      string
	body      string
	cut, slow bool
}

func (a *answering) Do(r *http.Request) (*http.Response, error) {
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	var body io.Reader = strings.NewReader(a.body)
	if a.cut {
		body = io.MultiReader(body, iotest.ErrReader(io.ErrUnexpectedEOF))
	}
	if a.slow {
		body = iotest.OneByteReader(body)
	}
	return &http.Response{
		StatusCode: a.status, Header: http.Header{"Content-Type": {a.kind}, "Retry-After": {a.kind}}, Body: io.NopCloser(body), Request: r, ContentLength: -1,
	}, nil
}

// Whatever agents, models and services answer: the task ends with JSON, or with a failure that has a code and
// whose own words are short and valid; nothing is told live that is no text.
func FuzzReplies(f *testing.F) {
	for _, body := range []string{
		"", "{}", "[]", "null", `{"response":"hi"}`, `{"choices":[{"message":{"content":"hi"}}],"usage":{"total_tokens":-1}}`, `{"error":{"message":"no"}}`, "plain",
		piece("a", "stop") + usagePiece + donePiece, piece("a", ""), "data: {\n\n", "data: " + strings.Repeat("[", 500) + "\n\n", "data: {\"error\":{\"message\":1}}\n\n",
		`{"jsonrpc":"2.0","id":"1","result":{"kind":"task","id":"9","status":{"state":"completed"},"artifacts":[{"parts":[{"text":"x"}]}]}}`,
		`{"jsonrpc":"2.0","id":"1","result":{"kind":"message","parts":[{"kind":"text","text":"x"},{"data":{"a":1}}]}}`, `{"jsonrpc":"2.0","error":{"code":-32600,"message":"no"}}`,
		`{"jsonrpc":"2.0","id":"1","result":{"kind":"task","id":"9","status":{"state":"failed"}}}`, "\xff\xfe", "\ufeff{}", `{"a":1,"a":2}`, "1e999999", `"\ud800"`,
	} {
		f.Add(200, "application/json", body, uint8(0))
		f.Add(200, "text/event-stream", body, uint8(3))
	}
	f.Add(503, "Fri, 31 Dec 1999 23:59:59 GMT", "busy", uint8(0))
	f.Add(429, "99999999999999999999", `{"error":{"message":"slow down"}}`, uint8(1))
	f.Add(200, "text/plain; charset=iso-8859-1", "\xe9", uint8(2))
	far := &answering{}
	r := registry(f, nodetypes.Deps{HTTP: far, ReplyBytesMax: 4 << 10, Model: nodetypes.Model{BaseURL: "http://model", Key: "key-of-the-process", Name: "m"}})
	f.Fuzz(func(t *testing.T, status int, kind, body string, how uint8) {
		if status < 200 || status > 599 {
			status = 200
		}
		// A task that is still worked on is asked about until the attempt ends, which here it does not.
		if strings.Contains(body, "state") && !strings.Contains(body, "completed") && !strings.Contains(body, "failed") {
			return
		}
		*far = answering{status, kind, body, how&1 > 0, how&2 > 0}
		for typ, p := range map[string]string{
			"agent":                 `{"message":"Hi"}`,
			"call_lyzr_agent":       `{"config":{"api_url":"http://agent/v3/inference/chat/","agent_id":"a","api_key":"k"},"message":"Hi"}`,
			"a2a":                   `{"base_url":"http://h","message":"Hi"}`,
			"api_call":              `{"config":{"url":"http://h","output":"full"}}`,
			"gpt_router":            `{"message":"Hi","routes":[{"name":"a","description":"b"},{"name":"c","description":"d"}],"fallback_route":"a","openai_api_key":"k"}`,
			"gpt_conditional_block": `{"message":"Hi","condition":"is it?","openai_api_key":"k"}`,
		} {
			call := params(p)
			call.Delta = func(text string) {
				if !utf8.ValidString(text) {
					t.Errorf("%s: %q is told", typ, text)
				}
			}
			reply, err := run(t, r, typ, call)
			if err == nil {
				if rawjson.Check(reply.Output, domain.JSONDepthMax) != nil {
					t.Errorf("%s: %q gives %q", typ, body, reply.Output)
				}
				continue
			}
			var failure *node.Failure
			if !errors.As(err, &failure) || failure.Code == "" || failure.Code == "INVALID_CONFIG" || len(failure.Error()) > 2_000 || !utf8.ValidString(failure.Error()) {
				t.Errorf("%s: %q fails with %v", typ, body, err)
			}
			if failure != nil && (len(failure.Said) > 1_000 || !utf8.ValidString(failure.Said)) {
				t.Errorf("%s: %q is told as %q", typ, body, failure.Said)
			}
		}
	})
}
