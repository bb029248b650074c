package explore

import (
	"bytes"
	"encoding/json"
	"net/url"
	"strconv"
	"strings"

	"github.com/getkin/kin-openapi/openapi3"
	"pgregory.net/rapid"
)

// call is one generated request.
type call struct {
	op     operation
	target string
	header map[string]string
	body   []byte
}

// hostile are texts that no parameter means, short enough for a request's head.
var hostile = []string{
	"0", "-1", "1e9", "99999999999999999999", "NaN", "true", "null", "[]", "{}", "' OR 1=1 --", "\x00", "\xff\xfe", "é", "..", "../../etc/passwd",
	"%", "%zz", "%2F", "exec_", "a,b,,c", "2025-09-02T09:42:05.043Z", "1756806125.5", "latest", "644bdb7e-a5f6-4f73-9fd3-067000e8c6c3-000000000000002a",
	"00000000-0000-0000-0000-000000000000", strings.Repeat("x", 700), strings.Repeat("9", 300),
}

// draw makes a request to an operation: mostly one that should be accepted.
func draw(t *rapid.T, op operation, m memory) call {
	c := call{op: op, header: map[string]string{}}
	path, query := op.path, url.Values{}
	wild := rapid.IntRange(0, 9).Draw(t, "wild") == 0 // parameters of any sort, else such as are meant
	for _, p := range op.parameters {
		switch p.In {
		case "path":
			path = strings.ReplaceAll(path, "{"+p.Name+"}", url.PathEscape(pathValue(t, op, p.Name, m, wild)))
		case "query":
			if rapid.IntRange(0, 7).Draw(t, "give "+p.Name) == 0 {
				query.Add(p.Name, queryValue(t, p, m, wild))
				if wild && rapid.Bool().Draw(t, "twice") {
					query.Add(p.Name, queryValue(t, p, m, wild))
				}
			}
		case "header":
			if p.Required || rapid.IntRange(0, 4).Draw(t, "give "+p.Name) == 0 {
				c.header[p.Name] = headerValue(t, p, m, wild)
			}
		}
	}
	c.target = path
	if len(query) > 0 {
		c.target += "?" + query.Encode()
	}
	if op.body != nil {
		c.body = drawBody(t, op, m)
		c.header["Content-Type"] = rapid.SampledFrom([]string{"application/json", "application/json", "application/json", "application/json", "text/plain", ""}).Draw(t, "type")
	}
	return c
}

func pathValue(t *rapid.T, op operation, name string, m memory, wild bool) string {
	known := m[op.resource()]
	if name != "id" && len(m[name]) > 0 {
		known = m[name]
	}
	switch {
	case wild || len(known) == 0:
		return rapid.SampledFrom(append([]string{"unknown", "default", "timer"}, hostile[1:]...)).Draw(t, "hostile")
	case rapid.IntRange(0, 7).Draw(t, "prefixed") == 0 && op.resource() == "executions":
		return "exec_" + rapid.SampledFrom(known).Draw(t, "id")
	}
	return rapid.SampledFrom(known).Draw(t, "id")
}

func queryValue(t *rapid.T, p *openapi3.Parameter, m memory, wild bool) string {
	if wild {
		return rapid.SampledFrom(hostile).Draw(t, "hostile")
	}
	var choices []string
	s := p.Schema.Value
	if s.Items != nil {
		s = s.Items.Value
	}
	for _, word := range s.Enum {
		choices = append(choices, word.(string))
	}
	choices = append(choices, m[p.Name]...)
	switch {
	case len(choices) > 0:
	case s.Type.Is("boolean"):
		choices = []string{"true", "false"}
	case s.Type.Is("integer"):
		least, most := 0, 100
		if s.Min != nil {
			least = int(*s.Min)
		}
		if s.Max != nil {
			most = int(min(*s.Max, 1000))
		}
		return strconv.Itoa(rapid.IntRange(least, most).Draw(t, p.Name))
	default:
		choices = []string{"x", "1s", "2025-09-02T09:42:05.043Z"}
	}
	return rapid.SampledFrom(choices).Draw(t, p.Name)
}

func headerValue(t *rapid.T, p *openapi3.Parameter, m memory, wild bool) string {
	if wild {
		return rapid.StringMatching(`[ -~]{1,300}`).Draw(t, p.Name)
	}
	choices := append([]string{"a", "b", "c"}, m[p.Name]...)
	if text, ok := p.Example.(string); ok {
		choices = append(choices, text)
	}
	return rapid.SampledFrom(choices).Draw(t, p.Name)
}

// blobWords make a value that is too large to stand in an event.
const blobWords = 15_000

// drawBody takes an example of the document, half of the time changed in up to four places.
func drawBody(t *rapid.T, op operation, m memory) []byte {
	text := rapid.SampledFrom(op.examples).Draw(t, "example")
	var v any
	d := json.NewDecoder(strings.NewReader(text))
	d.UseNumber()
	if err := d.Decode(&v); err != nil {
		t.Fatalf("example of %s: %v", op.id, err)
	}
	v = freshNames(t, v)
	if o, ok := v.(map[string]any); ok && rapid.IntRange(0, 9).Draw(t, "large") == 0 {
		for _, k := range []string{"input_data", "default_inputs"} {
			if _, has := o[k]; has {
				o[k] = map[string]any{"large": strings.Repeat("large ", blobWords)}
			}
		}
	}
	if rapid.Bool().Draw(t, "valid") {
		return marshal(v)
	}
	for range rapid.IntRange(1, 4).Draw(t, "changes") {
		v = change(t, v, m)
	}
	b := marshal(v)
	switch rapid.IntRange(0, 11).Draw(t, "raw") {
	case 0:
		return b[:rapid.IntRange(0, len(b)).Draw(t, "cut")]
	case 1:
		at := rapid.IntRange(0, len(b)-1).Draw(t, "byte at")
		b[at] = rapid.Byte().Draw(t, "byte")
	case 2:
		return bytes.Replace(b, []byte("{"), []byte(`{"name":1,"name":"twice",`), 1)
	case 3:
		depth := rapid.IntRange(1, 2000).Draw(t, "depth")
		return []byte(strings.Repeat("[", depth) + strings.Repeat("]", depth))
	}
	return b
}

// freshNames keeps runs of one name from standing in each other's way most of the time.
func freshNames(t *rapid.T, v any) any {
	if o, ok := v.(map[string]any); ok {
		for _, k := range sorted(o) {
			if k == "flow_name" || k == "slug" {
				o[k] = rapid.StringMatching(`[a-z]{1,12}`).Draw(t, k)
			} else {
				o[k] = freshNames(t, o[k])
			}
		}
	}
	return v
}

func marshal(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		return []byte("null")
	}
	return b
}

// change replaces, removes or adds a value somewhere in v.
func change(t *rapid.T, v any, m memory) any {
	switch v := v.(type) {
	case map[string]any:
		keys := sorted(v)
		if len(keys) == 0 || rapid.IntRange(0, 5).Draw(t, "here") == 0 {
			v[rapid.SampledFrom([]string{"extra", "id", "type", "config", "depends", "condition", "api_key", ""}).Draw(t, "key")] = anyValue(t, m)
			return v
		}
		k := rapid.SampledFrom(keys).Draw(t, "member")
		switch rapid.IntRange(0, 4).Draw(t, "how") {
		case 0:
			delete(v, k)
		case 1:
			v[k] = anyValue(t, m)
		default:
			v[k] = change(t, v[k], m)
		}
		return v
	case []any:
		switch {
		case len(v) == 0 || rapid.IntRange(0, 5).Draw(t, "append") == 0:
			return append(v, anyValue(t, m))
		case rapid.IntRange(0, 4).Draw(t, "double") == 0:
			return append(v, v[0])
		}
		i := rapid.IntRange(0, len(v)-1).Draw(t, "item")
		v[i] = change(t, v[i], m)
		return v
	}
	return anyValue(t, m)
}

func anyValue(t *rapid.T, m memory) any {
	switch rapid.IntRange(0, 7).Draw(t, "value") {
	case 0:
		return nil
	case 1:
		return rapid.Bool().Draw(t, "bool")
	case 2:
		return json.Number(rapid.SampledFrom([]string{"0", "-1", "1.5", "1e400", "123456789012345678901234567890", "-0", "1e-9"}).Draw(t, "number"))
	case 3:
		return []any{}
	case 4:
		return map[string]any{"depends": rapid.SampledFrom([]string{"start", "inputs", "x"}).Draw(t, "of")}
	case 5:
		return strings.Repeat("large ", rapid.IntRange(1, blobWords).Draw(t, "words"))
	case 6:
		if names := m["workflows"]; len(names) > 0 {
			return rapid.SampledFrom(names).Draw(t, "known")
		}
	}
	return rapid.SampledFrom([]string{
		"", "text", "trigger", "end", "timer", "conditional", "transform", "merge", "approval", "event", "eval", "{{ input.n }}", "{{ nodes.x.y + }}", "input.n > 1", "true",
		"1h", "-1s", "\u0000", "\ufffd", strings.Repeat("n", 600), "2025-09-02T09:42:05Z",
	}).Draw(t, "text")
}
