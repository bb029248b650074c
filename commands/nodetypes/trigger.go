package nodetypes

import (
	"encoding/json"

	"quipu/commands/node"
	"quipu/domain"
	"quipu/domain/rawjson"
)

// trigger is where a run of a stored workflow begins. Output: the run's input. For a run without one
// config.input_json, an object or the text of one, and config.input_text, which becomes the member
// input_text, say what it is instead.
func trigger() node.Type {
	return node.Type{
		Name:        "trigger",
		Title:       "Trigger",
		Category:    categoryLogic,
		Description: "Begins a workflow. Output: the input of the run, or what is given here if that is empty.",
		Input:       json.RawMessage(`{"type": "object", "description": "The run's input."}`),
		Output:      json.RawMessage(`{"type": "object", "description": "The run's input, or what the config gives in its place."}`),
		Examples: []node.Example{
			example("Begin", `{"config":{"name":"Start","type":"manual","input_text":"hello"}}`, `{"rows":[{"id":1},{"id":2}],"score":0.7,"state":"new"}`),
		},
		Kind: node.Pure,
		Config: json.RawMessage(`{
  "$schema": "https://json-schema.org/draft/2020-12/schema",
  "type": "object",
  "properties": {
    "name": {"type": "string"},
    "type": {"enum": ["manual", "event"], "default": "manual"},
    "input_text": {"type": ["string", "null"], "description": "Becomes the member input_text of a run's input that is empty."},
    "input_json": {"type": ["object", "string", "null"], "description": "Stands for a run's input that is empty: an object, or the text of one."}
  }
}`),
		Check: func(params json.RawMessage) []node.Fault {
			r := reader{params: params}
			r.choice("/config/type", "manual", "event")
			r.triggerInput()
			return r.faults
		},
		Compute: computeTrigger,
	}
}

func computeTrigger(call node.Call) (node.Reply, error) {
	input := scopeOf(call).Input
	if rawjson.KindOf(input) != rawjson.Null && len(rawjson.Members(input)) > 0 {
		return node.Reply{Output: input}, nil
	}
	r := reader{params: call.Params, resolved: true}
	output := r.triggerInput()
	if len(r.faults) > 0 {
		return node.Reply{}, configFailure(r.faults[0])
	}
	return node.Reply{Output: output}, nil
}

// triggerInput is what config says in place of an empty input.
func (r *reader) triggerInput() json.RawMessage {
	const at = "/config/input_json"
	var out domain.Object
	seen := false
	if raw, ok := r.value(at); ok {
		if s, isText := text(raw); isText {
			raw = json.RawMessage(s)
		}
		if len(rawjson.Trim(raw)) > 0 && (rawjson.Check(raw, domain.JSONDepthMax) != nil || rawjson.KindOf(raw) != rawjson.Object) {
			r.fault(at, "must be a JSON object")
		} else {
			for _, m := range rawjson.Members(raw) {
				seen = seen || m.Key == "input_text"
				out.Add(m.Key, domain.Raw(m.Value))
			}
		}
	}
	if s, ok := r.text("/config/input_text"); ok && s != "" && !seen {
		out.Add("input_text", domain.Text(s))
	}
	return out.Value().JSON
}
