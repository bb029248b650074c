// Package openapi makes the OpenAPI 3.0 document of the routes and serves it with pages for people.
//
// The document is built once, at the start, from operations that stand beside their handlers (package
// apidoc), the structs that read query parameters (readapi/params) and the types of answers. 3.0.3
// rather than 3.1, because every generator and validator reads it.
package openapi

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"quipu/apidoc"
)

// Info is what the document says about the whole.
type Info struct {
	Title, Version, Description string
	Tags                        []Tag // in the order of the document
}

// Tag is a group of operations.
type Tag struct{ Name, Doc string }

// Build makes the document. The same operations give the same bytes. Errors: a join of what is wrong
// with operations, each naming one; a type that cannot be described panics.
func Build(info Info, lists ...[]apidoc.Operation) ([]byte, error) {
	b := &builder{schemas: newSchemas(), ids: map[string]string{}, info: info}
	paths := obj()
	var errs []error
	for _, op := range slices.Concat(lists...) {
		o, err := b.operation(op)
		if err != nil {
			errs = append(errs, fmt.Errorf("%s %s: %w", op.Method, op.Path, err))
			continue
		}
		item := paths.child(Path(op.Path))
		method := strings.ToLower(op.Method)
		if item.get(method) != nil {
			errs = append(errs, fmt.Errorf("%s %s is described twice", op.Method, op.Path))
		}
		item.set(method, o)
	}
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	components := obj("schemas", b.components(), "securitySchemes", securitySchemes())
	tags := []any{}
	for _, t := range info.Tags {
		tags = append(tags, obj("name", t.Name, "description", t.Doc))
	}
	return encode(obj(
		"openapi", "3.0.3",
		"info", obj("title", info.Title, "version", info.Version, "description", info.Description,
			"license", obj("name", "Apache-2.0", "url", "https://www.apache.org/licenses/LICENSE-2.0")),
		"servers", []any{obj("url", "/")},
		"security", needed,
		"tags", tags,
		"paths", paths,
		"components", components,
	))
}

// Path is a framework's path in the document's form: /api/workflows/{id}.
func Path(registered string) string {
	parts := strings.Split(registered, "/")
	for i, p := range parts {
		if name, ok := strings.CutPrefix(p, ":"); ok {
			parts[i] = "{" + name + "}"
		}
	}
	return strings.Join(parts, "/")
}

// The ways in. Without keys in the configuration nobody asks for one.
var (
	needed = []any{obj("apiKey", []string{}), obj("bearer", []string{})}
	maybe  = []any{obj(), obj("apiKey", []string{}), obj("bearer", []string{})}
)

func securitySchemes() *object {
	return obj(
		"apiKey", obj("type", "apiKey", "in", "header", "name", "x-api-key", "description", "A key of the server's configuration."),
		"bearer", obj("type", "http", "scheme", "bearer", "description", "The same key as Authorization: Bearer."),
	)
}

type builder struct {
	schemas *schemas
	ids     map[string]string // operationId -> who has it
	info    Info
}

func (b *builder) components() *object {
	o := obj()
	for _, name := range sortedKeys(b.schemas.out) {
		o.set(name, b.schemas.out[name])
	}
	return o
}

func (b *builder) operation(op apidoc.Operation) (*object, error) {
	if err := b.check(op); err != nil {
		return nil, err
	}
	o := obj("operationId", operationID(op), "tags", []string{op.Tag}, "summary", op.Summary)
	o.text("description", op.Doc)
	switch op.Key {
	case apidoc.KeyNever:
		o.set("security", []any{})
	case apidoc.KeyBySetting:
		o.set("security", maybe)
	case apidoc.KeyNeeded: // the document's own
	}
	if p := parameters(op); len(p) > 0 {
		o.set("parameters", p)
	}
	if op.Body != nil {
		body, err := b.body(op.Body)
		if err != nil {
			return nil, err
		}
		o.set("requestBody", body)
	}
	responses, err := b.responses(op)
	if err != nil {
		return nil, err
	}
	o.set("responses", responses)
	return o, nil
}

func (b *builder) check(op apidoc.Operation) error {
	id := operationID(op)
	switch {
	case !slices.Contains([]string{"GET", "POST", "PUT", "PATCH", "DELETE"}, op.Method):
		return fmt.Errorf("unknown method %q", op.Method)
	case op.Summary == "" || len(op.Answers) == 0:
		return errors.New("needs a Summary and an Answer")
	case !slices.ContainsFunc(b.info.Tags, func(t Tag) bool { return t.Name == op.Tag }):
		return fmt.Errorf("has the unknown Tag %q", op.Tag)
	case b.ids[id] != "":
		return fmt.Errorf("its ID %s is that of %s", id, b.ids[id])
	}
	b.ids[id] = op.Method + " " + op.Path
	return nil
}

// operationID is made of method and path: GET /api/executions/:id/tasks is getExecutionsByIdTasks.
func operationID(op apidoc.Operation) string {
	if op.ID != "" {
		return op.ID
	}
	id := strings.ToLower(op.Method)
	for part := range strings.FieldsFuncSeq(strings.TrimPrefix(op.Path, "/api/"), func(r rune) bool { return strings.ContainsRune("/-._", r) }) {
		if name, ok := strings.CutPrefix(part, ":"); ok {
			part = "By" + upper(name)
		}
		id += upper(part)
	}
	return id
}

func upper(s string) string {
	if s == "" {
		return s
	}
	return strings.ToUpper(s[:1]) + s[1:]
}

func (b *builder) body(body *apidoc.Body) (*object, error) {
	schema := b.schemas.of(body.Of)
	media := obj("schema", schema)
	examples, err := b.examples(schema, body.Example, body.Examples)
	if err != nil {
		return nil, err
	}
	media.set("examples", examples)
	o := obj()
	o.text("description", body.Doc)
	o.set("required", !body.Optional)
	o.set("content", obj("application/json", media))
	return o, nil
}

// examples is the member of that name: the first is called example.
func (b *builder) examples(schema *object, first string, more map[string]string) (*object, error) {
	out := obj()
	if first == "" {
		out.set("example", obj("value", b.schemas.example(schema)))
	} else {
		more = maps.Clone(more)
		if more == nil {
			more = map[string]string{}
		}
		more["example"] = first
	}
	for _, name := range sortedKeys(more) {
		var compact bytes.Buffer
		if err := json.Compact(&compact, []byte(more[name])); err != nil {
			return nil, fmt.Errorf("example %s is no JSON: %w", name, err)
		}
		out.set(name, obj("value", json.RawMessage(compact.Bytes())))
	}
	return out, nil
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
