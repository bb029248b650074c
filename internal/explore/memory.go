package explore

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"
)

// memory is what a sequence of calls has learnt from answers: values by the name under which a later
// request may want them.
type memory map[string][]string

// rememberedMax is how many values of one name are kept, the newest.
const rememberedMax = 16

// aliases are names of one thing.
var aliases = map[string][]string{
	"task_id":      {"executions"}, // of run-dag: the run
	"execution_id": {"executions"},
	"workflow_id":  {"workflows"},
	"next_cursor":  {"cursor"},
	"position":     {"at_least", "after", "before", "from"},
	"name":         {"workflow_name"},
	"endpoint":     {"endpoints"},
	"version":      {"version"},
	"last_offset":  {"at"},
}

func (m memory) keep(name, value string) {
	if value == "" || len(value) > 600 || slices.Contains(m[name], value) {
		return
	}
	m[name] = append(m[name], value)
	if len(m[name]) > rememberedMax {
		m[name] = m[name][1:]
	}
}

// learn takes values out of the answer to an operation.
func (m memory) learn(op operation, body []byte) {
	d := json.NewDecoder(bytes.NewReader(body))
	d.UseNumber()
	var v any
	if d.Decode(&v) == nil {
		m.walk(op, "", v)
	}
}

func (m memory) walk(op operation, key string, v any) {
	switch v := v.(type) {
	case map[string]any:
		for _, k := range sorted(v) {
			if k != "definition" && k != "nodes" { // ids in it are the graph's own
				m.walk(op, k, v[k])
			}
		}
	case []any:
		for _, item := range v[:min(len(v), 4)] {
			m.walk(op, key, item)
		}
	case string:
		m.note(op, key, v)
	case json.Number:
		m.note(op, key, v.String())
	}
}

func (m memory) note(op operation, key, value string) {
	if key == "id" {
		m.keep(op.resource(), value)
		return
	}
	if strings.HasPrefix(value, "lao-") {
		return // of runs without a stored workflow
	}
	if sha, ok := strings.CutPrefix(value, "/blobs/"); ok {
		m.keep("sha256", sha)
	}
	m.keep(key, value)
	for _, name := range aliases[key] {
		m.keep(name, value)
	}
}

func sorted(v map[string]any) []string {
	var keys []string
	for k := range v {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
