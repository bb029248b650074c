package intakehttp

import (
	"math"
	"strconv"
	"time"

	"quipu/domain"
	"quipu/domain/rawjson"
	"quipu/domain/workflow"
)

// taskTimeoutMax is the longest time one attempt may ask for.
const taskTimeoutMax = 24 * time.Hour

// duration reads a number of seconds or a text like "1.5s".
func (p *parser) duration(v domain.Value, at string, most time.Duration) time.Duration {
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
		p.shape.add(at, `must be a number of seconds or a text like "1.5s"`)
		return 0
	}
	if err != nil || d <= 0 || d > most {
		p.shape.add(at, `is %s; give more than 0 and at most %s, as seconds or a text like "1.5s"`, clip(text), most)
		return 0
	}
	return d
}

// retry reads {attempts, initial, factor, max, jitter} over the default policy. false or 0 attempts
// turn retries off; null, like true, leaves the default.
func (p *parser) retry(v domain.Value, at string, r *workflow.Retry) {
	if rawjson.KindOf(v.JSON) == rawjson.Null {
		return
	}
	if rawjson.KindOf(v.JSON) == rawjson.Bool {
		if string(rawjson.Trim(v.JSON)) == "false" {
			r.Attempts = 1
		}
		return
	}
	if rawjson.KindOf(v.JSON) != rawjson.Object {
		p.shape.add(at, "must be an object such as {\"attempts\": 3, \"initial\": \"0.5s\"} or false")
		return
	}
	for _, m := range v.Members() {
		field := at + "/" + rawjson.EscapeKey(m.Key)
		switch m.Key {
		case "attempts", "max_attempts":
			n := p.number(m.Value, field, 0, workflow.RetryAttemptsMax)
			if n != math.Trunc(n) {
				p.shape.add(field, "must be a whole number")
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
			p.shape.add(field, "is no part of a retry policy; use attempts, initial, factor, max, jitter")
		}
	}
}

func (p *parser) number(v domain.Value, at string, least, most float64) float64 {
	n, err := strconv.ParseFloat(string(rawjson.Trim(v.JSON)), 64)
	if rawjson.KindOf(v.JSON) != rawjson.Number || err != nil || n < least || n > most {
		p.shape.add(at, "must be a number from %g to %g", least, most)
		return least
	}
	return n
}
