package nodetypes

import (
	"encoding/json"
	"strings"

	"quipu/commands/node"
	"quipu/domain/rawjson"
)

// agentMessage is what an agent is told: user_message (or message, beside config or in it), then, each on a line of its
// own, "user input: <value>" if there is such a param, and "<task>: <output>" for each task this
// one depends on. Strings stand unquoted, other JSON as written.
//
// Left out: skipped tasks, second mentions of a task, and a task whose output already is the
// message (user_message: {depends: …}). Source: contract D8, A.2.
func agentMessage(call node.Call) string {
	var lines []string
	var from string
	for _, param := range []string{"user_message", "message", "config/user_message", "config/message"} {
		if raw, ok := rawjson.Get(call.Params, "/"+param); ok && rawjson.KindOf(raw) != rawjson.Null {
			lines = append(lines, plain(unwrapValue(raw)))
			from = param
			break
		}
	}
	if raw, ok := rawjson.Get(call.Params, "/user input"); ok {
		lines = append(lines, "user input: "+plain(unwrapValue(raw)))
	}
	seen := make(map[string]bool, len(call.Upstream))
	for _, up := range call.Upstream {
		if up.Skipped || seen[up.Task] || up.Param != "" && up.Param == from {
			continue
		}
		seen[up.Task] = true
		lines = append(lines, up.Task+": "+plain(up.Output))
	}
	return strings.Join(lines, "\n")
}

// unwrapValue opens {"value": x}, which LAO's editor writes for a direct value.
func unwrapValue(raw json.RawMessage) json.RawMessage {
	if members := rawjson.Members(raw); len(members) == 1 && members[0].Key == "value" {
		return members[0].Value
	}
	return raw
}

// plain renders a JSON value for a text: strings unquoted, nothing as "null".
func plain(raw json.RawMessage) string {
	if len(raw) == 0 {
		return "null"
	}
	if s, ok := text(raw); ok {
		return s
	}
	return string(rawjson.Trim(raw))
}

// text decodes raw if it is a JSON string.
func text(raw json.RawMessage) (string, bool) {
	if raw = rawjson.Trim(raw); rawjson.KindOf(raw) != rawjson.String || len(raw) < 2 {
		return "", false
	}
	return rawjson.Unquote(raw), true
}

// field returns the string at pointer, "" if there is none or it is no string.
func field(doc json.RawMessage, pointer string) string {
	raw, ok := rawjson.Get(doc, pointer)
	if !ok {
		return ""
	}
	s, _ := text(unwrapValue(raw))
	return s
}
