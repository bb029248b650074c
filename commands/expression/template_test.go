package expression_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"quipu/commands/expression"
	"quipu/commands/node"
	"quipu/domain/rawjson"
)

func templateScope() node.Scope {
	return node.Scope{
		Output: json.RawMessage(`{"name":"Kim","rows":[1,{"a":"b"}],"n":1e400,"quoted":"say \"{{ x }}\"","nodes":"hidden"}`),
		Nodes:  map[string]json.RawMessage{"first step": json.RawMessage(`{"ok":true}`)},
		Input:  json.RawMessage(`{"topic":"tea","big":9007199254740993}`),
	}
}

// rendered is doc with its templates evaluated.
func rendered(t testing.TB, doc string) (string, error) {
	t.Helper()
	tpl, err := expression.ParseTemplates([]byte(doc))
	if err != nil || tpl == nil {
		return doc, err
	}
	places, err := tpl.Render(templateScope())
	if err != nil {
		return "", err
	}
	edits := make([]rawjson.Edit, len(places))
	for i, p := range places {
		at, ok := rawjson.Get([]byte(doc), p.Pointer)
		require.True(t, ok, p.Pointer)
		require.Equal(t, doc[p.Start:p.End], string(at))
		edits[i] = rawjson.Edit{Start: p.Start, End: p.End, New: p.JSON}
	}
	return string(rawjson.Splice([]byte(doc), edits)), nil
}

func TestTemplates_Render(t *testing.T) {
	for doc, want := range map[string]string{
		`"{{ name }}"`:                                `"Kim"`,
		`{"a":["{{output.rows}}"]}`:                   `{"a":[[1,{"a":"b"}]]}`,
		`"{{ n }}"`:                                   `1e400`,
		`"n is {{ n }}"`:                              `"n is 1e400"`,
		`"{{ input.big }} of {{input.topic}}"`:        `"9007199254740993 of tea"`,
		`"{{ missing }}"`:                             `null`,
		`"<{{ missing }}|{{ rows }}|{{ True }}>"`:     `"<null|[1,{\"a\":\"b\"}]|true>"`,
		`"{{ nodes[\"first step\"].ok }}"`:            `true`,
		`"{{ {\"k\": {\"d\": name}} }}"`:              `{"k":{"d":"Kim"}}`,
		`"{{{\"k\":1}}}"`:                             `{"k":1}`,
		`"{{ \"}}\" }}{{ '{{' }}"`:                    `"}}{{"`,
		`"{{ quoted }}"`:                              `"say \"{{ x }}\""`,
		`"> {{ quoted }}"`:                            `"> say \"{{ x }}\""`,
		`" {{ name }}"`:                               `" Kim"`,
		`"\u007b\u007b name }}"`:                      `"Kim"`,
		`"a } b { c }} d {"`:                          `"a } b { c }} d {"`,
		`{"{{ name }}":"{{ name }}"}`:                 `{"{{ name }}":"Kim"}`,
		`[null,7,"{{ len(rows) }}", "x"]`:             `[null,7,2, "x"]`,
		`"{{ filter(rows, # == 1) }}{{ # }}"`:         ``,
		`"{{ let x = 1; x }} {{ x }}"`:                `"1 null"`,
		`"{{ name.get('x', 'y') }}"`:                  ``,
		`"{{ upper(name) }}, {{ output.rows[1].a }}"`: `"KIM, b"`,
	} {
		got, err := rendered(t, doc)
		if want == "" {
			require.Error(t, err, doc)
			continue
		}
		require.NoError(t, err, doc)
		require.Equal(t, want, got, doc)
	}
}

// A wrong template is told by place, expression and token, at once and all together.
func TestCheckTemplates_NamesPlaceAndToken(t *testing.T) {
	faults := expression.CheckTemplates([]byte(`{"url":"{{ now() }}","ok":"{{ a }}","deep":[{"x/y":"a {{ b ^ 2 }}"}],"open":"{{ \"}}\"","empty":"{{ }}","k":"}}"}`))
	require.Len(t, faults, 4)
	for i, want := range []struct{ pointer, text string }{
		{"/url", `{{ now() }}: at character 2 ("now"): unknown function`}, {"/deep/0/x~1y", `"^"`}, {"/open", "has no }}"}, {"/empty", "is empty"},
	} {
		require.Equal(t, want.pointer, faults[i].Pointer)
		require.Contains(t, faults[i].Message, want.text)
	}
	require.Empty(t, expression.CheckTemplates([]byte(`{"a":"plain","b":{"{{":1}}`)))
	_, err := rendered(t, `{"a":"{{ name }}","b":["{{ name + 1 }}"]}`)
	require.ErrorContains(t, err, "/b/0: {{ name + 1 }}: ")
	var evalErr *expression.EvalError
	require.ErrorAs(t, err, &evalErr)
}

// The templates of one task share the bounds of one expression, so that many are no way around them.
func TestTemplates_Bounds(t *testing.T) {
	list := func(n int, each string) string { return "[" + strings.Repeat(each+",", n-1) + each + "]" }
	_, err := rendered(t, list(expression.TemplatesMax, `"{{ 1 }}"`))
	require.NoError(t, err)
	_, err = rendered(t, list(expression.TemplatesMax+1, `"{{ 1 }}"`))
	require.ErrorContains(t, err, "more than 1000 templates")
	_, err = rendered(t, list(33, `"{{ '`+strings.Repeat("x", 2000)+`' }}"`))
	require.ErrorContains(t, err, "more than 65536 bytes together")
	long := `map(map(output, #), #)`
	scope := templateScope()
	scope.Output = json.RawMessage("[" + strings.Repeat("1,", 60_000) + "1]")
	tpl, err := expression.ParseTemplates([]byte(list(2, `"{{ `+long+` }}"`)))
	require.NoError(t, err)
	_, err = tpl.Render(scope)
	require.ErrorContains(t, err, fmt.Sprint(expression.WorkMax))
	scope.Output = json.RawMessage(`"` + strings.Repeat("x", 400_000) + `"`)
	tpl, err = expression.ParseTemplates([]byte(list(3, `"{{ output }}"`)))
	require.NoError(t, err)
	_, err = tpl.Render(scope)
	require.ErrorContains(t, err, "more than 1048576 bytes")
	faults := expression.CheckTemplates([]byte(list(200, `"{{ ( }}"`)))
	require.Len(t, faults, 50)
}

// Whatever a definition holds, parsing and rendering end, without a panic, with JSON or an error.
func FuzzTemplates(f *testing.F) {
	for _, s := range []string{`{{ a }}`, `x {{ "}}" }} {{`, "{{ `}}` }}", `{{{{}}}}`, `{{ {"a":{}} }}`, `{{ '\' }} }}`, `}}{{`, `{{ map(rows, {{"a": #}}) }}`, `{{ let a = 1; a }}`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		doc := `{"p":[` + string(rawjson.Quote(s)) + `]}`
		got, err := rendered(t, doc)
		if err == nil && !json.Valid([]byte(got)) {
			t.Fatalf("%q gives %q", s, got)
		}
		if faults := expression.CheckTemplates([]byte(doc)); len(faults) > 0 && err == nil {
			t.Fatalf("%q has faults %v and yet renders", s, faults)
		}
	})
}
