package nodetypes_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"quipu/commands/node"
	"quipu/commands/nodetypes"
)

var update = flag.Bool("update", false, "write docs/node-types.md anew")

const docsPage = "../../docs/node-types.md"

// The page of the node types is made from the registry: run this with -update after a change.
func TestDocs_NodeTypes(t *testing.T) {
	page := []byte(nodeTypesPage(t, registry(t, nodetypes.Deps{})))
	if *update {
		require.NoError(t, os.WriteFile(docsPage, page, 0o600))
	}
	have, err := os.ReadFile(docsPage)
	require.NoError(t, err)
	want, got := strings.Split(string(page), "\n"), strings.Split(string(have), "\n")
	for i := range min(len(want), len(got)) {
		require.Equal(t, want[i], got[i], "line %d; run go test ./commands/nodetypes -run Docs -update", i+1)
	}
	require.Len(t, got, len(want))
}

func nodeTypesPage(t *testing.T, r *node.Registry) string {
	var b strings.Builder
	b.WriteString("# Node types\n\nWhat a node of a stored workflow, or a task of run-dag, can be. This page is made from the registry, which also answers\n" +
		"`GET /api/node-types`, by `go test ./commands/nodetypes -run Docs -update`.\n\n" +
		"In run-dag the config stands in `params.config` and whatever a task takes beside it in `params`; in a stored workflow the\n" +
		"config is the node's, and texts in it may hold templates (`{{ nodes.fetch.body.id }}`).\n\n" +
		"Without a configured model, types that ask one are answered by a built-in provider: the same words give the same answer, for demos\nand tests.\n")
	for _, c := range node.Categories(r.Types()) {
		fmt.Fprintf(&b, "\n## %s\n", c.Name)
		for _, typ := range c.Types {
			writeType(t, &b, typ)
		}
	}
	return b.String()
}

func writeType(t *testing.T, b *strings.Builder, typ *node.Type) {
	fmt.Fprintf(b, "\n### %s\n\n%s\n\n", typ.Name, typ.Description)
	fmt.Fprintf(b, "%s · %s", typ.Title, typ.Kind)
	if len(typ.Aliases) > 0 {
		fmt.Fprintf(b, " · also `%s`", strings.Join(typ.Aliases, "`, `"))
	}
	if typ.Timeout > 0 {
		fmt.Fprintf(b, " · at most %s an attempt", typ.Timeout)
	}
	b.WriteString("\n\n")
	var schema struct {
		Required   []string                   `json:"required"`
		Properties map[string]json.RawMessage `json:"properties"`
	}
	if typ.Config != nil {
		require.NoError(t, json.Unmarshal(typ.Config, &schema))
		b.WriteString("| config | form | meaning |\n|---|---|---|\n")
	}
	for _, name := range order(t, typ.Config) {
		var p struct {
			Type        any             `json:"type"`
			Enum        []any           `json:"enum"`
			Default     json.RawMessage `json:"default"`
			Description string          `json:"description"`
		}
		require.NoError(t, json.Unmarshal(schema.Properties[name], &p))
		meaning := p.Description
		for _, required := range schema.Required {
			if required == name {
				meaning = strings.TrimSpace("Required. " + meaning)
			}
		}
		if p.Default != nil {
			meaning = strings.TrimSpace(meaning + " Default: `" + string(p.Default) + "`.")
		}
		fmt.Fprintf(b, "| `%s` | %s | %s |\n", name, form(p.Type, p.Enum), strings.ReplaceAll(meaning, "|", "\\|"))
	}
	for _, doc := range []struct {
		title string
		raw   json.RawMessage
	}{{"Takes", typ.Input}, {"Gives", typ.Output}} {
		if doc.raw != nil {
			fmt.Fprintf(b, "\n%s:\n\n```json\n%s\n```\n", doc.title, short(t, doc.raw))
		}
	}
	for _, e := range typ.Examples {
		fmt.Fprintf(b, "\n%s:\n\n```json\n%s\n```\n\ngives\n\n```json\n%s\n```\n", e.Title, indented(t, e.Params), indented(t, e.Output))
	}
}

// order are the properties as the schema writes them.
func order(t *testing.T, schema json.RawMessage) []string {
	dec := json.NewDecoder(bytes.NewReader(schema))
	var names []string
	depth, inside := 0, false
	for {
		token, err := dec.Token()
		if err != nil {
			return names
		}
		switch v := token.(type) {
		case json.Delim:
			if v == '{' || v == '[' {
				depth++
			} else if depth--; depth < 2 {
				inside = false
			}
		case string:
			if depth == 1 && v == "properties" {
				inside = true
			} else if depth == 2 && inside {
				names = append(names, v)
				var skip json.RawMessage
				require.NoError(t, dec.Decode(&skip))
			}
		}
	}
}

func form(typ any, enum []any) string {
	switch v := typ.(type) {
	case string:
		return v
	case []any:
		words := make([]string, len(v))
		for i := range v {
			words[i] = fmt.Sprint(v[i])
		}
		return strings.Join(words, " or ")
	}
	if len(enum) == 0 {
		return "any"
	}
	words := make([]string, len(enum))
	for i := range enum {
		words[i] = fmt.Sprintf("`%v`", enum[i])
	}
	return strings.Join(words, ", ")
}

// short is a schema without what every one of them has.
func short(t *testing.T, raw json.RawMessage) string {
	var doc map[string]any
	require.NoError(t, json.Unmarshal(raw, &doc))
	delete(doc, "$schema")
	b, err := json.Marshal(doc)
	require.NoError(t, err)
	return indented(t, b)
}

func indented(t *testing.T, raw json.RawMessage) string {
	var b bytes.Buffer
	require.NoError(t, json.Indent(&b, raw, "", "  "))
	return b.String()
}

// Examples are what they say: they keep to the schemas, pass the check, and, where neither a network nor a clock
// is needed, give that very output.
func TestDocs_ExamplesAreTrue(t *testing.T) {
	r := registry(t, nodetypes.Deps{})
	for _, typ := range r.Types() {
		require.NotEmpty(t, typ.Description, typ.Name)
		require.NotEmpty(t, typ.Category, typ.Name)
		require.NotEmpty(t, typ.Examples, typ.Name)
		output, err := node.NewGivenSchema(typ.Output)
		require.NoError(t, err, typ.Name)
		if typ.Input != nil {
			_, err = node.NewGivenSchema(typ.Input)
			require.NoError(t, err, typ.Name)
		}
		for _, e := range typ.Examples {
			config := json.RawMessage(`{}`)
			var p struct{ Config json.RawMessage }
			require.NoError(t, json.Unmarshal(e.Params, &p))
			if p.Config != nil {
				config = p.Config
			}
			require.Empty(t, typ.CheckConfig(config), "%s: %s", typ.Name, e.Title)
			if typ.Check != nil {
				require.Empty(t, typ.Check(e.Params), "%s: %s", typ.Name, e.Title)
			}
			faults, err := output.Check(e.Output)
			require.NoError(t, err)
			require.Empty(t, faults, "%s: %s", typ.Name, e.Title)
			if typ.Name == "api_call" || typ.Name == "a2a" || typ.Kind == node.Timer || typ.Kind == node.Wait || typ.WaitFor != nil {
				continue
			}
			call := node.Call{Function: typ.Name, Params: e.Params, Scope: &node.Scope{Input: json.RawMessage(`{"rows":[{"id":1},{"id":2}],"score":0.7,"state":"new"}`)}}
			runs := typ.Compute
			if !typ.Computed(e.Params) {
				runs = func(c node.Call) (node.Reply, error) { return typ.Run(t.Context(), c) }
			}
			reply, err := runs(call)
			require.NoError(t, err, "%s: %s", typ.Name, e.Title)
			require.JSONEq(t, string(e.Output), string(reply.Output), "%s: %s", typ.Name, e.Title)
		}
	}
}
