package nodetypes

import (
	"encoding/json"
	"math"
	"strconv"
	"time"

	"quipu/commands/node"
	"quipu/domain"
)

// timer waits. How long is said in one of config.duration_seconds, config.duration and config.until;
// an instant that has passed is due at once. Output: {waited_seconds, completed_at} (contract C.3).
func timer() node.Type {
	return node.Type{
		Name:        "timer",
		Title:       "Timer",
		Category:    categoryLogic,
		Description: "Waits for a time or until an instant, from nothing up to ten years. Output: how long it waited and when it went on.",
		Input:       json.RawMessage(anyUpstream),
		Output: json.RawMessage(`{
  "$schema": "https://json-schema.org/draft/2020-12/schema",
  "type": "object",
  "required": ["waited_seconds", "completed_at"],
  "properties": {"waited_seconds": {"type": "number"}, "completed_at": {"type": "string", "format": "date-time"}}
}`),
		Examples: []node.Example{
			example("Wait for a minute and a half", `{"config":{"name":"Cool down","duration_seconds":90}}`, `{"waited_seconds":90,"completed_at":"2026-01-02T15:05:35Z"}`),
			example("Wait until an instant", `{"config":{"until":"2026-01-02T15:04:05Z"}}`, `{"waited_seconds":3600,"completed_at":"2026-01-02T15:04:05Z"}`),
		},
		Kind: node.Timer,
		Config: json.RawMessage(`{
  "$schema": "https://json-schema.org/draft/2020-12/schema",
  "type": "object",
  "properties": {
    "name": {"type": "string"},
    "duration_seconds": {"type": "number", "minimum": 0, "description": "Seconds to wait, fractions allowed; at most 315360000 (10 years). Give one of duration_seconds, duration and until."},
    "duration": {"type": "string", "minLength": 2, "description": "A duration such as 1h30m or 90s, in place of duration_seconds."},
    "until": {"type": "string", "minLength": 20, "description": "An instant such as 2026-01-02T15:04:05Z, in place of a duration."}
  }
}`),
		// How many are given and how long that is, Check says in better words than a schema's.
		Check: func(params json.RawMessage) []node.Fault {
			r := reader{params: params}
			r.wait(time.Time{})
			return r.faults
		},
		Due: func(call node.Call, at time.Time) (time.Time, error) {
			r := reader{params: call.Params, resolved: true}
			due := r.wait(at)
			if len(r.faults) > 0 {
				return time.Time{}, configFailure(r.faults[0])
			}
			return due, nil
		},
	}
}

const waitFields = "duration_seconds, duration or until"

// wait reads until when a timer waits that starts at the given instant.
func (r *reader) wait(at time.Time) time.Time {
	var given []string
	for _, pointer := range []string{"/config/duration_seconds", "/config/duration", "/config/until"} {
		if r.has(pointer) {
			given = append(given, pointer)
		}
	}
	switch len(given) {
	case 0:
		r.fault("/config/duration_seconds", "is required, or one of duration and until")
		return at
	case 1:
	default:
		r.fault(given[1], "stands beside another; give one of %s", waitFields)
		return at
	}
	var d time.Duration
	switch given[0] {
	case "/config/duration":
		d = r.duration(given[0])
	case "/config/until":
		return r.instant(given[0], at)
	default:
		d = r.seconds(given[0])
	}
	return at.Add(d)
}

// missing reports a value that is null where it should be known by now.
func (r *reader) missing(pointer string) {
	if r.resolved && len(r.faults) == 0 {
		r.fault(pointer, "is null; give a value")
	}
}

func (r *reader) seconds(pointer string) time.Duration {
	s, ok := r.scalar(pointer)
	if !ok {
		r.missing(pointer)
		return 0
	}
	n, err := strconv.ParseFloat(s, 64)
	if err != nil || math.IsNaN(n) || n < 0 || n > domain.TimerWaitMax.Seconds() {
		r.fault(pointer, "must be a number of seconds from 0 to %d (10 years)", int64(domain.TimerWaitMax.Seconds()))
		return 0
	}
	return time.Duration(n * float64(time.Second))
}

func (r *reader) duration(pointer string) time.Duration {
	s, ok := r.text(pointer)
	if !ok {
		r.missing(pointer)
		return 0
	}
	d, err := time.ParseDuration(s)
	if err != nil || d < 0 || d > domain.TimerWaitMax {
		r.fault(pointer, "must be a duration such as \"1h30m\", from 0 to %dh (10 years)", int64(domain.TimerWaitMax.Hours()))
		return 0
	}
	return d
}

func (r *reader) instant(pointer string, at time.Time) time.Time {
	s, ok := r.text(pointer)
	if !ok {
		r.missing(pointer)
		return at
	}
	until, err := time.Parse(time.RFC3339Nano, s)
	if err != nil {
		r.fault(pointer, "must be an instant such as \"2026-01-02T15:04:05Z\"")
		return at
	}
	if r.resolved && until.Sub(at) > domain.TimerWaitMax {
		r.fault(pointer, "is more than 10 years away; choose an earlier instant")
	}
	return until
}
