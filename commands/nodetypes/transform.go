package nodetypes

import (
	"encoding/json"

	"quipu/commands/expression"
	"quipu/commands/node"
	"quipu/domain"
	"quipu/domain/rawjson"
)

// transform reshapes data: config.expression gives any value, config.fields an object with the value
// of an expression under each name. Expressions read what conditions do (contract D9, D24).
func transform() node.Type {
	return node.Type{
		Name:        "transform",
		Title:       "Transform",
		Category:    categoryLogic,
		Description: "Computes a value, or an object field by field, from the outputs before it and the run's input.",
		Input:       json.RawMessage(anyUpstream),
		Output:      json.RawMessage(`{"description": "The expression's value, or an object with the fields."}`),
		Examples: []node.Example{
			example("One value", `{"config":{"name":"Ids","expression":"map(input.rows, #.id)"}}`, `[1,2]`),
			example("An object", `{"config":{"fields":{"first":"input.rows[0].id","count":"len(input.rows)"}}}`, `{"first":1,"count":2}`),
		},
		Kind: node.Pure,
		Config: json.RawMessage(`{
  "$schema": "https://json-schema.org/draft/2020-12/schema",
  "type": "object",
  "properties": {
    "name": {"type": "string"},
    "expression": {"type": "string", "minLength": 1, "maxLength": 4096, "description": "An expression such as map(output.rows, #.id); its value is the output."},
    "fields": {"type": "object", "maxProperties": 100, "additionalProperties": {"type": "string", "minLength": 1, "maxLength": 4096}, "description": "An expression by name; the output is an object."}
  },
  "oneOf": [{"required": ["expression"]}, {"required": ["fields"]}]
}`),
		Check: func(params json.RawMessage) []node.Fault {
			r := reader{params: params}
			for _, f := range r.transformFields() {
				r.expression(f.pointer)
			}
			return r.faults
		},
		Compute: computeTransform,
	}
}

const (
	transformExpression = "/config/expression"
	transformFields     = "/config/fields"
	// transformFieldsMax is the most fields. Together they have the bounds of one expression.
	transformFieldsMax = 100
)

type transformField struct{ name, pointer string }

// transformFields lists the expressions to evaluate: one without a name, or the fields.
func (r *reader) transformFields() []transformField {
	one, many := r.has(transformExpression), r.has(transformFields)
	switch {
	case one && many:
		r.fault(transformFields, "stands beside expression; give one of them")
		return nil
	case one:
		return []transformField{{pointer: transformExpression}}
	case !many:
		r.fault(transformExpression, "is required, or fields")
		return nil
	}
	if !r.untemplated(transformFields) {
		return nil
	}
	members := r.members(transformFields)
	if len(members) > transformFieldsMax {
		r.fault(transformFields, "has %d fields, at most %d are allowed", len(members), transformFieldsMax)
		return nil
	}
	out := make([]transformField, len(members))
	for i, m := range members {
		out[i] = transformField{m.Key, transformFields + "/" + rawjson.EscapeKey(m.Key)}
	}
	return out
}

// expression reads and checks an expression; nil if it is not known or wrong.
func (r *reader) expression(pointer string) *expression.Program {
	src, ok := r.text(pointer)
	if !ok {
		r.untemplated(pointer)
		if r.resolved && len(r.faults) == 0 {
			r.fault(pointer, "must be a string")
		}
		return nil
	}
	p, err := expression.Compile(src)
	if err != nil {
		r.fault(pointer, "%s", err.Error())
	}
	return p
}

func computeTransform(call node.Call) (node.Reply, error) {
	r := reader{params: call.Params, resolved: true}
	fields := r.transformFields()
	programs := make([]*expression.Program, len(fields))
	for i, f := range fields {
		programs[i] = r.expression(f.pointer)
	}
	if len(r.faults) > 0 {
		return node.Reply{}, configFailure(r.faults[0])
	}
	values, bad, err := expression.EvalAll(programs, scopeOf(call))
	if err != nil {
		return node.Reply{}, expressionFailure(fields[bad].pointer, err)
	}
	if r.has(transformExpression) {
		return node.Reply{Output: values[0]}, nil
	}
	var out domain.Object
	for i, f := range fields {
		out.Add(f.name, domain.Raw(values[i]))
	}
	return node.Reply{Output: out.Value().JSON}, nil
}
