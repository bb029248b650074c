package historytest

import (
	"encoding/json"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"testing"

	"quipu/domain/run"
	"quipu/domain/wire"
)

// Call is one request that reached the world outside, and the serial number that its answer holds.
type Call struct {
	Key, Attempt string
	Request      string // what it asked for, all of it
	Serial       int
}

// KeyOf is the documented idempotency key of a task (contract D8).
func KeyOf(id, task string) string { return id + "/" + url.PathEscape(task) + "/0" }

// Repeats is how often calls came again, each time as another attempt.
type Repeats struct{ Keys, Calls int }

type attempt struct{ key, number string }

// CheckCalls reports calls outside that cannot be: a key that stands for two requests, an attempt that was
// made twice or is not on record, an output that is no answer to its task.
func (h History) CheckCalls(t testing.TB, calls []Call) Repeats {
	requests, attempts := map[string]string{}, map[attempt]bool{}
	answers := map[string]map[string]bool{} // key -> serials
	for _, c := range calls {
		if before, ok := requests[c.Key]; ok && before != c.Request {
			t.Errorf("key %s stands for %s and for %s", c.Key, before, c.Request)
		}
		requests[c.Key] = c.Request
		if a := (attempt{c.Key, c.Attempt}); attempts[a] {
			t.Errorf("attempt %s under key %s was made twice", c.Attempt, c.Key)
		} else {
			attempts[a] = true
		}
		if answers[c.Key] == nil {
			answers[c.Key] = map[string]bool{}
		}
		answers[c.Key][fmt.Sprint(c.Serial)] = true
	}
	for id := range h.Runs {
		h.checkCallsOf(t, id, requests, attempts, answers)
	}
	for a := range attempts {
		t.Errorf("attempt %s under key %s is not on record", a.number, a.key)
	}
	return Repeats{Keys: len(requests), Calls: len(calls)}
}

func (h History) checkCallsOf(t testing.TB, id string, requests map[string]string, attempts map[attempt]bool, answers map[string]map[string]bool) {
	for _, e := range h.Runs[id] {
		event, _ := wire.DecodeRun(e.Type, e.Data) // CheckRuns reports what cannot be decoded
		switch e := event.(type) {
		case run.TaskStarted:
			delete(attempts, attempt{KeyOf(id, e.Task), "1"})
		case run.TaskAttemptStarted:
			delete(attempts, attempt{KeyOf(id, e.Task), strconv.Itoa(e.Attempt)})
		case run.TaskCompleted:
			var reply struct {
				Serial json.Number
				Key    string
			}
			key := KeyOf(id, e.Task)
			if requests[key] == "" || strings.Contains(requests[key], "/agent") || e.Output.JSON == nil {
				continue
			}
			if err := json.Unmarshal(e.Output.JSON, &reply); err != nil || reply.Key != key || !answers[key][reply.Serial.String()] {
				t.Errorf("run %s: %q put out %.300s, which is no answer to %s", id, e.Task, e.Output.JSON, key)
			}
		}
	}
}
