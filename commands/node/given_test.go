package node_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"quipu/commands/node"
	"quipu/domain"
	"quipu/domain/rawjson"
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
	_, err = g.Check(json.RawMessage(`{"a":"` + strings.Repeat("x", 8*node.GivenWorkMax) + `"}`))
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
		`{"pattern":"[a-z]{1000}[a-z]{1000}[a-z]{1000}[a-z]{1000}[a-z]{1000}"}`: "more than 5000 steps",
		`{"pattern":"` + strings.Repeat("a", node.PatternBytesMax+1) + `"}`:     "at most 1000",
		`{"patternProperties":{"` + strings.Repeat("\\\\pL", 300) + `":true}}`:  "more than 5000 steps",
		`{"minimum":1e999999}`:     "too large",
		`{"multipleOf":1e-999999}`: "too small",
		`{"$schema":"http://json-schema.org/draft-04/schema#","id":"urn:x"}`:           "$schema must be",
		`{"items":{"$schema":"http://json-schema.org/draft-04/schema#"}}`:              "at the top only",
		`{"$ref":"#/$defs/a","$defs":{"a":{"properties":{"x":{"$ref":"#/$defs/a"}}}}}`: "circle",
		`{"items":{"$ref":"#"}}`:        "circle",
		`{"$ref":"file:///etc/passwd"}`: "place in the schema",
		`{"$ref":"#name"}`:              "place in the schema",
		`{"$ref":"#/nowhere"}`:          "leads to nothing",
		`{"$id":"urn:x"}`:               "$id is not supported",
		`{"$dynamicRef":"#x"}`:          "is not supported",
		`{"type":"nonsense"}`:           "no valid JSON Schema",
		`{"pattern":"("}`:               "no valid regular expression",
		`[]`:                            "must be a JSON Schema",
		`{"enum":["` + strings.Repeat("x", node.GivenSchemaBytesMax) + `"]}`: "longer than",
	} {
		_, err := node.NewGivenSchema(json.RawMessage(schema))
		require.ErrorContains(t, err, why, schema[:min(len(schema), 100)])
	}
}

// What takes longest is a document that breaks every rule everywhere; beyond the bound it is not begun.
// Each of these took seconds to minutes when only the bytes were counted.
func TestGivenSchema_TheWorkIsBounded(t *testing.T) {
	list := func(item string, n int) string { return strings.TrimSuffix(strings.Repeat(item+",", n), ",") }
	items := func(item string, n int) string { return "[" + list(item, n) + "]" }
	long := strings.Repeat("x", 60_000)
	for name, c := range map[string]struct{ schema, within, over string }{
		"never true":   {`{"items":{"allOf":[` + list("false", 900) + `]}}`, items("5", 100), items("5", 400)},
		"numbers":      {`{"items":{"allOf":[` + list(`{"minimum":9,"maximum":0}`, 300) + `]}}`, items("5", 100), items("5", 4_000)},
		"long enum":    {`{"items":{"enum":["` + long + `"]}}`, items(`"5"`, 100), items(`"5"`, 1_000)},
		"pattern":      {`{"items":{"pattern":"^[a-z]{1,900}Y[a-z]{1,900}$"}}`, `["` + long[:1_000] + `"]`, `["` + long + `"]`},
		"names":        {`{"items":{"propertyNames":{"allOf":[` + list(`{"minLength":9}`, 200) + `]}}}`, items(`{"a":1}`, 50), items(`{"a":1}`, 4_000)},
		"expressions":  {`{"items":{"format":"regex"}}`, items(`"[a"`, 100), items(`"[a"`, 4_000)},
		"unique items": {`{"uniqueItems":true,"maxItems":1}`, items("[[1],1]", 100), items("[[1],1],[[1,1]]", 2_000)},
		"no rule":      {`{"type":"object"}`, items("1", 1_000), items("1", 200_000)},
	} {
		g, err := node.NewGivenSchema(json.RawMessage(c.schema))
		require.NoError(t, err, name)
		faults, err := g.Check(json.RawMessage(c.within))
		require.NoError(t, err, name)
		require.NotEmpty(t, faults, name)
		require.LessOrEqual(t, len(faults), node.FaultsMax)
		for _, f := range faults {
			require.Less(t, len(f.Message), 2_200, name) // a long enum is not quoted whole
		}
		_, err = g.Check(json.RawMessage(c.over))
		require.ErrorContains(t, err, "more than can be checked", name)
	}
}

// Scalars are told apart by their hash: many of them may have to be unique.
func TestGivenSchema_ManyUniqueTexts(t *testing.T) {
	g, err := node.NewGivenSchema(json.RawMessage(`{"uniqueItems":true,"items":{"type":"string"}}`))
	require.NoError(t, err)
	var texts []string
	for i := range 5_000 {
		texts = append(texts, fmt.Sprintf(`"%d"`, i))
	}
	faults, err := g.Check(json.RawMessage("[" + strings.Join(texts, ",") + "]"))
	require.NoError(t, err)
	require.Empty(t, faults)
}

// Whatever a schema and a document are, the check ends, says where each fault is, and says the same twice.
func FuzzGivenSchema(f *testing.F) {
	for _, schema := range []string{
		`{"type":"object","required":["a"],"properties":{"a":{"$ref":"#/$defs/n"}},"$defs":{"n":{"type":"integer","minimum":1}}}`,
		`{"items":{"pattern":"^[a-z]{1,9}$","minLength":2},"uniqueItems":true,"contains":{"const":1},"maxContains":0}`,
		`{"patternProperties":{"^x":{"format":"date-time"}},"additionalProperties":false,"propertyNames":{"maxLength":1}}`,
		`{"anyOf":[{"oneOf":[true,false]},{"not":{}}],"unevaluatedProperties":false,"if":{"type":"array"},"then":false}`,
		`{"enum":["a",1,[1,{"b":null}]],"multipleOf":0.1,"dependentRequired":{"a":["b"]},"minItems":1e3}`,
		`{"$schema":"http://json-schema.org/draft-07/schema#","items":[{"const":5}],"additionalItems":false}`,
		`false`, `{"format":"regex"}`, `{"pattern":"(a{1,1000}){1,1000}"}`, `{"$ref":"#"}`, `{"minimum":1e999999}`,
	} {
		for _, document := range []string{`{"a":0,"xy":"2020"}`, `["ab","ab",1,[1],[[1]],1.0]`, `"(\\pL"`, `1e999999`, `{`} {
			f.Add([]byte(schema), []byte(document))
		}
	}
	f.Fuzz(func(t *testing.T, schema, document []byte) {
		if rawjson.Check(schema, domain.JSONDepthMax) != nil {
			return // the intake has refused it
		}
		g, err := node.NewGivenSchema(schema)
		if err != nil {
			require.Less(t, len(err.Error()), 300)
			return
		}
		faults, err := g.Check(document)
		if err != nil {
			require.ErrorContains(t, err, "more than can be checked")
			return
		}
		require.LessOrEqual(t, len(faults), node.FaultsMax)
		for _, fault := range faults {
			require.NotEmpty(t, fault.Message)
			require.True(t, fault.Pointer == "" || fault.Pointer[0] == '/', fault.Pointer)
			require.True(t, utf8.ValidString(fault.Message))
		}
		again, err := g.Check(document)
		require.NoError(t, err)
		require.Equal(t, len(faults) == 0, len(again) == 0)
	})
}
