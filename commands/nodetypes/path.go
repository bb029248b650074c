package nodetypes

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"quipu/domain"
	"quipu/domain/rawjson"
)

// wholeOutput is the mapping path that LAO's editor writes by default.
const wholeOutput = "response"

// parsePath reads a mapping path such as a.b[0].c or items["a b"].x into its steps.
func parsePath(path string) ([]string, error) {
	var steps []string
	rest := strings.TrimSpace(path)
	for first := true; rest != ""; first = false {
		if rest[0] == '[' {
			end := strings.IndexByte(rest, ']')
			if end < 0 {
				return nil, fmt.Errorf("the path %q has a [ without ]", clip(path, 80))
			}
			steps = append(steps, strings.Trim(rest[1:end], `'"`))
			rest = rest[end+1:]
			continue
		}
		if !first {
			if rest[0] != '.' {
				return nil, fmt.Errorf("the path %q needs a . or [ between its steps", clip(path, 80))
			}
			rest = rest[1:]
		}
		end := strings.IndexAny(rest, ".[")
		if end < 0 {
			end = len(rest)
		}
		if end == 0 {
			return nil, fmt.Errorf("the path %q has an empty step", clip(path, 80))
		}
		steps = append(steps, rest[:end])
		rest = rest[end:]
	}
	if len(steps) == 0 {
		return nil, fmt.Errorf("the path is empty")
	}
	return steps, nil
}

// walk finds what steps name in a task's output. "response" alone is the whole output; before
// other steps it is left out unless the output has a field of that name. Texts that hold JSON are
// opened on the way.
func walk(output json.RawMessage, steps []string) (json.RawMessage, bool) {
	if len(steps) == 1 && steps[0] == wholeOutput {
		return output, true
	}
	if steps[0] == wholeOutput {
		if _, ok := stepInto(output, wholeOutput); !ok {
			steps = steps[1:]
		}
	}
	for _, s := range steps {
		next, ok := stepInto(output, s)
		if !ok {
			return nil, false
		}
		output = next
	}
	return output, true
}

func stepInto(doc json.RawMessage, step string) (json.RawMessage, bool) {
	if s, ok := text(doc); ok {
		if doc = json.RawMessage(s); rawjson.Check(doc, domain.JSONDepthMax) != nil {
			return nil, false
		}
	}
	if n, err := strconv.Atoi(step); err == nil && n < 0 {
		return nil, false
	}
	return rawjson.Get(doc, "/"+rawjson.EscapeKey(step))
}
