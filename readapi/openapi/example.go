package openapi

import (
	"encoding/json"
	"strings"
)

// example makes a value that a schema allows: its own example, else one of its parts. What may be left
// out and has no example is left out.
func (s *schemas) example(o *object) any {
	if v, ok := o.values["example"]; ok {
		return v
	}
	if ref, ok := o.get("$ref").(string); ok {
		return s.example(s.out[strings.TrimPrefix(ref, "#/components/schemas/")])
	}
	if all, ok := o.get("allOf").([]any); ok {
		return s.example(all[0].(*object))
	}
	if list, ok := o.get("anyOf").([]any); ok {
		return s.example(list[0].(*object))
	}
	if o.get("nullable") == true && o.get("type") != nil {
		return nil
	}
	if words, ok := o.get("enum").([]any); ok {
		return words[0]
	}
	switch o.get("type") {
	case "string":
		if o.get("format") == "date-time" {
			return instantExample
		}
		return "text"
	case "integer", "number":
		if least := o.get("minimum"); least != nil {
			return least
		}
		return 0
	case "boolean":
		return false
	case "array":
		return []any{s.example(o.get("items").(*object))}
	case "object":
		return s.exampleObject(o)
	}
	return json.RawMessage("{}")
}

func (s *schemas) exampleObject(o *object) any {
	out := obj()
	properties, ok := o.get("properties").(*object)
	if !ok {
		return out
	}
	required := map[string]bool{}
	if list, ok := o.get("required").([]string); ok {
		for _, name := range list {
			required[name] = true
		}
	}
	for _, name := range properties.keys {
		p := properties.get(name).(*object)
		if _, given := p.values["example"]; given || required[name] {
			out.set(name, s.example(p))
		}
	}
	return out
}
