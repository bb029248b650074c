// Package workflow holds definitions: tasks, edges, and the rules a graph must keep.
//
// A Definition is what one run executes, already translated from the dialect it came in. Compile
// checks it and prepares the indexes a decider needs.
package workflow

import (
	"fmt"
	"math"
	"strings"
	"time"

	"quipu/domain"
	"quipu/domain/rawjson"
)

// Definition is a directed acyclic graph of tasks.
type Definition struct {
	Nodes []Node
	Edges []Edge
}

// Node is one vertex. The traits (Pure, Timer, Waits, Templates, Calls, Retry, Timeout) are resolved from the node's type
// when the run starts and are stored with it, so that a later change of a type never changes the
// meaning of an old run.
type Node struct {
	Name   string
	Type   string       // registered name of the node type
	Tag    string       // free label, may be empty
	Params domain.Value // as written; a JSON object
	Pure   bool         // computed inside a decision, without effects
	// Templates says that "{{ expression }}" in the strings of Params is evaluated when the task
	// starts (contract D8): definitions made through /api/workflows only, never run-dag's.
	Templates bool
	// Timer says that the task waits until an instant that is worked out when it starts, without
	// any attempt in between. It is neither Pure nor does it make Calls.
	Timer bool
	// Waits says for what the task waits without any attempt of its own, WaitsApproval or WaitsEvent;
	// "" for none. Such a task is neither Pure nor a Timer nor does it make Calls.
	Waits   string
	Calls   string // family of call events around the task: "", "tool" or "llm"
	Retry   Retry
	Timeout time.Duration // of one attempt; 0 = the executor's default
}

// What a task may wait for.
const (
	WaitsApproval = "approval" // somebody's decision
	WaitsEvent    = "event"    // a signal to the run, or a message of a channel
)

// Edge orders Target after Source. With a condition it also gates: of a target's conditional
// edges at least one must hold, else the target is skipped (contract D9).
type Edge struct {
	Source, Target string
	Condition      string // "" = orders only
}

// Retry says when and how often a failed attempt is tried again.
type Retry struct {
	Attempts int           // total attempts, 1..RetryAttemptsMax
	Initial  time.Duration // delay before the second attempt
	Factor   float64       // growth of the delay per further attempt, >= 1
	Max      time.Duration // cap of the delay before jitter
	Jitter   float64       // part of the delay that jitter may add or take, 0..1
}

// RetryAttemptsMax is the most attempts a definition may ask for.
const RetryAttemptsMax = 100

// RetryDelayMax is the longest delay a definition may ask for.
const RetryDelayMax = 24 * time.Hour

// DefaultRetry is contract D8's default: three attempts, 0.5 s doubling, capped at 10 s, 20 % jitter.
func DefaultRetry() Retry {
	return Retry{Attempts: 3, Initial: 500 * time.Millisecond, Factor: 2, Max: 10 * time.Second, Jitter: 0.2}
}

// Delay is the wait before attempt number failures+1, given how often the task has failed
// (>= 1) and a jitter input in [0,1). A far side's wish (retryAfter) is honoured up to
// RetryDelayMax and never shortened. The result is in whole milliseconds, the stored precision.
func (r Retry) Delay(failures int, jitter float64, retryAfter time.Duration) time.Duration {
	most := float64(min(max(r.Max, 0), RetryDelayMax))
	d := float64(max(r.Initial, 0))
	for i := 1; i < failures && d < most && r.Factor > 1; i++ {
		d *= r.Factor
	}
	d = min(d, most)
	if spread := d * r.Jitter * (2*jitter - 1); math.Abs(spread) <= d { // false for NaN
		d += spread
	}
	wish := min(retryAfter+time.Millisecond-1, RetryDelayMax).Truncate(time.Millisecond)
	return max(time.Duration(d).Truncate(time.Millisecond), wish, 0)
}

// check reports which field of the policy no stored definition may have, and why.
func (r Retry) check() (field, message string) {
	finite := func(f float64) bool { return !math.IsNaN(f) && !math.IsInf(f, 0) && f >= 0 }
	switch {
	case r.Attempts < 0 || r.Attempts > RetryAttemptsMax:
		return "attempts", fmt.Sprintf("is %d, at most %d are allowed", r.Attempts, RetryAttemptsMax)
	case r.Initial < 0 || r.Initial > RetryDelayMax:
		return "initial", fmt.Sprintf("is %s, 0s to %s are allowed", r.Initial, RetryDelayMax)
	case r.Max < 0 || r.Max > RetryDelayMax:
		return "max", fmt.Sprintf("is %s, 0s to %s are allowed", r.Max, RetryDelayMax)
	case !finite(r.Factor):
		return "factor", "must be a number that is not negative"
	case !finite(r.Jitter) || r.Jitter > 1:
		return "jitter", "must be a number from 0 to 1"
	}
	return "", ""
}

// RefKind says where a parameter's value comes from.
type RefKind uint8

// The kinds of parameter values (contract Part 2 A.2).
const (
	RefDirect  RefKind = iota // the value as written
	RefValue                  // {"value": v}
	RefInput                  // {"input": "<key of the run's input>"}
	RefDepends                // {"depends": "<task>"}
	RefMapping                // an object with "depends" and more: the output is added to it
)

// Ref is one top-level parameter.
type Ref struct {
	Param string
	Kind  RefKind
	Name  string       // input key or task name
	Value domain.Value // the parameter as written; for RefValue the inner value
}

// Refs reads the top-level parameters of params in order.
//
// Only top-level members are references, never deeper ones: a request body such as
// {"input": "hello"} inside config must reach its receiver unchanged.
func Refs(params domain.Value) []Ref {
	members := params.Members()
	refs := make([]Ref, 0, len(members))
	for _, m := range members {
		refs = append(refs, refOf(m))
	}
	return refs
}

func refOf(m domain.Member) Ref {
	direct := Ref{Param: m.Key, Kind: RefDirect, Value: m.Value}
	if rawjson.KindOf(m.Value.JSON) != rawjson.Object {
		return direct
	}
	inner := m.Value.Members()
	for _, in := range inner {
		if in.Key == "depends" && rawjson.KindOf(in.Value.JSON) == rawjson.String {
			kind := RefDepends
			if len(inner) > 1 {
				kind = RefMapping
			}
			return Ref{Param: m.Key, Kind: kind, Name: taskName(text(in.Value)), Value: m.Value}
		}
	}
	if len(inner) != 1 || m.Key == "config" {
		return direct
	}
	switch in := inner[0]; {
	case in.Key == "input" && rawjson.KindOf(in.Value.JSON) == rawjson.String:
		return Ref{Param: m.Key, Kind: RefInput, Name: text(in.Value), Value: m.Value}
	case in.Key == "value":
		return Ref{Param: m.Key, Kind: RefValue, Value: in.Value}
	}
	return direct
}

// taskName strips the suffix that older clients save after a task's name.
func taskName(s string) string { return strings.TrimSuffix(s, ".context") }

func text(v domain.Value) string { return rawjson.Unquote(rawjson.Trim(v.JSON)) }
