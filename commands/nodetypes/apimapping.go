package nodetypes

import (
	"encoding/json"
	"strings"

	"quipu/commands/node"
	"quipu/domain/rawjson"
)

// isMapping tells whether a param is {"depends": …, "mapping": {…}} (contract A.2).
func isMapping(m rawjson.Member) bool {
	if m.Key == "config" {
		return false
	}
	mapping, ok := rawjson.Get(m.Value, "/mapping")
	_, depends := rawjson.Get(m.Value, "/depends")
	return ok && depends && rawjson.KindOf(mapping) == rawjson.Object
}

// readMapping reads the mapping of the object at pointer and, in an attempt, applies it to the
// output of the task it depends on.
func (r *apiReader) readMapping(pointer string) {
	raw, ok := r.get(pointer + "/mapping")
	if !ok {
		return
	}
	if rawjson.KindOf(raw) != rawjson.Object {
		r.fault(pointer+"/mapping", "must be an object")
		return
	}
	task := strings.TrimSuffix(field(r.params, pointer+"/depends"), ".context")
	if task == "" {
		r.fault(pointer+"/depends", "is required beside mapping")
	}
	output := r.outputOf(pointer, task)
	for _, m := range rawjson.Members(raw) {
		at := pointer + "/mapping/" + rawjson.EscapeKey(m.Key)
		path, isText := text(m.Value)
		if !isText {
			r.fault(at, "must be a path")
			continue
		}
		steps, err := parsePath(path)
		if err != nil {
			r.fault(at, "%s", err.Error())
			continue
		}
		value := json.RawMessage("null") // a skipped task gives null for every path (contract D9)
		if r.resolved && rawjson.KindOf(output) != rawjson.Null {
			var found bool
			if value, found = walk(output, steps); !found {
				r.miss(at, task, path)
				continue
			}
		}
		r.setMapped(at, m.Key, value)
	}
}

// outputOf finds the output a mapping reads: among the upstream, else beside the mapping, where the
// decider puts it. It is null for a skipped task.
func (r *apiReader) outputOf(pointer, task string) json.RawMessage {
	for _, up := range r.upstream {
		if up.Task == task {
			return up.Output
		}
	}
	raw, _ := rawjson.Get(r.params, pointer+"/output")
	return raw
}

func (r *apiReader) miss(pointer, task, path string) {
	if r.out.unmapped == nil {
		f := node.Failf("MappingError", codeMapping, false, "%s: the output of task %q has nothing at %q", pointer, clip(task, 80), clip(path, 80))
		f.Details = pointerDetails(pointer)
		r.out.unmapped = f
	}
}

func (r *apiReader) setMapped(at, key string, value json.RawMessage) {
	if name, ok := strings.CutPrefix(key, bodyPrefix); ok && name != "" {
		r.setBody(name, value)
		return
	}
	if name, ok := strings.CutPrefix(key, queryPrefix); ok && name != "" {
		if rawjson.KindOf(value) != rawjson.Null {
			r.out.query = append(r.out.query, pair{name, plain(value)})
		}
		return
	}
	name, ok := strings.CutPrefix(key, headerPrefix)
	if !ok {
		r.fault(at, "the field must begin with BODY_, QUERY_ or HEADER_ and go on with a name")
		return
	}
	if problem := checkHeader(name, plain(value)); problem != "" {
		r.fault(at, "%s", problem)
	} else if rawjson.KindOf(value) != rawjson.Null {
		r.out.headers = append(r.out.headers, pair{name, plain(value)})
	}
}
