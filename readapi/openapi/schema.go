package openapi

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"time"

	"quipu/apidoc"
)

// schemas makes JSON Schemas, in the form of OpenAPI 3.0, of Go types. Structs with a name of their
// own become components, referred to by name.
type schemas struct {
	named map[string]reflect.Type
	out   map[string]*object
}

func newSchemas() *schemas {
	return &schemas{named: map[string]reflect.Type{}, out: map[string]*object{}}
}

// of is the schema of a value's type.
func (s *schemas) of(v any) *object {
	switch v := v.(type) {
	case apidoc.Schema:
		return written(v)
	case apidoc.AnyOf:
		list := []any{}
		for _, one := range v {
			list = append(list, s.of(one))
		}
		return obj("anyOf", list)
	}
	return s.typ(reflect.TypeOf(v))
}

func written(given apidoc.Schema) *object {
	raw, err := json.Marshal(given)
	if err != nil {
		panic(fmt.Sprintf("openapi: a schema that is no JSON: %v", err))
	}
	o := obj()
	var members map[string]json.RawMessage
	if err := json.Unmarshal(raw, &members); err != nil {
		panic(err)
	}
	for _, k := range sortedKeys(members) {
		o.set(k, members[k])
	}
	return o
}

func (s *schemas) typ(t reflect.Type) *object {
	switch t {
	case reflect.TypeFor[apidoc.Any]():
		return obj("nullable", true)
	case reflect.TypeFor[apidoc.Object]():
		return obj("type", "object", "additionalProperties", true)
	case reflect.TypeFor[time.Time]():
		return obj("type", "string", "format", "date-time")
	}
	switch t.Kind() {
	case reflect.Pointer:
		return nullable(s.inline(t.Elem()))
	case reflect.Struct:
		return s.reference(t)
	default:
		return s.inline(t)
	}
}

func nullable(o *object) *object {
	o.set("nullable", true)
	return o
}

// reference is a link to a struct's component, or the struct itself if it has no usable name.
func (s *schemas) reference(t reflect.Type) *object {
	name := componentName(t)
	if name == "" {
		return s.fields(t)
	}
	if have, ok := s.named[name]; ok && have != t {
		panic(fmt.Sprintf("openapi: %s and %s would have one name in the document; rename one of the types", have, t))
	} else if !ok {
		s.named[name] = t
		s.out[name] = s.fields(t)
	}
	return obj("$ref", "#/components/schemas/"+name)
}

// componentName is a type's name, capitalised; "" for generic and unnamed types.
func componentName(t reflect.Type) string {
	if t.Name() == "" || strings.Contains(t.Name(), "[") {
		return ""
	}
	return strings.ToUpper(t.Name()[:1]) + t.Name()[1:]
}

func (s *schemas) inline(t reflect.Type) *object {
	switch t {
	case reflect.TypeFor[apidoc.Any](), reflect.TypeFor[apidoc.Object](), reflect.TypeFor[time.Time]():
		return s.typ(t)
	}
	switch t.Kind() {
	case reflect.Struct:
		return s.fields(t)
	case reflect.String:
		return obj("type", "string")
	case reflect.Bool:
		return obj("type", "boolean")
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64, reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return obj("type", "integer")
	case reflect.Float32, reflect.Float64:
		return obj("type", "number")
	case reflect.Slice, reflect.Array:
		return obj("type", "array", "items", s.typ(t.Elem()))
	case reflect.Map:
		return obj("type", "object", "additionalProperties", s.typ(t.Elem()))
	case reflect.Interface:
		return obj()
	}
	panic("openapi: no schema for " + t.String())
}

// fields is the schema of a struct: its fields, those of embedded structs among them.
func (s *schemas) fields(t reflect.Type) *object {
	properties, required := obj(), []string{}
	s.collect(t, properties, &required)
	o := obj("type", "object")
	if len(required) > 0 {
		o.set("required", required)
	}
	o.set("properties", properties)
	return o
}

func (s *schemas) collect(t reflect.Type, properties *object, required *[]string) {
	for i := range t.NumField() {
		f := t.Field(i)
		name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		if f.Anonymous && name == "" && f.Type.Kind() == reflect.Struct {
			s.collect(f.Type, properties, required)
			continue
		}
		if !f.IsExported() || name == "-" {
			continue
		}
		if name == "" {
			panic(fmt.Sprintf("openapi: %s.%s has no json tag", t, f.Name))
		}
		must := !strings.Contains(options, "omitempty")
		if word := f.Tag.Get("required"); word != "" {
			must = word == "true"
		}
		if must {
			*required = append(*required, name)
		}
		properties.set(name, s.field(f))
	}
}

// field is the schema of a field with what its tags say.
func (s *schemas) field(f reflect.StructField) *object {
	o := s.typ(f.Type)
	// A pointer that is left out when nil is never null.
	if f.Type.Kind() == reflect.Pointer && strings.Contains(f.Tag.Get("json"), "omitempty") {
		o = s.inline(f.Type.Elem())
	}
	doc, example := f.Tag.Get("doc"), f.Tag.Get("example")
	if _, isRef := o.values["$ref"]; isRef {
		if doc == "" && example == "" {
			return o
		}
		o = obj("allOf", []any{o}) // a $ref stands alone in OpenAPI 3.0
	}
	o.text("description", doc)
	text := o.get("type") == "string"
	if words := f.Tag.Get("enum"); words != "" {
		list := []any{}
		for word := range strings.SplitSeq(words, ",") {
			list = append(list, word)
		}
		if o.get("nullable") == true {
			list = append(list, nil)
		}
		if items, ok := o.get("items").(*object); ok {
			items.set("enum", list)
		} else {
			o.set("enum", list)
		}
	}
	o.text("format", f.Tag.Get("format"))
	o.text("pattern", f.Tag.Get("pattern"))
	for _, bound := range []struct{ tag, ofNumber, ofText string }{{"min", "minimum", "minLength"}, {"max", "maximum", "maxLength"}} {
		v := f.Tag.Get(bound.tag)
		if v == "" {
			continue
		}
		n, err := strconv.Atoi(v)
		if err != nil {
			panic(fmt.Sprintf("openapi: tag %s:%q of %s is no number", bound.tag, v, f.Name))
		}
		if text {
			o.set(bound.ofText, n)
		} else {
			o.set(bound.ofNumber, n)
		}
	}
	if example != "" {
		o.set("example", exampleOf(example, text))
	}
	return o
}

// exampleOf reads an example tag: the text itself, JSON for other types; null is null everywhere.
func exampleOf(tag string, text bool) any {
	if text && tag != "null" {
		return tag
	}
	if !json.Valid([]byte(tag)) {
		panic("openapi: an example that is no JSON: " + tag)
	}
	return json.RawMessage(tag)
}
