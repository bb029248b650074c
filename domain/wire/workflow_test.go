package wire_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"quipu/domain"
	"quipu/domain/wire"
	"quipu/domain/workflow"
)

type workflowSample struct {
	name  string
	event workflow.StoredEvent
}

func workflowSamples() []workflowSample {
	const id = "0190a0b0-0000-7000-8000-000000000002"
	graph := domain.Value{
		JSON: []byte(`{"nodes": [{"id":"call","type":"api_call","position":{"x":1.50,"y":-0},"data":{"config":{"url":"https://example.org/?a=1&b=<2>",` +
			`"headers":{"Authorization":null}}}}], "edges":[{"source":"start","target":"call","sourceHandle":"true"}],"viewport":{"zoom":1e400}}`),
		Holes: []domain.Hole{{At: "/nodes/0/data/config/headers/Authorization", Sealed: "s1", FP: "a1b2c3d4"}},
	}
	large := domain.Value{JSON: []byte("null"), Holes: []domain.Hole{{Blob: "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08", Bytes: 70000}}}
	secrets := []domain.Secret{{ID: "s1", FP: "a1b2c3d4", Ciphertext: "AAEC/+=="}}
	return []workflowSample{
		{"workflow.created.v1", workflow.Created{
			ID: id, Content: workflow.Content{Name: "Customer \"Support\"", Description: "sorts\ntickets", Endpoint: "shop-e66b8d23", Graph: graph}, Secrets: secrets,
		}},
		{"workflow.created.v1.least", workflow.Created{ID: id, Content: workflow.Content{Name: "n", Endpoint: "default", Graph: raw(`{"nodes":[],"edges":[]}`)}}},
		{"workflow.updated.v1", workflow.Updated{
			ID: id, Content: workflow.Content{Name: "Support/é", Description: "d", Endpoint: "default", Graph: large}, Secrets: secrets,
		}},
		{"workflow.deleted.v1", workflow.Deleted{ID: id}},
	}
}

func TestEncodeWorkflow_GoldenBytes(t *testing.T) {
	seen := map[string]bool{}
	for _, s := range workflowSamples() {
		typ, data := wire.EncodeWorkflow(s.event)
		seen[typ] = true
		require.True(t, strings.HasPrefix(s.name, typ), "%s encoded as %s", s.name, typ)
		golden(t, s.name+".golden.json", data)
		back, err := wire.DecodeWorkflow(typ, data)
		require.NoError(t, err, s.name)
		require.Empty(t, cmp.Diff(s.event, back), s.name)
	}
	for _, typ := range wire.WorkflowTypes() {
		require.True(t, seen[typ], typ)
		require.False(t, wire.EndsRun(typ))
	}
}

func TestDecodeWorkflow_RoundTrips(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.String()
		c := workflow.Content{
			Name: text.Draw(t, "name"), Description: text.Draw(t, "description"), Endpoint: text.Draw(t, "endpoint"),
			Graph: raw(rapid.SampledFrom(hostileJSON).Draw(t, "graph")),
		}
		id := text.Draw(t, "id")
		e := rapid.SampledFrom([]workflow.StoredEvent{
			workflow.Created{ID: id, Content: c}, workflow.Updated{ID: id, Content: c, Secrets: []domain.Secret{{ID: id, FP: c.Name}}}, workflow.Deleted{ID: id},
		}).Draw(t, "event")
		typ, data := wire.EncodeWorkflow(e)
		back, err := wire.DecodeWorkflow(typ, data)
		require.NoError(t, err)
		require.Empty(t, cmp.Diff(e, back))
	})
}

// An event this version cannot read must stop the fold, not vanish from it.
func TestDecodeWorkflow_RefusesWhatItDoesNotKnow(t *testing.T) {
	for _, typ := range []string{"workflow.created.v2", "workflow.published.v1", "run.started.v1", ""} {
		_, err := wire.DecodeWorkflow(typ, []byte(`{}`))
		require.ErrorIs(t, err, domain.ErrCorrupt)
		var e *domain.Error
		require.ErrorAs(t, err, &e)
		require.Equal(t, "UNKNOWN_EVENT", e.Code)
	}
	for _, s := range workflowSamples() {
		typ, data := wire.EncodeWorkflow(s.event)
		body := strings.TrimSuffix(string(data), "}")
		for name, bad := range map[string]string{
			"unknown field": body + `,"new_field":1}`, "cut": body, "empty": "", "array": "[]", "null": "null", "trailing": string(data) + "{}",
		} {
			_, err := wire.DecodeWorkflow(typ, []byte(bad))
			require.ErrorIs(t, err, domain.ErrCorrupt, "%s: %s", typ, name)
		}
	}
}
