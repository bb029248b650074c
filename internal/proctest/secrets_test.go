package proctest

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf16"

	"github.com/stretchr/testify/require"
)

// spellings are the forms in which the far side sends a secret back.
func spellings(secret string) map[string]string {
	var escaped strings.Builder
	for _, c := range utf16.Encode([]rune(secret)) {
		fmt.Fprintf(&escaped, `\u%04x`, c)
	}
	return map[string]string{
		"plain": secret, "JSON": strings.ReplaceAll(strings.Trim(quoted(secret), `"`), "/", `\/`), "JSON in full": escaped.String(),
		"percent": url.QueryEscape(secret), "percent path": url.PathEscape(secret),
		"base64": base64.StdEncoding.EncodeToString([]byte(secret)), "base64 URL": base64.RawURLEncoding.EncodeToString([]byte(secret)),
	}
}

// traces are the forms in which a secret may be found afterwards.
func traces(secret string) map[string]string {
	all := spellings(secret)
	all["JSON in a string"] = strings.ReplaceAll(all["JSON in full"], `\`, `\\`)
	// What base64 of "user:secret" or "Bearer secret" shares, wherever the groups of three fall.
	for lead := 1; lead <= 2; lead++ {
		in := base64.StdEncoding.EncodeToString([]byte("xx"[:lead] + secret))
		all[fmt.Sprintf("base64 after %d", lead)] = in[4 : (len(secret)+lead)/3*4-4]
	}
	return all
}

// Whoever reads the log, a frame, an answer or a backup must not find a secret there, in whatever
// way it came in or came back; the far side must get the real one.
func TestSecrets_AreFoundNowhere(t *testing.T) {
	secrets := map[string]string{
		"config": `sk-config/+"Ab12&=é`, "header": "hdr-Zx9%Q+/==~secret", "input": "in-0123456789/abc+DEF",
		"upstream": "up-token-ÄÖ-77aa88bb", "blob": "blob-secret-4242-xyz/!", "llm": "sk-process-wide-key-1234",
	}
	stub := NewStub(t)
	config := filepath.Join(t.TempDir(), "quipu.json")
	require.NoError(t, os.WriteFile(config, []byte(`{"llm_api_key":`+quoted(secrets["llm"])+`,"llm_base_url":"`+stub.URL+`/v1","llm_model":"m"}`), 0o600))
	// Gives a token away, which then flows into a secret key.
	stub.Handle("/login", func(w http.ResponseWriter, _ *http.Request, _ *Call) {
		_, _ = fmt.Fprint(w, quoted(secrets["upstream"]))
	})
	// Sends everything back that it should keep to itself, in many forms.
	echo := func(status int, asKey bool) func(http.ResponseWriter, *http.Request, *Call) {
		return func(w http.ResponseWriter, _ *http.Request, c *Call) {
			w.Header().Set("X-Echo", secrets["config"][:10])
			w.WriteHeader(status)
			list := []string{string(c.Body)}
			for _, s := range secrets {
				for _, form := range spellings(s) {
					list = append(list, "seen "+form+" there")
				}
				list = append(list, "Basic "+base64.StdEncoding.EncodeToString([]byte("user:"+s)))
			}
			answer := map[string]any{"list": list, "open": "nothing to hide"}
			if asKey {
				answer[list[0]] = "as a key"
			}
			b, _ := json.Marshal(answer)
			_, _ = w.Write(b)
		}
	}
	stub.Handle("/echo", echo(200, false))
	stub.Handle("/echokey", echo(200, true))
	stub.Handle("/echofail", echo(422, false))
	// A model that quotes the key of the process, as some do when they refuse it.
	stub.Handle("/v1", func(w http.ResponseWriter, r *http.Request, c *Call) {
		if bytes.Contains(c.Body, []byte("refuse")) {
			w.WriteHeader(http.StatusUnauthorized)
			_, _ = fmt.Fprintf(w, `{"error":{"message":%s}}`, quoted("incorrect key: "+r.Header.Get("Authorization")))
			return
		}
		_, _ = fmt.Fprintf(w, `{"id":"1","model":"m","choices":[{"index":0,"message":{"role":"assistant","content":%s}}]}`, quoted("heard "+r.Header.Get("Authorization")))
	})
	stub.Handle("/agentecho", func(w http.ResponseWriter, r *http.Request, _ *Call) {
		_, _ = fmt.Fprintf(w, `{"response":%s}`, quoted("your key is "+r.Header.Get("X-Api-Key")))
	})
	with := func(name, path string, headers, siblings map[string]any) task {
		c := call(name, stub.URL+path, siblings)
		c.Params["config"].(map[string]any)["headers"] = headers
		return c
	}
	// All secrets are in each definition, so that each is known to the run.
	plant := func(path string) []task {
		return []task{
			{Name: "agent", Function: "call_lyzr_agent", Params: map[string]any{
				"config": map[string]any{"agent_id": "a", "api_key": secrets["config"], "api_url": stub.URL + "/agentecho"}, "message": "hello",
			}},
			call("login", stub.URL+"/login", map[string]any{"user": "u"}),
			with("use", path, map[string]any{"Authorization": secrets["header"], "X-Api-Key": secrets["config"], "X-Trace": "open"},
				map[string]any{"password": map[string]any{"input": "pw"}, "access_token": depends("login"), "from_agent": depends("agent")}),
			{Name: "model", Function: "agent", Params: map[string]any{"config": map[string]any{"agent_name": "n"}, "message": "hello"}},
			noop("pass", depends("use")),
			noop("again", map[string]any{"nested": []any{map[string]any{"client_secret": secrets["config"]}}}, "pass"),
		}
	}
	inputs := map[string]any{"pw": secrets["input"], "big": strings.Repeat("padding ", 10_000) + secrets["blob"], "db_password": secrets["blob"]}
	s := Start(t, Options{Args: []string{"--config", config, "--log-level", "debug"}})
	c := s.Client()
	var shown bytes.Buffer // all that the server ever said to anybody

	for _, path := range []string{"/echo", "/echokey", "/echofail", "/refuse", "/nowhere?token=" + url.QueryEscape(secrets["header"])} {
		name := fmt.Sprintf("run of %.5s", path[1:])
		socket := s.Open(t, "secrets", name, "")
		tasks := append(plant(path), noop("big", map[string]any{"input": "big"}))
		if path == "/refuse" {
			tasks = append(tasks, task{Name: "refused", Function: "agent", Params: map[string]any{"config": map[string]any{}, "message": "refuse"}})
		}
		body := dag("secrets", name, inputs, tasks...)
		r := c.Must(t, http.MethodPost, "/run-dag/", body)
		require.Equal(t, 200, r.Status, string(r.Body))
		shown.Write(r.Body)
		var started Started
		require.NoError(t, r.JSON(&started))
		for _, f := range socket.ToEnd(t) {
			shown.Write(f.Raw)
			shown.WriteByte('\n')
		}
		status, raw := c.End(t, started.TaskID)
		shown.Write(raw)
		require.Equal(t, map[bool]string{true: "completed", false: "failed"}[strings.HasPrefix(path, "/echo") && path != "/echofail"], status.Status, string(raw))
	}
	// Refused requests must not quote what they held.
	for _, body := range [][]byte{
		dag("secrets", "bad", inputs, append(plant("/echo"), task{Name: "x", Function: "unknown_fn", Params: map[string]any{"api_key": secrets["config"]}})...),
		dag("workflows", "bad", inputs, plant("/echo")...),
		[]byte(`{"flow_name":"f","tasks":[{"name":"a","function":"bench_noop","params":{"config":{"api_key":` + quoted(secrets["config"]) + `},"api_key":` + quoted(secrets["config"]) + `,"api_key":1}}]}`),
		[]byte(`{"flow_name":"f","tasks":[],"default_inputs":{"password":` + quoted(secrets["input"])),
	} {
		r := c.Must(t, http.MethodPost, "/run-dag/", body)
		require.GreaterOrEqual(t, r.Status, 400, string(r.Body))
		require.Less(t, r.Status, 500, string(r.Body))
		shown.Write(r.Body)
	}
	shown.Write(c.Must(t, http.MethodGet, "/metrics", nil).Body)
	shown.Write(c.Must(t, http.MethodGet, "/health/ready", nil).Body)

	// A restart opens what was sealed.
	s.Kill()
	shown.WriteString(s.Output())
	s = Start(t, Options{Data: s.Data, Args: []string{"--config", config, "--log-level", "debug"}})
	for _, f := range s.Open(t, "secrets", "run of echo", "from=0").ToEnd(t) {
		shown.Write(f.Raw)
	}
	s.Stop()
	shown.WriteString(s.Output())

	require.Contains(t, shown.String(), `"***`, "nothing was masked")
	require.Contains(t, shown.String(), "nothing to hide", "more was sealed than had to be")
	places := map[string][]byte{"what the server said": shown.Bytes()}
	require.NoError(t, filepath.WalkDir(s.Data, func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			places[path], err = os.ReadFile(path)
		}
		return err
	}))
	require.Greater(t, len(places), 3)
	for which, secret := range secrets {
		for form, text := range traces(secret) {
			for place, content := range places {
				if at := bytes.Index(content, []byte(text)); at >= 0 {
					t.Errorf("secret %q stands in %s as %s: …%s…", which, place, form, content[max(0, at-200):min(len(content), at+len(text)+20)])
				}
			}
		}
	}
	told := map[string]bool{}
	for _, call := range stub.Calls() {
		told["header"] = told["header"] || call.Header.Get("Authorization") == secrets["header"]
		told["config"] = told["config"] || call.Header.Get("X-Api-Key") == secrets["config"] && strings.HasPrefix(call.URL, "/agentecho")
		told["input"] = told["input"] || bytes.Contains(call.Body, []byte(quoted(secrets["input"])))
		told["llm"] = told["llm"] || call.Header.Get("Authorization") == "Bearer "+secrets["llm"]
		told["upstream"] = told["upstream"] || bytes.Contains(call.Body, []byte(quoted(secrets["upstream"])))
	}
	require.Equal(t, map[string]bool{"header": true, "config": true, "input": true, "upstream": true, "llm": true}, told, "what the far side got in clear")
}
