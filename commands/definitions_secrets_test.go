package commands_test

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"quipu/commands"
	"quipu/commands/sealing"
	"quipu/domain"
	"quipu/domain/run"
)

// A secret is in clear nowhere but in the request that needs it; its mask keeps it.
func TestDefinitions_Secrets(t *testing.T) {
	const secret, other = "sk-live-0123456789abcdef", "sk-other-9876543210"
	far := newFarSide(t)
	l := newLibrary(t, newWorld())
	graph := func(key string) string {
		return callGraph(far.URL, `,"body":"x","headers":{"Authorization":`+string(mustJSON(key))+`}`)
	}
	w, err := l.Create(t.Context(), l.change(t, "n", graph(secret)), somebody)
	require.NoError(t, err)
	shown := l.shown(t, w)
	require.NotContains(t, shown, secret)
	var mask string
	require.NoError(t, json.Unmarshal([]byte(shown[strings.Index(shown, `"***`):][:13]), &mask))
	_, isMask := sealing.ParseMask(mask)
	require.True(t, isMask, shown)

	execute := func() {
		t.Helper()
		out, err := l.Execute(t.Context(), w.ID, commands.RunInput{Input: []byte(`{}`)}, somebody)
		require.NoError(t, err)
		require.Equal(t, run.PhaseCompleted, l.await(t, out.RunID).Phase)
	}
	execute()
	renamed := l.change(t, "renamed", shown) // what a client read and sends back
	w2, err := l.Update(t.Context(), w.ID, renamed, somebody)
	require.NoError(t, err)
	require.Equal(t, shown, l.shown(t, w2))
	require.Len(t, w2.Secrets, 1)
	execute()
	_, err = l.Update(t.Context(), w.ID, l.change(t, "renamed", graph(other)), somebody)
	require.NoError(t, err)
	execute()
	back, err := l.Update(t.Context(), w.ID, l.change(t, "renamed", graph(mask)), somebody)
	require.NoError(t, err)
	require.Len(t, back.Secrets, 2)
	execute()
	require.Equal(t, []string{"POST " + secret + " x", "POST " + secret + " x", "POST " + other + " x", "POST " + secret + " x"}, far.seen())

	_, err = l.Update(t.Context(), w.ID, l.change(t, "n", graph("***00000000")), somebody)
	var e *domain.Error
	require.ErrorAs(t, err, &e)
	require.Equal(t, domain.KindUnprocessable, e.Kind)
	require.Equal(t, "UNKNOWN_MASK", e.Code)
	require.Equal(t, "/definition/nodes/1/data/config/headers/Authorization", e.Field)

	all, err := l.world.log.ReadAll(t.Context(), 0, 1000)
	require.NoError(t, err)
	for _, r := range all {
		for _, s := range []string{secret, other} {
			require.False(t, bytes.Contains(r.Data, []byte(s)) || bytes.Contains(r.Metadata, []byte(s)), "%s %d %s", r.Stream, r.Revision, r.Type)
		}
	}
}

// What a template passes under a secret key is a secret wherever it comes from, though no key of its
// source says so.
func TestDefinitions_TemplatesUnderSecretKeys(t *testing.T) {
	const secret = "plain-words-0123456789"
	far := newFarSide(t)
	secrets := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, `{"given":"`+secret+`"}`)
	}))
	t.Cleanup(secrets.Close)
	l := newLibrary(t, newWorld())
	for name, c := range map[string]struct{ template, before, input string }{
		"input by name":        {"{{ input.k }}", "bench_noop", `{"k":"` + secret + `"}`},
		"input by index":       {`{{ input["a b"] }}`, "bench_noop", `{"a b":"` + secret + `"}`},
		"input by call":        {`{{ input.get("k") }}`, "bench_noop", `{"k":"` + secret + `"}`},
		"output of the source": {"{{ output.body.given }}", "api_call", `{}`},
		"field of the source":  {"{{ body.given }}", "api_call", `{}`},
		"node by name":         {"{{ nodes.first.body.given }}", "api_call", `{}`},
		"beside a scheme":      {"Bearer {{ input.k }}", "bench_noop", `{"k":"` + secret + `"}`},
		"joined to a scheme":   {`{{ "Bearer " + output.body.given }}`, "api_call", `{}`},
		"through a pure node":  {"{{ output.k }}", "transform", `{"k":"` + secret + `"}`},
	} {
		config := map[string]string{"bench_noop": `{}`, "api_call": `{"url":` + string(mustJSON(secrets.URL)) + `}`, "transform": `{"expression":"input"}`}[c.before]
		graph := `{"nodes":[{"id":"in","type":"trigger"},{"id":"first","type":"` + c.before + `","data":{"config":` + config + `}},
			{"id":"call","type":"api_call","data":{"config":{"url":` + string(mustJSON(far.URL)) + `,"headers":{"Authorization":` + string(mustJSON(c.template)) + `}}}},
			{"id":"out","type":"end"}],"edges":[{"source":"in","target":"first"},{"source":"first","target":"call"},{"source":"call","target":"out"}]}`
		w, err := l.Create(t.Context(), l.change(t, "n", graph), somebody)
		require.NoError(t, err, name)
		require.Equal(t, graph, l.shown(t, w), "a template is no secret")
		out, err := l.Execute(t.Context(), w.ID, commands.RunInput{Input: []byte(c.input)}, somebody)
		require.NoError(t, err, name)
		l.output(t, l.await(t, out.RunID), "call")
		seen := far.seen()
		require.Equal(t, "POST "+secret+" ", strings.Replace(seen[len(seen)-1], "Bearer ", "", 1), name)
	}
	all, err := l.world.log.ReadAll(t.Context(), 0, 1000)
	require.NoError(t, err)
	for _, r := range all {
		require.False(t, bytes.Contains(r.Data, []byte(secret)), "%s %d %s %s", r.Stream, r.Revision, r.Type, r.Data)
	}
}

// Somebody who reads masks and may change a workflow must not get its secrets by moving a mask to where
// it is sent or shown as something else.
func TestDefinitions_MovedMasksAreRefused(t *testing.T) {
	const secret = "sk-live-0123456789abcdef"
	l := newLibrary(t, newWorld())
	// The secret stands in the body too, where no key says that it is one.
	graph := func(body, key string) string {
		return callGraph("https://example.org", `,"body":`+string(mustJSON(body))+`,"headers":{"Authorization":`+string(mustJSON(key))+`}`)
	}
	w, err := l.Create(t.Context(), l.change(t, "n", graph("said "+secret, secret)), somebody)
	require.NoError(t, err)
	var config struct {
		Nodes []struct {
			Data struct {
				Config struct {
					Body    string
					Headers struct{ Authorization string }
				}
			}
		}
	}
	require.NoError(t, json.Unmarshal([]byte(l.shown(t, w)), &config))
	bodyMask, keyMask := config.Nodes[1].Data.Config.Body, config.Nodes[1].Data.Config.Headers.Authorization
	require.NotEqual(t, bodyMask, keyMask)

	swapped := func(graph string) string {
		first, second := graph[strings.Index(graph, `{"id":"in"`):strings.Index(graph, `,
  {"id":"call"`)], graph[strings.Index(graph, `{"id":"call"`):strings.Index(graph, `,
  {"id":"out"`)]
		return strings.NewReplacer(first, second, second, first).Replace(graph)
	}
	moved := swapped(graph(bodyMask, keyMask))
	require.Less(t, strings.Index(moved, `"id":"call"`), strings.Index(moved, `"id":"in"`))
	w, err = l.Update(t.Context(), w.ID, l.change(t, "n", moved), somebody)
	require.NoError(t, err, "a node may change its place")
	require.Len(t, w.Secrets, 2)
	require.Equal(t, moved, l.shown(t, w))

	refused := func(graph string) {
		t.Helper()
		_, err := l.Update(t.Context(), w.ID, l.change(t, "n", graph), somebody)
		var e *domain.Error
		require.ErrorAs(t, err, &e)
		require.Equal(t, domain.KindUnprocessable, e.Kind)
		require.Equal(t, "MASK_MOVED", e.Code)
		require.Equal(t, "/definition/nodes/1/data/config/body", e.Field)
	}
	refused(graph(keyMask, keyMask))
	refused(strings.Replace(graph(bodyMask, keyMask), `"call"`, `"another"`, -1))

	_, err = l.Update(t.Context(), w.ID, l.change(t, "n", graph("x", "")), somebody)
	require.NoError(t, err)
	refused(graph(bodyMask, "")) // also when no secret is left to compare with
	back, err := l.Update(t.Context(), w.ID, l.change(t, "n", graph("x", keyMask)), somebody)
	require.NoError(t, err, "a key that names a secret takes one back")
	require.Contains(t, l.shown(t, back), keyMask)
}
