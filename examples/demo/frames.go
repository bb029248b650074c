package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"
)

// colours of events; what is not listed is plain.
var colours = map[string]string{
	"flow_started": bold, "flow_completed": green, "task_completed": green, "task_failed": red, "flow_error": red,
	"tool_failed": yellow, "task_retry_scheduled": yellow, "task_attempt_started": yellow, "task_skipped": dim,
	"tool_started": dim, "tool_completed": dim, "llm_started": dim, "llm_completed": dim,
}

func (s *screen) frameHead() {
	s.line("   %s", s.paint(dim, fmt.Sprintf("%-12s %6s  %-21s %-15s %s", "time (UTC)", "offset", "event", "task", "detail")))
}

// frame prints one event on a line.
func (s *screen) frame(f frame) {
	task := f.TaskName
	if task == "flow" {
		task = ""
	}
	name := s.paint(colours[f.EventType], fmt.Sprintf("%-21s", f.EventType))
	s.line("   %-12s %6d  %s %-15s %s", clock(f.Timestamp), *f.Offset, name, task, detail(f))
}

// detailRunesMax keeps a line within most windows.
const detailRunesMax = 96

// detail says in a few words what an event is about.
func detail(f frame) string {
	switch f.EventType {
	case "flow_started":
		return f.Message
	case "task_started":
		return clip(asked(f.Input), detailRunesMax)
	case "task_completed":
		return compact(f.Output, detailRunesMax)
	case "tool_started", "llm_started":
		return fmt.Sprintf("attempt %d", f.Attempt)
	case "tool_completed":
		var d struct{ Status int }
		_ = json.Unmarshal(f.Details, &d)
		return fmt.Sprintf("HTTP %d after %.3f s", d.Status, f.Took)
	case "llm_completed":
		var d struct {
			Model      string
			Prompt     int `json:"prompt_tokens"`
			Completion int `json:"completion_tokens"`
		}
		_ = json.Unmarshal(f.Details, &d)
		return fmt.Sprintf("%s, %d + %d tokens, %.3f s", d.Model, d.Prompt, d.Completion, f.Took)
	case "task_attempt_started":
		return fmt.Sprintf("attempt %d (%s)", f.Attempt, f.Reason)
	case "task_skipped":
		return f.Reason
	case "task_retry_scheduled":
		return f.Error.Code + ", again at " + clock(f.RetryAt)
	case "tool_failed", "task_failed":
		return clip(f.Error.Code+" "+string(body(f.Error.Details)), detailRunesMax)
	case "flow_error":
		return clip(f.Error.Code+" in "+f.Error.TaskName, detailRunesMax)
	case "flow_completed":
		var results map[string]json.RawMessage
		_ = json.Unmarshal(f.Output, &results)
		return fmt.Sprintf("%d results after %.3f s", len(results), f.TookTotal)
	}
	return ""
}

// body is the reply that an error quotes, else the details.
func body(details json.RawMessage) []byte {
	var d struct{ Body string }
	if json.Unmarshal(details, &d) == nil && d.Body != "" {
		return []byte(d.Body)
	}
	return details
}

// asked says what a task was asked to do: the call, secrets as they are shown, the other parameters.
func asked(input json.RawMessage) string {
	var params map[string]json.RawMessage
	if json.Unmarshal(input, &params) != nil {
		return string(input)
	}
	var parts []string
	var c struct {
		URL, Method, Model string
		APIKey             string            `json:"api_key"`
		Headers            map[string]string `json:"headers"`
	}
	if json.Unmarshal(params["config"], &c) == nil {
		if u, err := url.Parse(c.URL); err == nil && c.URL != "" {
			parts = append(parts, strings.TrimSpace(c.Method+" "+u.RequestURI()))
		}
		if c.Model != "" {
			parts = append(parts, "model "+c.Model)
		}
		if c.APIKey != "" {
			parts = append(parts, "api_key "+c.APIKey)
		}
		for _, name := range slices.Sorted(maps.Keys(c.Headers)) {
			parts = append(parts, name+" "+c.Headers[name])
		}
	}
	delete(params, "config")
	if len(params) > 0 {
		parts = append(parts, "with "+strings.Join(slices.Sorted(maps.Keys(params)), ", "))
	}
	return strings.Join(parts, "; ")
}
