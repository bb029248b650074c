package commands_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"quipu/commands"
	"quipu/commands/node"
	"quipu/commands/nodetypes"
	"quipu/commands/sealing"
	"quipu/domain"
	"quipu/domain/run"
	"quipu/domain/workflow"
	"quipu/infra/memory"
)

const ownSecret, clientSecret = "sk-of-the-workflow-0123456789", "sk-of-the-client-9876543210"

// forgeries are texts that a client makes of a mask that it has seen.
func forgeries(mask string) []string {
	return []string{
		mask, "Bearer " + mask, "\ufdd0" + mask + "\ufdd1", "Bearer \ufdd0" + mask + "\ufdd1",
		mask + mask, "***" + mask, "***\ufdd0***\ufdd1" + mask[3:], "***\ufdd0" + mask[3:],
	}
}

// A client that has seen the mask of a workflow's secret, and writes it wherever it can write, must
// never make the server send the secret to a place of its choosing.
func TestExecutor_MasksCannotBeForged(t *testing.T) {
	w := newWorld()
	seen := make(chan node.Call, 100)
	reply := "" // what the far side of "upstream" says
	upstream := effectFunc("upstream", func(context.Context, node.Call) (node.Reply, error) {
		b, err := json.Marshal(map[string]string{"said": reply})
		return node.Reply{Output: b}, err
	})
	e, _ := w.start(t, commands.Limits{}, append(nodetypes.All(nodetypes.Deps{HTTP: http.DefaultClient}), upstream, recorder(seen, `1`))...)
	mask := sealing.MaskOf(w.vault.Fingerprint([]byte(ownSecret)))
	pure := func(name, params string) workflow.Node {
		return workflow.Node{Name: name, Type: "transform", Params: domain.Raw([]byte(params)), Pure: true}
	}
	for name, nodes := range map[string][]workflow.Node{
		"by a template":            {templated("to", "record", `{"config":{"url":"{{ input.x }}","text":"at {{ input.x }}","Authorization":"Bearer {{ input.y }}"}}`)},
		"joined from pieces":       {templated("to", "record", `{"config":{"url":"{{ input.a + input.b }}","password":"x {{ input.a + input.b }}","token":"x {{ input.a }}{{ input.b }}"}}`)},
		"read from a text":         {templated("to", "record", `{"config":{"url":"{{ fromJSON(input.json) }}","body":"x {{ fromJSON(input.j + input.son) }}","at":"{{ fromJSON(input.j + input.son) }}"}}`)},
		"as a whole":               {templated("to", "record", `{"config":{"headers":"{{ input }}","url":"{{ nodes }}"}}`)},
		"by a pure node":           {pure("p", `{"config":{"expression":"input"},"x":{"input":"x"}}`), templated("to", "record", `{"config":{"url":"{{ output.x }}","token":"a {{ output.x }}"},"all":{"depends":"p"}}`)},
		"by a reply":               {{Name: "up", Type: "upstream", Params: domain.Raw([]byte(`{}`))}, templated("to", "record", `{"config":{"url":"{{ output.said }}","token":"a {{ output.said }}"},"all":{"depends":"up"}}`)},
		"by a reference":           {templated("to", "record", `{"config":{"n":"{{ 1 }}"},"Authorization":{"input":"x"},"password":{"input":"y"}}`)},
		"out of a client's secret": {templated("to", "record", `{"config":{"Authorization":"{{ input.password }}","token":"a {{ input.password }}"}}`)},
	} {
		for i, forged := range forgeries(mask) {
			reply = forged
			escaped, _ := json.Marshal(forged)
			in := map[string]string{
				"own_api_key": ownSecret, "x": forged, "y": "me " + forged, "password": "pw " + forged,
				"a": forged[:len(forged)/2], "b": forged[len(forged)/2:], "json": string(escaped), "j": `"\ufd`, "son": `d0` + mask + `\ufdd1"`,
			}
			input, err := json.Marshal(in)
			require.NoError(t, err)
			d := workflow.Definition{Nodes: nodes}
			for j := 1; j < len(nodes); j++ {
				d.Edges = append(d.Edges, workflow.Edge{Source: nodes[j-1].Name, Target: nodes[j].Name})
			}
			q := request(fmt.Sprint(name, i), d)
			q.Input = input
			out, err := e.StartRun(t.Context(), q)
			require.NoError(t, err, name)
			s, err := e.Await(t.Context(), out.RunID, 10*time.Second)
			require.NoError(t, err)
			require.Equal(t, run.PhaseCompleted, s.Phase, "%s %q: %+v", name, forged, s.Error)
			call := <-seen
			if name == "as a whole" {
				continue // it holds the secret in its own place
			}
			got, err := json.Marshal(call)
			require.NoError(t, err)
			var params map[string]any
			require.NoError(t, json.Unmarshal(call.Params, &params))
			if name == "by a pure node" {
				delete(params, "all")
				got, _ = json.Marshal(params)
			}
			require.NotContains(t, string(got), ownSecret, "%s: %q became the secret", name, forged)
		}
	}
}

// What is no forgery goes on as before, beside forged masks too.
func TestExecutor_SecretsPassBesideForgedMasks(t *testing.T) {
	w := newWorld()
	seen := make(chan node.Call, 10)
	e, _ := w.start(t, commands.Limits{}, append(nodetypes.All(nodetypes.Deps{HTTP: http.DefaultClient}), recorder(seen, `1`))...)
	mask := sealing.MaskOf(w.vault.Fingerprint([]byte(ownSecret)))
	q := request("r", workflow.Definition{
		Nodes: []workflow.Node{
			{Name: "p", Type: "transform", Params: domain.Raw([]byte(`{"config":{"expression":"[input.api_key, input.x, {\"k\": input.api_key}]"}}`)), Pure: true},
			templated("to", "record", `{"config":{"a":"{{ output[0] }}","b":"{{ output[1] }}","c":"{{ output[2].k }}","said":"{{ input.api_key }} and {{ input.x }}","Authorization":"Bearer {{ input.api_key }}:{{ input.x }}:{{ input.client_secret }}","all":"{{ input }}"}}`),
		},
		Edges: []workflow.Edge{{Source: "p", Target: "to"}},
	})
	q.Input = []byte(`{"api_key":"` + ownSecret + `","client_secret":"` + clientSecret + `","x":"` + mask + `"}`)
	out, err := e.StartRun(t.Context(), q)
	require.NoError(t, err)
	s, err := e.Await(t.Context(), out.RunID, 10*time.Second)
	require.NoError(t, err)
	require.Equal(t, run.PhaseCompleted, s.Phase, "%+v", s.Error)
	var got struct {
		Config struct {
			A, B, C, Said, Authorization string
			All                          map[string]string
		}
	}
	require.NoError(t, json.Unmarshal((<-seen).Params, &got))
	require.Equal(t, ownSecret, got.Config.A)
	require.Equal(t, mask, got.Config.B)
	require.Equal(t, ownSecret, got.Config.C)
	require.Equal(t, mask+" and "+mask, got.Config.Said)
	require.Equal(t, "Bearer "+ownSecret+":***?"+mask[3:]+":"+clientSecret, got.Config.Authorization)
	require.Equal(t, map[string]string{"api_key": ownSecret, "client_secret": clientSecret, "x": mask}, got.Config.All)
	for _, r := range stored(t, w.log) {
		require.NotContains(t, string(r.Data), "\ufdd0", r.Type)
		require.NotContains(t, string(r.Data), ownSecret, r.Type)
	}
}

func stored(t *testing.T, log *memory.Log) []domain.Recorded {
	t.Helper()
	all, err := log.ReadAll(t.Context(), 0, 1000)
	require.NoError(t, err)
	require.NotEmpty(t, all)
	return all
}
