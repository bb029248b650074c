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

func TestAPICall_Requests(t *testing.T) {
	s, requests := serve(t, nil)
	cases := map[string]struct {
		params                 string // URL stands for the server's
		upstream               []node.Upstream
		method, uri, body, typ string
	}{
		"siblings are the body": {
			params: `{"config":{"url":"URL/crm","method":"POST","headers":{"X-A":"1"}},"ticket":{"id":7},"tags":["a"],"note":"x"}`,
			method: "POST", uri: "/crm", body: `{"ticket":{"id":7},"tags":["a"],"note":"x"}`, typ: "application/json",
		},
		"delete with siblings":       {params: `{"config":{"url":"URL","method":"delete"},"id":1}`, method: "DELETE", uri: "/", body: `{"id":1}`, typ: "application/json"},
		"get has no siblings":        {params: `{"config":{"url":"URL/a?b=c#frag","method":"GET"},"x":1}`, method: "GET", uri: "/a?b=c"},
		"get with a body of its own": {params: `{"config":{"url":"URL","method":"GET","body":{"q":1}}}`, method: "GET", uri: "/", body: `{"q":1}`, typ: "application/json"},
		"no method, no body":         {params: `{"config":{"url":"URL"}}`, method: "GET", uri: "/"},
		"no method, a body":          {params: `{"config":{"url":"URL","body":[1,1e400]}}`, method: "POST", uri: "/", body: `[1,1e400]`, typ: "application/json"},
		"post without anything":      {params: `{"config":{"url":"URL","method":"POST"}}`, method: "POST", uri: "/"},
		"null body":                  {params: `{"config":{"url":"URL","method":"PUT","body":null},"x":1}`, method: "PUT", uri: "/"},
		"text body":                  {params: `{"config":{"url":"URL","body":"hello"}}`, method: "POST", uri: "/", body: "hello", typ: "text/plain; charset=utf-8"},
		"text that is JSON":          {params: `{"config":{"url":"URL","body":"{\"a\":1}"}}`, method: "POST", uri: "/", body: `{"a":1}`, typ: "application/json"},
		"body with a field value":    {params: `{"config":{"url":"URL","body":{"value":5}}}`, method: "POST", uri: "/", body: `{"value":5}`, typ: "application/json"},
		"form": {
			params: `{"config":{"url":"URL","headers":{"content-type":"application/x-www-form-urlencoded"},"body":{"a":"x y","b":2}}}`,
			method: "POST", uri: "/", body: "a=x+y&b=2", typ: "application/x-www-form-urlencoded",
		},
		"query": {
			params: `{"config":{"url":"URL?z=1","query":{"a":"x&y","b":[1,true],"n":null}}}`,
			method: "GET", uri: "/?z=1&a=x%26y&b=1&b=true",
		},
		"mapping in config": {
			params: `{"config":{"depends":"ask","default":{"url":"URL/m","method":"POST","headers":{"X-A":"1"},"BODY_fixed":true,"QUERY_q":"k"},` +
				`"mapping":{"BODY_city":"response.place.names[1]","QUERY_id":"place.id","HEADER_X-B":"place['a b']","BODY_all":"response"},"output":"{\"place\":{\"id\":9,\"names\":[\"x\",\"y\"],\"a b\":\"h\"}}"}}`,
			method: "POST", uri: "/m?q=k&id=9", body: `{"fixed":true,"city":"y","all":"{\"place\":{\"id\":9,\"names\":[\"x\",\"y\"],\"a b\":\"h\"}}"}`, typ: "application/json",
		},
		"mappings in params of their own": {
			params: `{"config":{"default":{"url":"URL","method":"POST","BODY_n":0}},"a_data":{"depends":"a","mapping":{"BODY_n":"n"},"output":{"n":1.0}},` +
				`"b_data":{"depends":"b.context","mapping":{"BODY_r":"response.x"}},"plain":1}`,
			upstream: []node.Upstream{{Task: "b", Output: json.RawMessage(`{"response":{"x":[]}}`)}},
			method:   "POST", uri: "/", body: `{"plain":1,"n":1.0,"r":[]}`, typ: "application/json",
		},
		"mapping of a skipped task": {
			params:   `{"config":{"default":{"url":"URL","method":"POST"}},"a":{"depends":"a","mapping":{"BODY_x":"p.q","QUERY_y":"z","HEADER_Y":"z"},"output":null}}`,
			upstream: []node.Upstream{{Task: "a", Skipped: true, Output: json.RawMessage("null")}},
			method:   "POST", uri: "/", body: `{"x":null}`, typ: "application/json",
		},
		"config wins over default": {
			params: `{"config":{"url":"URL/c","method":"PATCH","body":{"a":1,"b":2},"BODY_b":3,"default":{"url":"URL/d","method":"POST","headers":{"X-A":"0"}}}}`,
			method: "PATCH", uri: "/c", body: `{"a":1,"b":3}`, typ: "application/json",
		},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			*requests = nil
			call := params(strings.ReplaceAll(c.params, "URL", s.URL))
			call.Upstream, call.Key, call.Attempt, call.Traceparent = c.upstream, "run/task/0", 2, "00-aa-bb-01"
			reply, err := api(t, nodetypes.Deps{}, call)
			require.NoError(t, err)
			require.Equal(t, "{}", string(reply.Output))
			require.Len(t, *requests, 1)
			got := (*requests)[0]
			require.Equal(t, []string{c.method, c.uri, c.body, c.typ}, []string{got.method, got.uri, got.body, got.header.Get("Content-Type")})
			require.Equal(t, "run/task/0", got.header.Get("Idempotency-Key"))
			require.Equal(t, "2", got.header.Get("Quipu-Attempt"))
			require.Equal(t, "00-aa-bb-01", got.header.Get("Traceparent"))
			require.Equal(t, c.method, reply.Details["method"])
			require.Equal(t, 200, reply.Details["status"])
			require.NotContains(t, reply.Details["url"], "?")
			faults := check(t, "api_call", strings.ReplaceAll(c.params, "URL", s.URL))
			require.Empty(t, faults)
		})
	}
}

func TestAPICall_IdempotencyKeys(t *testing.T) {
	s, requests := serve(t, nil)
	for config, want := range map[string]string{
		`"idempotency":"per_task"`:               "k",
		`"idempotency":"per_attempt"`:            "k/3",
		`"headers":{"idempotency-key":"theirs"}`: "theirs",
	} {
		*requests = nil
		call := params(`{"config":{"url":"` + s.URL + `",` + config + `}}`)
		call.Key, call.Attempt = "k", 3
		_, err := api(t, nodetypes.Deps{}, call)
		require.NoError(t, err)
		require.Equal(t, []string{want}, (*requests)[0].header["Idempotency-Key"])
	}
}

func TestAPICall_Replies(t *testing.T) {
	deep := strings.Repeat("[", 200) + strings.Repeat("]", 200)
	for name, c := range map[string]struct {
		status     int
		typ, reply string
		want       string
		refused    bool
	}{
		"json":                   {200, "application/json", " {\"b\":1.0,\"a\":1e400}\n", `{"b":1.0,"a":1e400}`, false},
		"json without a type":    {201, "", `[1]`, `[1]`, false},
		"json with a mark":       {200, "application/json", "\ufeff{}", `{}`, false},
		"text":                   {200, "text/plain", "hello\n", `"hello"`, false},
		"html":                   {200, "text/html", "<a>\"x\"</a>", `"<a>\"x\"</a>"`, false},
		"empty":                  {200, "application/json", "", `null`, false},
		"no content":             {204, "", "", `null`, false},
		"broken json":            {200, "application/json", `{"a":`, `"{\"a\":"`, true},
		"duplicate keys":         {200, "application/problem+json; charset=utf-8", `{"a":1,"a":2}`, `"{\"a\":1,\"a\":2}"`, true},
		"too deep":               {200, "application/json", deep, `"` + deep + `"`, true},
		"invalid UTF-8":          {200, "text/plain", "a\xff", `{"content_type":"text/plain","base64":"Yf8="}`, false},
		"invalid UTF-8 in json":  {200, "application/json", "\"a\xff\"", `{"content_type":"application/json","base64":"ImH/Ig=="}`, true},
		"declared as ISO 8859-1": {200, "text/plain; charset=ISO-8859-1", "Gr\xfc\xdfe", `"Grüße"`, false},
	} {
		t.Run(name, func(t *testing.T) {
			s, _ := serve(t, func(w http.ResponseWriter, r *http.Request) {
				w.Header()["Content-Type"] = []string{c.typ}
				w.WriteHeader(c.status)
				_, _ = w.Write([]byte(c.reply))
			})
			reply, err := api(t, nodetypes.Deps{}, params(`{"config":{"url":"`+s.URL+`"}}`))
			require.NoError(t, err)
			require.Equal(t, c.want, string(reply.Output))
			require.Equal(t, c.refused, reply.Details["reply_json_refused"] == true)
			require.Equal(t, c.status, reply.Details["status"])
		})
	}
}

func TestAPICall_FullOutput(t *testing.T) {
	s, _ := serve(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header()["Date"] = nil
		w.Header().Add("X-B", "1")
		w.Header().Add("X-B", "2")
		w.Header().Set("Set-Cookie", "session=secret")
		_, _ = w.Write([]byte(`{"a":1}`))
	})
	reply, err := api(t, nodetypes.Deps{}, params(`{"config":{"url":"`+s.URL+`","output":"full"}}`))
	require.NoError(t, err)
	require.Equal(t, `{"status_code":200,"headers":{"content-length":"7","content-type":"text/plain; charset=utf-8","x-b":"1, 2"},"body":{"a":1}}`, string(reply.Output))
}

// What is sent wrongly cannot be taken back: these fail before any connection.
func TestAPICall_BadConfigIsRefusedBeforeSending(t *testing.T) {
	for config, pointer := range map[string]string{
		`null`:                                  "/config",
		`{}`:                                    "/config/url",
		`{"url":null}`:                          "/config/url",
		`{"url":"/relative"}`:                   "/config/url",
		`{"url":"ftp://host/"}`:                 "/config/url",
		`{"url":"http://"}`:                     "/config/url",
		`{"url":"http://user:pw@host/"}`:        "/config/url",
		`{"url":"http://a b/"}`:                 "/config/url",
		`{"url":7}`:                             "/config/url",
		`{"default":{"url":"x"}}`:               "/config/default/url",
		`{"url":"http://h","method":"A B"}`:     "/config/method",
		`{"url":"http://h","method":"CONNECT"}`: "/config/method",
		`{"url":"http://h","headers":{"A":"x\r\nB: y"}}`:                        "/config/headers/A",
		`{"url":"http://h","headers":{"A\r\nB":"y"}}`:                           "/config/headers/A\r\nB",
		`{"url":"http://h","headers":{"Host":"other"}}`:                         "/config/headers/Host",
		`{"url":"http://h","headers":{"transfer-encoding":"chunked"}}`:          "/config/headers/transfer-encoding",
		`{"url":"http://h","headers":{"connection":"close"}}`:                   "/config/headers/connection",
		`{"url":"http://h","headers":{"A":["x"]}}`:                              "/config/headers/A",
		`{"url":"http://h","headers":"A: b"}`:                                   "/config/headers",
		`{"url":"http://h","query":{"a":{}}}`:                                   "/config/query/a",
		`{"url":"http://h","timeout":0}`:                                        "/config/timeout",
		`{"url":"http://h","timeout":"soon"}`:                                   "/config/timeout",
		`{"url":"http://h","output":"none"}`:                                    "/config/output",
		`{"url":"http://h","idempotency":"never"}`:                              "/config/idempotency",
		`{"url":"http://h","body":[1],"BODY_a":1}`:                              "/config/body",
		`{"url":"http://h","depends":"t","mapping":{"COOKIE_a":"x"}}`:           "/config/mapping/COOKIE_a",
		`{"url":"http://h","depends":"t","mapping":{"BODY_a":"x..y"}}`:          "/config/mapping/BODY_a",
		`{"url":"http://h","depends":"t","mapping":{"BODY_a":7}}`:               "/config/mapping/BODY_a",
		`{"url":"http://h","mapping":{"BODY_a":"x"}}`:                           "/config/depends",
		`{"url":"http://h","depends":"t","output":{"a":1}}`:                     "/config/depends",
		`{"url":"http://h","depends":"t","mapping":{"HEADER_a b":"x"}}`:         "/config/mapping/HEADER_a b",
		`{"url":"http://h","depends":"t","mapping":{"HEADER_Host":"response"}}`: "/config/mapping/HEADER_Host",
		`{"url":"http://h","HEADER_Cookie\n":"x"}`:                              "/config/HEADER_Cookie\n",
		`{"url":"http://h","default":{"headers":{"Proxy-Authorization":"x"}}}`:  "/config/default/headers/Proxy-Authorization",
	} {
		p := `{"config":` + config + `}`
		f := failure(t, nodetypes.Deps{HTTP: noClient{}}, t.Context(), params(p))
		require.Equal(t, "INVALID_CONFIG", f.Code, config)
		require.False(t, f.Retryable)
		require.Equal(t, `{"pointer":`+quote(pointer)+`}`, string(f.Details), config)
		require.True(t, strings.HasPrefix(f.Message, pointer+": "), f.Message)
		if config == `{"url":null}` { // in a definition, a secret may be hidden there
			continue
		}
		faults := check(t, "api_call", p)
		require.NotEmpty(t, faults, config)
		require.Equal(t, pointer, faults[0].Pointer)
	}
}

// A template puts no secret into a longer text, only its mask; a far side must not get that for a key.
func TestAPICall_AMaskIsNotSent(t *testing.T) {
	for config, pointer := range map[string]string{
		`{"url":"http://h/p?key=***a1db7d11&x=1"}`:                     "/config/url",
		`{"url":"http://h","headers":{"X-Auth":"Bearer ***a1db7d11"}}`: "/config/headers/X-Auth",
		`{"url":"http://h","query":{"q":"***a1db7d11"}}`:               "/config/query/q",
	} {
		f := failure(t, nodetypes.Deps{HTTP: noClient{}}, t.Context(), params(`{"config":`+config+`}`))
		require.Equal(t, "INVALID_CONFIG", f.Code, config)
		require.Equal(t, `{"pointer":`+quote(pointer)+`}`, string(f.Details), config)
		require.Contains(t, f.Message, "holds the mask of a secret")
	}
}

// A mapped value comes from a far side: it must not be able to add headers of its own.
func TestAPICall_MappedHeaderCannotSplitTheRequest(t *testing.T) {
	f := failure(t, nodetypes.Deps{HTTP: noClient{}}, t.Context(), params(
		`{"config":{"default":{"url":"http://h"}},"a":{"depends":"t","mapping":{"HEADER_A":"v"},"output":{"v":"x\r\nB: y"}}}`))
	require.Equal(t, "INVALID_CONFIG", f.Code)
	require.Equal(t, `{"pointer":"/a/mapping/HEADER_A"}`, string(f.Details))
}

func TestAPICall_MappedPathThatLeadsNowhere(t *testing.T) {
	for path, output := range map[string]string{"a.c": `{"a":{"b":1}}`, "a[1]": `{"a":[1]}`, "a[-1]": `{"a":[1]}`, "x": `"no json"`, "response.x": `[]`} {
		f := failure(t, nodetypes.Deps{HTTP: noClient{}}, t.Context(), params(
			`{"config":{"default":{"url":"http://h"}},"a":{"depends":"t","mapping":{"BODY_x":"`+path+`"},"output":`+output+`}}`))
		require.Equal(t, "MAPPING_FAILED", f.Code, path)
		require.Contains(t, f.Message, path)
		require.False(t, f.Retryable)
	}
}

// Before a run, references, templates and hidden secrets stand where values will be.
func TestAPICall_CheckPassesOverWhatIsNotKnownYet(t *testing.T) {
	for _, p := range []string{
		`{"config":{"url":{"input":"u"},"method":{"depends":"m"},"headers":{"Authorization":null,"A":{"input":"a"}}}}`,
		`{"config":{"url":"{{ input.url }}","method":"{{ m }}","timeout":"{{ t }}"}}`,
		`{"config":{"url":{"value":"https://example.com/"},"body":{"depends":"t"},"BODY_a":1}}`,
		`{"config":{"url":"http://h","headers":{"depends":"h"}}}`,
	} {
		require.Empty(t, check(t, "api_call", p), p)
	}
	faults := check(t, "api_call", `{"config":{"url":"x","method":"a b","headers":{"A":[]},"timeout":-1}}`)
	require.Len(t, faults, 4)
}

func check(t testing.TB, function, p string) []node.Fault {
	t.Helper()
	typ, ok := registry(t, nodetypes.Deps{}).Get(function)
	require.True(t, ok)
	return typ.Check(json.RawMessage(p))
}
