package node_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"quipu/commands/node"
)

func TestGivenSchema_Checks(t *testing.T) {
	g, err := node.NewGivenSchema(json.RawMessage(`{"$schema":"https://json-schema.org/draft/2020-12/schema","type":"object","required":["a"],` +
		`"properties":{"a":{"$ref":"#/$defs/n"},"b":{"$ref":"#/$defs/n"},"$ref":{"type":"string"}},"$defs":{"n":{"type":"integer","minimum":1}}}`))
	require.NoError(t, err)
	for document, want := range map[string]string{
		`{"a":1,"b":2}`:   "",
		`{"a":"{{ x }}"}`: "/a must be of type integer", // a text with braces is a text here
		`{"b":0}`:         "/a is required /b must be at least 1",
		`[]`:              " must be of type object",
	} {
		faults, err := g.Check(json.RawMessage(document))
		require.NoError(t, err)
		var got []string
		for _, f := range faults {
			got = append(got, f.Pointer+" "+f.Message)
		}
		require.ElementsMatch(t, strings.Fields(want), strings.Fields(strings.Join(got, " ")), document)
	}
	_, err = g.Check(json.RawMessage(`{"a":"` + strings.Repeat("x", node.GivenWorkMax) + `"}`))
	require.ErrorContains(t, err, "more than can be checked")
}

// What refers twice to what refers twice is small as a text and without end as work.
func TestGivenSchema_RefusesWhatHasNoBound(t *testing.T) {
	doubling := `{"$ref":"#/$defs/d0","$defs":{`
	for i := range 40 {
		doubling += fmt.Sprintf(`"d%d":{"allOf":[{"$ref":"#/$defs/d%d"},{"$ref":"#/$defs/d%d"}]},`, i, i+1, i+1)
	}
	doubling += `"d40":{"type":"object"}}}`
	for schema, why := range map[string]string{
		doubling: "references written out",
		`{"$ref":"#/$defs/a","$defs":{"a":{"properties":{"x":{"$ref":"#/$defs/a"}}}}}`: "circle",
		`{"items":{"$ref":"#"}}`:        "circle",
		`{"$ref":"file:///etc/passwd"}`: "place in the schema",
		`{"$ref":"#name"}`:              "place in the schema",
		`{"$ref":"#/nowhere"}`:          "leads to nothing",
		`{"$id":"urn:x"}`:               "$id is not supported",
		`{"$dynamicRef":"#x"}`:          "is not supported",
		`{"type":"nonsense"}`:           "no valid JSON Schema",
		`{"pattern":"("}`:               "no valid JSON Schema",
		`[]`:                            "must be a JSON Schema",
		`{"enum":["` + strings.Repeat("x", node.GivenSchemaBytesMax) + `"]}`: "longer than",
	} {
		_, err := node.NewGivenSchema(json.RawMessage(schema))
		require.ErrorContains(t, err, why, schema[:min(len(schema), 100)])
	}
}

// What takes longest is a document that breaks every rule everywhere; beyond the bound it is not begun.
func TestGivenSchema_TheWorkIsBounded(t *testing.T) {
	all := strings.TrimSuffix(strings.Repeat(`{"minimum":1,"maximum":0},`, 300), ",")
	g, err := node.NewGivenSchema(json.RawMessage(`{"items":{"allOf":[` + all + `]}}`))
	require.NoError(t, err)
	items := func(n int) json.RawMessage {
		return json.RawMessage("[" + strings.TrimSuffix(strings.Repeat("5,", n), ",") + "]")
	}
	faults, err := g.Check(items(200))
	require.NoError(t, err)
	require.Len(t, faults, node.FaultsMax)
	_, err = g.Check(items(4_000))
	require.ErrorContains(t, err, "more than can be checked")
}
