package definition

import (
	"math"
	"strconv"
	"strings"
	"time"

	"quipu/commands/node"
	"quipu/domain"
	"quipu/domain/rawjson"
	"quipu/domain/workflow"
)

// timeoutMax is the longest time one attempt may ask for.
const timeoutMax = 24 * time.Hour

// Traits resolves what a node's type and its params.config say about running it, and stores it in n.
// fault is told what is wrong, by pointers relative to the params. Where n has Templates, a template
// in the place of a policy leaves the default: a policy holds for all attempts and is fixed at the
// start.
func Traits(n *workflow.Node, typ *node.Type, fault func(pointer, format string, args ...any)) {
	n.Type, n.Pure, n.Timer = typ.Name, typ.Computed(n.Params.JSON), typ.Kind == node.Timer
	if n.Pure {
		n.Calls, n.Timeout = "", 0
		return
	}
	n.Calls, n.Timeout = string(typ.Calls), typ.Timeout
	if typ.Kind != node.Effect {
		return
	}
	n.Retry = workflow.DefaultRetry()
	r := policy{fault: fault, templates: n.Templates}
	config, _ := n.Params.Get("/config")
	for _, m := range config.Members() {
		switch m.Key {
		case "retry":
			r.retry(m.Value, "/config/retry", &n.Retry)
		case "timeout":
			if rawjson.KindOf(m.Value.JSON) != rawjson.Null && !r.template(m.Value) {
				n.Timeout = r.duration(m.Value, "/config/timeout", timeoutMax)
			}
		}
	}
}

// policy reads the policies in a config.
type policy struct {
	fault     func(pointer, format string, args ...any)
	templates bool
}

func (p policy) template(v domain.Value) bool { return p.templates && holdsTemplate(v.JSON) }

// holdsTemplate reports whether raw is a string with a template in it.
func holdsTemplate(raw []byte) bool {
	return rawjson.KindOf(raw) == rawjson.String && strings.Contains(rawjson.Unquote(rawjson.Trim(raw)), "{{")
}

// duration reads a number of seconds or a text like "1.5s".
func (p policy) duration(v domain.Value, at string, most time.Duration) time.Duration {
	text := string(rawjson.Trim(v.JSON))
	var d time.Duration
	var err error
	switch rawjson.KindOf(v.JSON) {
	case rawjson.Number:
		var seconds float64
		if seconds, err = strconv.ParseFloat(text, 64); err == nil && seconds <= most.Seconds() {
			d = time.Duration(seconds * float64(time.Second))
		} else {
			d = most + 1
		}
	case rawjson.String:
		text = rawjson.Unquote([]byte(text))
		d, err = time.ParseDuration(text)
	default:
		p.fault(at, `must be a number of seconds or a text like "1.5s"`)
		return 0
	}
	if err != nil || d <= 0 || d > most {
		p.fault(at, `is %s; give more than 0 and at most %s, as seconds or a text like "1.5s"`, rawjson.Clip(text), most)
		return 0
	}
	return d
}

// retry reads {attempts, initial, factor, max, jitter} over the default policy. false or 0 attempts
// turn retries off; null, like true, leaves the default.
func (p policy) retry(v domain.Value, at string, r *workflow.Retry) {
	if rawjson.KindOf(v.JSON) == rawjson.Null || p.template(v) {
		return
	}
	if rawjson.KindOf(v.JSON) == rawjson.Bool {
		if string(rawjson.Trim(v.JSON)) == "false" {
			r.Attempts = 1
		}
		return
	}
	if rawjson.KindOf(v.JSON) != rawjson.Object {
		p.fault(at, "must be an object such as {\"attempts\": 3, \"initial\": \"0.5s\"} or false")
		return
	}
	for _, m := range v.Members() {
		field := at + "/" + rawjson.EscapeKey(m.Key)
		if p.template(m.Value) {
			continue
		}
		switch m.Key {
		case "attempts", "max_attempts":
			n := p.number(m.Value, field, 0, workflow.RetryAttemptsMax)
			if n != math.Trunc(n) {
				p.fault(field, "must be a whole number")
			}
			r.Attempts = max(1, int(n))
		case "initial":
			r.Initial = p.duration(m.Value, field, workflow.RetryDelayMax)
		case "max":
			r.Max = p.duration(m.Value, field, workflow.RetryDelayMax)
		case "factor":
			r.Factor = p.number(m.Value, field, 1, 100)
		case "jitter":
			r.Jitter = p.number(m.Value, field, 0, 1)
		default:
			p.fault(field, "is no part of a retry policy; use attempts, initial, factor, max, jitter")
		}
	}
}

func (p policy) number(v domain.Value, at string, least, most float64) float64 {
	n, err := strconv.ParseFloat(string(rawjson.Trim(v.JSON)), 64)
	if rawjson.KindOf(v.JSON) != rawjson.Number || err != nil || n < least || n > most {
		p.fault(at, "must be a number from %g to %g", least, most)
		return least
	}
	return n
}
