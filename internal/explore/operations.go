// Package explore drives every operation of the program's OpenAPI document with generated parameters
// and bodies, and holds each answer against it.
package explore

import (
	"encoding/json"
	"slices"
	"strings"

	"github.com/getkin/kin-openapi/openapi3"
)

// operation is one of the document, as the generator uses it.
type operation struct {
	id, method, path string
	parameters       []*openapi3.Parameter
	body             *openapi3.RequestBody
	examples         []string // of bodies, by name
}

// operations lists those of a document in a fixed order.
func operations(doc *openapi3.T) []operation {
	var out []operation
	for _, path := range doc.Paths.InMatchingOrder() {
		for method, op := range doc.Paths.Find(path).Operations() {
			o := operation{id: op.OperationID, method: method, path: path}
			for _, p := range op.Parameters {
				o.parameters = append(o.parameters, p.Value)
			}
			if op.RequestBody != nil {
				o.body = op.RequestBody.Value
				o.examples = exampleBodies(o.body)
			}
			out = append(out, o)
		}
	}
	slices.SortFunc(out, func(a, b operation) int { return strings.Compare(a.id, b.id) })
	return out
}

func exampleBodies(body *openapi3.RequestBody) []string {
	examples := body.Content.Get("application/json").Examples
	var names []string
	for name := range examples {
		names = append(names, name)
	}
	slices.Sort(names)
	var out []string
	for _, name := range names {
		if b, err := json.Marshal(examples[name].Value.Value); err == nil {
			out = append(out, string(b))
		}
	}
	return out
}

// GoString is how a drawn operation is printed.
func (o operation) GoString() string { return o.id }

// resource is what an operation's path is about: executions of /api/executions/{id}/tasks.
func (o operation) resource() string {
	name, _, _ := strings.Cut(strings.TrimPrefix(strings.TrimPrefix(o.path, "/"), "api/"), "/")
	switch name {
	case "task-status", "approvals":
		return "executions"
	}
	return name
}
