package openapi

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"quipu/apidoc"
	"quipu/readapi/params"
)

type part struct {
	Word string `json:"word" enum:"a,b"`
}

type base struct {
	ID string `json:"id" min:"1" max:"9" pattern:"^x" example:"x1"`
}

type sample struct {
	base
	Number   int            `json:"number" min:"1" max:"5" doc:"How many."`
	Maybe    *int           `json:"maybe"`
	Left     *string        `json:"left,omitempty" example:"here"`
	Sent     string         `json:"sent" required:"false"`
	At       time.Time      `json:"at"`
	Part     part           `json:"part"`
	Noted    part           `json:"noted" doc:"With a word beside it."`
	None     *part          `json:"none"`
	List     []part         `json:"list"`
	Words    []string       `json:"words" enum:"x,y"`
	Map      map[string]int `json:"map"`
	Anything apidoc.Any     `json:"anything"`
	Object   apidoc.Object  `json:"object"`
	Float    float64        `json:"float"`
	Flag     bool           `json:"flag"`
	Hidden   string         `json:"-"`
}

func text(t *testing.T, v any) string {
	t.Helper()
	b, err := encode(v)
	require.NoError(t, err)
	return string(b)
}

func TestSchemas_OfTypesAndTags(t *testing.T) {
	s := newSchemas()
	require.Equal(t, `{"$ref":"#/components/schemas/Sample"}`, text(t, s.of(sample{})))
	require.JSONEq(t, `{"type":"object",
		"required":["id","number","maybe","at","part","noted","none","list","words","map","anything","object","float","flag"],
		"properties":{
			"id":{"type":"string","pattern":"^x","minLength":1,"maxLength":9,"example":"x1"},
			"number":{"type":"integer","description":"How many.","minimum":1,"maximum":5},
			"maybe":{"type":"integer","nullable":true},
			"left":{"type":"string","example":"here"},
			"sent":{"type":"string"},
			"at":{"type":"string","format":"date-time"},
			"part":{"$ref":"#/components/schemas/Part"},
			"noted":{"allOf":[{"$ref":"#/components/schemas/Part"}],"description":"With a word beside it."},
			"none":{"type":"object","nullable":true,"required":["word"],"properties":{"word":{"type":"string","enum":["a","b"]}}},
			"list":{"type":"array","items":{"$ref":"#/components/schemas/Part"}},
			"words":{"type":"array","items":{"type":"string","enum":["x","y"]}},
			"map":{"type":"object","additionalProperties":{"type":"integer"}},
			"anything":{"nullable":true},
			"object":{"type":"object","additionalProperties":true},
			"float":{"type":"number"},"flag":{"type":"boolean"}}}`, text(t, s.out["Sample"]))
	require.JSONEq(t, `{"id":"x1","number":1,"maybe":null,"left":"here","at":"2025-09-02T09:42:05.043Z","part":{"word":"a"},"noted":{"word":"a"},
		"none":null,"list":[{"word":"a"}],"words":["x"],"map":{},"anything":{},"object":{},"float":0,"flag":false}`, text(t, s.example(s.of(sample{}))))
	require.JSONEq(t, `{"type":"object","required":["data","status"],"properties":{"data":{"$ref":"#/components/schemas/Part"},"status":{"type":"string","enum":["success"]}}}`,
		text(t, s.of(apidoc.Data[part]{})), "generic types stand where they are used")
	require.JSONEq(t, `{"anyOf":[{"$ref":"#/components/schemas/Part"},{"type":"string","maxLength":3}]}`,
		text(t, s.of(apidoc.AnyOf{part{}, apidoc.Schema{"type": "string", "maxLength": 3}})))
	require.Panics(t, func() { s.of(struct{ Untagged string }{}) })
	require.Panics(t, func() { s.of(make(chan int)) })
	require.PanicsWithValue(t, "openapi: an example that is no JSON: {", func() {
		s.of(struct {
			N int `json:"n" example:"{"`
		}{})
	})
}

type queries struct {
	Text  string          `query:"text" max:"7" doc:"A text."`
	Word  string          `query:"word" enum:"a,b"`
	N     *int            `query:"n" min:"2" max:"4"`
	Flag  *bool           `query:"flag"`
	When  time.Time       `query:"when"`
	Where params.Position `query:"where"`
	List  []string        `query:"list" max:"3"`
}

func TestBuild_DescribesParametersBodiesAndRefusals(t *testing.T) {
	op := apidoc.Operation{
		Method: "POST", Path: "/api/things/:id/turn-on", Tag: "things", Summary: "Turn on", Key: apidoc.KeyBySetting,
		Query: queries{}, Headers: apidoc.Headers(apidoc.IdempotencyKey), Body: &apidoc.Body{Of: part{}, Optional: true},
		Answers: []apidoc.Answer{{Status: 202, Of: part{}, Headers: apidoc.Headers(apidoc.QuipuPosition)}, {Status: 204}},
		Refusals: []apidoc.Refusal{
			{Status: 409, Code: "ON", Message: "is on"}, {Status: 409, Code: "ON", Field: "path/id", Message: "was on"}, {Status: 429, Code: "BUSY", Message: "busy"},
		},
	}
	b, err := Build(Info{Title: "T", Version: "1", Tags: []Tag{{Name: "things"}}}, []apidoc.Operation{op})
	require.NoError(t, err)
	var doc struct {
		Paths map[string]map[string]struct {
			OperationID string
			Security    []map[string][]string
			Parameters  []struct {
				Name, In string
				Required bool
				Schema   json.RawMessage
			}
			RequestBody struct{ Required bool }
			Responses   map[string]struct {
				Headers map[string]json.RawMessage
				Content map[string]struct {
					Examples map[string]struct{ Value struct{ Message string } }
				}
			}
		}
	}
	require.NoError(t, json.Unmarshal(b, &doc))
	got := doc.Paths["/api/things/{id}/turn-on"]["post"]
	require.Equal(t, "postThingsByIdTurnOn", got.OperationID)
	require.Equal(t, []map[string][]string{{}, {"apiKey": {}}, {"bearer": {}}}, got.Security)
	require.False(t, got.RequestBody.Required)
	names := ""
	for _, p := range got.Parameters {
		names += p.In + " " + p.Name + " " + string(p.Schema) + "\n"
	}
	require.Equal(t, `path id {"type":"string"}
query text {"type":"string","maxLength":7}
query word {"type":"string","enum":["a","b"]}
query n {"type":"integer","minimum":2,"maximum":4}
query flag {"type":"boolean"}
query when {"type":"string"}
query where {"type":"string","pattern":"^[^/]+-[0-9a-f]{16}$"}
query list {"type":"array","items":{"type":"string","maxLength":3},"maxItems":50}
header Idempotency-Key {"type":"string"}
`, names)
	require.Equal(t, []string{"202", "204", "401", "403", "409", "413", "429", "500"}, sortedKeys(got.Responses))
	require.Contains(t, got.Responses["202"].Headers, "Quipu-Position")
	require.Contains(t, got.Responses["429"].Headers, "Retry-After")
	on := got.Responses["409"].Content["application/json"].Examples
	require.Equal(t, "is on", on["ON"].Value.Message)
	require.Equal(t, "path/id: was on", on["ON_2"].Value.Message, "as the application words it")
}

func TestBuild_NamesEveryWrongOperation(t *testing.T) {
	fine := apidoc.Operation{Method: "GET", Path: "/a", Tag: "t", Summary: "s", Answers: []apidoc.Answer{{Status: 200}}}
	with := func(change func(*apidoc.Operation)) apidoc.Operation {
		op := fine
		change(&op)
		return op
	}
	info := Info{Tags: []Tag{{Name: "t"}}}
	_, err := Build(info, []apidoc.Operation{fine})
	require.NoError(t, err)
	for want, op := range map[string]apidoc.Operation{
		`unknown method "TURN"`:         with(func(o *apidoc.Operation) { o.Method, o.ID = "TURN", "x" }),
		"needs a Summary and an Answer": with(func(o *apidoc.Operation) { o.Answers, o.ID = nil, "x" }),
		`unknown Tag "u"`:               with(func(o *apidoc.Operation) { o.Tag, o.ID = "u", "x" }),
		"its ID getA is that of GET /a": with(func(o *apidoc.Operation) { o.Path = "/api/a" }),
		"GET /a is described twice":     with(func(o *apidoc.Operation) { o.ID = "x" }),
		"two answers of status 200":     with(func(o *apidoc.Operation) { o.ID, o.Answers = "x", append(o.Answers, o.Answers[0]) }),
		"needs a status from 400 on": with(func(o *apidoc.Operation) {
			o.ID, o.Refusals = "x", []apidoc.Refusal{{Status: 200, Code: "C", Message: "m"}}
		}),
		"is no JSON": with(func(o *apidoc.Operation) {
			o.ID, o.Answers = "x", []apidoc.Answer{{Status: 200, Of: part{}, Example: "{"}}
		}),
	} {
		_, err := Build(info, []apidoc.Operation{fine, op})
		require.ErrorContains(t, err, want)
	}
}

func TestMarkdown(t *testing.T) {
	for source, want := range map[string]string{
		"# A <b>\n\ntext\nmore":                 "<h1 id=\"a-b\">A &lt;b&gt;</h1>\n<p>text\nmore</p>\n",
		"a `x<y` **b** [l](/docs) z":            "<p>a <code>x&lt;y</code> <strong>b</strong> <a href=\"/docs\">l</a> z</p>\n",
		"[l](javascript:alert(1))":              "<p>[l](javascript:alert(1))</p>\n",
		"- one\n  goes on\n- two":               "<ul>\n<li>one\n  goes on</li>\n<li>two</li>\n</ul>\n",
		"| a | b |\n|---|---|\n| 1\\|2 | `c` |": "<table>\n<tr><th>a</th><th>b</th></tr>\n<tr><td>1|2</td><td><code>c</code></td></tr>\n</table>\n",
		"```\n<script>\n```":                    "<pre><code>&lt;script&gt;</code></pre>\n",
		"<script>alert(1)</script>":             "<p>&lt;script&gt;alert(1)&lt;/script&gt;</p>\n",
		"":                                      "",
	} {
		got, err := markdown(source)
		require.NoError(t, err)
		require.Equal(t, want, string(got))
	}
	_, err := markdown("```\nno end")
	require.ErrorContains(t, err, "does not end")
}
