package intakehttp

import (
	"bytes"
	"errors"
	"strconv"

	"quipu/commands"
	"quipu/commands/definition"
	"quipu/commands/node"
	"quipu/domain"
	"quipu/domain/rawjson"
	"quipu/domain/workflow"
)

// parseWorkflow reads the body of a create or an update: the graph under definition or at top level,
// and name, description and endpoint. Nodes and edges replace the graph together, so an update names
// both or neither; what is missing from it stays as it is.
//
// Other members of the graph are kept (contract D25). Of a flat body that is every member that is not
// shown beside the graph, as viewport; beside a definition, or without nodes and edges, they are ignored.
//
// body is kept by the result. Errors: ErrInvalid if it is no JSON; ErrUnprocessable with one entry
// for each field at fault.
func parseWorkflow(body []byte, create bool, registry *node.Registry) (commands.Change, error) {
	var change commands.Change
	if err := CheckJSON(body); err != nil {
		return change, err
	}
	var f definition.Faults
	if rawjson.KindOf(body) != rawjson.Object {
		f.Add("", "must be an object with name, nodes and edges")
		return change, definition.Refusal(domain.KindUnprocessable, "INVALID_WORKFLOW", f.List, nil)
	}
	var graph domain.Value
	var flat domain.Object
	var isFlat bool
	for _, m := range domain.Raw(body).Members() {
		switch m.Key {
		case "name":
			change.Name = memberText(m.Value.JSON, "/name", &f)
		case "description":
			change.Description = memberText(m.Value.JSON, "/description", &f)
		case "endpoint":
			change.Endpoint = memberText(m.Value.JSON, "/endpoint", &f)
		case "definition":
			if rawjson.KindOf(m.Value.JSON) != rawjson.Null {
				graph, change.GraphAt = m.Value, "/definition"
			}
		case "id", "version", "created_at", "updated_at", "position": // of an answer sent back
		case "nodes", "edges":
			isFlat = true
			fallthrough
		default:
			flat.Add(m.Key, m.Value)
		}
	}
	if graph.Absent() && isFlat {
		graph = flat.Value()
	}
	if create && change.Name == nil {
		f.Add("/name", "is missing; give the workflow a name")
	}
	checkTexts(change, &f)
	switch {
	case !graph.Absent():
		var faults []node.Fault
		change.Graph, faults = definition.Parse(rawjson.Trim(graph.JSON), registry)
		if !create && rawjson.KindOf(graph.JSON) == rawjson.Object {
			// Taking half a graph for all of it would lose the rest of what is stored.
			for _, half := range []string{"/nodes", "/edges"} {
				if _, given := rawjson.Get(graph.JSON, half); !given {
					f.Add(change.GraphAt+half, "is missing; nodes and edges replace the graph together: send both, or neither to keep the graph")
				}
			}
		}
		f.AddAll(change.GraphAt, faults)
	case create:
		f.Add("/nodes", "is missing; send an array of nodes, which may be empty")
	}
	return change, definition.Refusal(domain.KindUnprocessable, "INVALID_WORKFLOW", f.List, nil)
}

// memberText reads a string member; null is as if it were missing.
func memberText(raw []byte, at string, f *definition.Faults) *string {
	switch rawjson.KindOf(raw) {
	case rawjson.Null:
		return nil
	case rawjson.String:
		s, ok := definition.Text(raw)
		if !ok {
			f.Add(at, "holds half of a surrogate pair; write both halves or neither")
		}
		return &s
	}
	f.Add(at, "must be a string")
	return new(string)
}

// checkTexts looks at each text by itself, so that a client learns of all that are wrong.
func checkTexts(change commands.Change, f *definition.Faults) {
	fine := workflow.Content{Name: "n", Endpoint: workflow.EndpointDefault, Graph: domain.Raw([]byte("{}"))}
	for _, t := range []struct {
		text *string
		set  func(*workflow.Content, string)
	}{
		{change.Name, func(c *workflow.Content, s string) { c.Name = s }},
		{change.Description, func(c *workflow.Content, s string) { c.Description = s }},
		{change.Endpoint, func(c *workflow.Content, s string) { c.Endpoint = s }},
	} {
		if t.text == nil {
			continue
		}
		c := fine
		t.set(&c, *t.text)
		var e *domain.Error
		if errors.As(c.Check(), &e) {
			f.Add(e.Field, "%s", e.Message)
		}
	}
}

// parseExecute reads {input_data}, an object or missing; no body means no input. A body that holds
// something else in its place is refused: a run without its input helps nobody.
func parseExecute(body []byte) ([]byte, error) {
	none := []byte("{}")
	if len(rawjson.Trim(body)) == 0 {
		return none, nil
	}
	if err := CheckJSON(body); err != nil {
		return nil, err
	}
	var f definition.Faults
	switch rawjson.KindOf(body) {
	case rawjson.Object:
	case rawjson.Null:
		return none, nil
	default:
		f.Add("", "must be an object with input_data")
	}
	input, given := rawjson.Get(body, "/input_data")
	if members := rawjson.Members(body); !given && len(members) > 0 {
		f.Add("/input_data", "is missing, and %q is not read; send the input as {\"input_data\": {…}}", rawjson.Clip(members[0].Key))
	}
	switch rawjson.KindOf(input) {
	case rawjson.Object:
		return rawjson.Trim(input), nil
	case rawjson.Null:
	default:
		f.Add("/input_data", "must be an object")
	}
	return none, definition.Refusal(domain.KindUnprocessable, "INVALID_BODY", f.List, nil)
}

// CheckJSON refuses what is no JSON: outside run-dag that is a bad request (contract D17).
//
// Errors: ErrInvalid with code INVALID_JSON and the place.
func CheckJSON(body []byte) error {
	bad := func(message string) *domain.Error {
		return domain.E(domain.KindInvalid, "", "", message).WithField("body").WithCode("INVALID_JSON")
	}
	switch {
	case len(rawjson.Trim(body)) == 0:
		return bad("is empty; send a JSON object")
	case bytes.HasPrefix(body, []byte("\xef\xbb\xbf")):
		return bad("begins with a byte order mark; send plain UTF-8 without one")
	}
	err := rawjson.Check(body, domain.JSONDepthMax)
	var syntax *rawjson.SyntaxError
	if errors.As(err, &syntax) {
		return bad("is not acceptable JSON at byte " + strconv.Itoa(syntax.Offset) + ": " + syntax.Reason).WithField(orRoot(syntax.Pointer))
	}
	return err
}
