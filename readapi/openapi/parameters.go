package openapi

import (
	"fmt"
	"reflect"
	"strings"
	"time"

	"quipu/apidoc"
	"quipu/readapi/params"
)

// Examples of what has a form of its own.
const (
	instantExample  = "2025-09-02T09:42:05.043Z"
	positionExample = "644bdb7e-a5f6-4f73-9fd3-067000e8c6c3-000000000000002a"
	idExample       = "0192f0c1-7c1e-7000-8000-000000000001"
)

// parameters lists those in path, query and headers.
func parameters(op apidoc.Operation) []any {
	var out []any
	for part := range strings.SplitSeq(op.Path, "/") {
		name, ok := strings.CutPrefix(part, ":")
		if !ok {
			continue
		}
		doc, example := op.Params[name], op.PathExamples[name]
		if example == "" {
			example = idExample
		}
		p := obj("name", name, "in", "path", "required", true)
		p.text("description", doc)
		p.set("schema", obj("type", "string"))
		p.set("example", example)
		out = append(out, p)
	}
	if op.Query != nil {
		for _, q := range params.DescribeType(reflect.TypeOf(op.Query)) {
			out = append(out, queryParameter(q))
		}
	}
	for _, h := range op.Headers {
		out = append(out, header(h, obj("name", h.Name, "in", "header")))
	}
	return out
}

// header describes a header, as a parameter or of an answer.
func header(h apidoc.Header, o *object) *object {
	o.text("description", h.Doc)
	o.set("required", h.Required)
	o.set("schema", obj("type", "string"))
	if h.Example != "" {
		o.set("example", h.Example)
	}
	return o
}

func queryParameter(q params.Param) *object {
	o := obj("name", q.Name, "in", "query")
	o.text("description", q.Doc)
	schema := obj("type", "string")
	switch q.Type {
	case reflect.TypeFor[string]():
		if q.Enum != nil {
			schema.set("enum", q.Enum)
		} else {
			schema.set("maxLength", q.Max)
		}
	case reflect.TypeFor[*int]():
		schema = obj("type", "integer", "minimum", q.Min, "maximum", q.Max)
	case reflect.TypeFor[*bool]():
		schema = obj("type", "boolean")
	case reflect.TypeFor[time.Time]():
		o.set("description", q.Doc+" RFC 3339, or epoch seconds with up to nine decimals.")
		o.set("example", instantExample)
	case reflect.TypeFor[params.Position]():
		schema.set("pattern", "^[^/]+-[0-9a-f]{16}$")
		o.set("example", positionExample)
	case reflect.TypeFor[[]string]():
		item := obj("type", "string", "maxLength", q.Max)
		if q.Enum != nil {
			item = obj("type", "string", "enum", q.Enum)
		}
		schema = obj("type", "array", "items", item, "maxItems", params.ListItemsMax)
		o.set("description", q.Doc+" May be repeated, or be a list with commas.")
		o.set("style", "form")
		o.set("explode", true)
	default:
		panic(fmt.Sprintf("openapi: parameter %s has the type %s, which has no description", q.Name, q.Type))
	}
	o.set("schema", schema)
	return o
}
