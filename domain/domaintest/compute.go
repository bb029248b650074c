package domaintest

import (
	"bytes"
	"errors"
	"hash/fnv"
	"slices"
	"strconv"
	"strings"
	"time"

	"quipu/domain"
	"quipu/domain/rawjson"
	"quipu/domain/run"
)

// At is the instant ms milliseconds after the epoch of all tests.
func At(ms int) time.Time {
	return time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC).Add(time.Duration(ms) * time.Millisecond)
}

// Compute evaluates the pure node types and conditions that tests use; deterministic.
//
//	node   pure: {"params":<bytes>}; pure_echo: its input; pure_big: a text beyond the inline bound;
//	       pure_fail: an error; pure_fault: one with a code and details; pure_bad: bytes that are no JSON
//	       (see also Render and Due)
//	gate   true, false, error; output: whether the output is true; any other text: a coin flipped by
//	       the text and the output
type Compute struct{}

// Big is a JSON text larger than domain.PayloadInlineBytesMax.
func Big(letter string) domain.Value {
	return domain.Text(strings.Repeat(letter, domain.PayloadInlineBytesMax))
}

// Node implements run.Compute.
func (Compute) Node(function string, input domain.Value, _ []run.Upstream, _ run.Scope) (domain.Value, error) {
	switch function {
	case "pure_echo":
		return input, nil
	case "pure_big":
		return Big("p"), nil
	case "pure_fail":
		return domain.Value{}, errors.New("cannot be computed")
	case "pure_fault":
		return domain.Value{}, &run.Fault{ErrorInfo: run.ErrorInfo{Type: "OwnError", Code: "OWN_CODE", Message: "/x: is wrong", Details: domain.Raw([]byte(`{"pointer":"/x"}`))}}
	case "pure_bad":
		return domain.Raw([]byte(`{"cut":`)), nil
	}
	return domain.Raw([]byte(`{"pure":true}`)), nil
}

// Render implements run.Compute: a string "{{output}}" becomes the output of the scope, null without
// one; "{{bad}}" is an error; other strings are left.
func (Compute) Render(params domain.Value, scope run.Scope) (domain.Value, error) {
	out := domain.Value{Holes: slices.Clone(params.Holes)}
	var edits []rawjson.Edit
	var failed error
	err := rawjson.Walk(params.JSON, domain.JSONDepthMax, func(p *rawjson.Path, kind rawjson.Kind, start, end int) bool {
		if kind != rawjson.String {
			return true
		}
		switch string(params.JSON[start:end]) {
		case `"{{bad}}"`:
			failed = errors.New("cannot be rendered")
		case `"{{output}}"`:
			v := scope.Output
			if v.Absent() {
				v = domain.Null()
			}
			for _, h := range v.Holes {
				h.At = p.Pointer() + h.At
				out.Holes = append(out.Holes, h)
			}
			edits = append(edits, rawjson.Edit{Start: start, End: end, New: v.JSON})
		}
		return true
	})
	out.JSON = rawjson.Splice(params.JSON, edits)
	return out, errors.Join(err, failed)
}

// Await implements run.Compute: a request of the parameter "description", a channel of the parameter
// "channel", due after the parameter "ms" if there is one; "wait_bad" cannot be evaluated.
func (Compute) Await(function string, input domain.Value, at time.Time) (run.Wait, error) {
	if function == "wait_bad" {
		return run.Wait{}, errors.New("/config/approvers: must be a list")
	}
	var w run.Wait
	if raw, ok := rawjson.Get(input.JSON, "/channel"); ok {
		w.Channel = rawjson.Unquote(raw)
	}
	if raw, ok := rawjson.Get(input.JSON, "/description"); ok {
		var o domain.Object
		o.Add("description", domain.Raw(raw))
		w.Request = o.Value()
	}
	if raw, ok := rawjson.Get(input.JSON, "/ms"); ok {
		ms, err := strconv.ParseFloat(string(raw), 64)
		w.Due = at.Add(time.Duration(ms * float64(time.Millisecond)))
		return w, err
	}
	return w, nil
}

// Due implements run.Compute: "timer" waits for its parameter "ms", "timer_bad" has no instant,
// "timer_long" waits beyond the bound.
func (Compute) Due(function string, input domain.Value, at time.Time) (time.Time, error) {
	switch function {
	case "timer_bad":
		return time.Time{}, errors.New("/config/duration_seconds: must be a number")
	case "timer_long":
		return at.Add(domain.TimerWaitMax + 1), nil
	}
	raw, _ := rawjson.Get(input.JSON, "/ms")
	ms, err := strconv.ParseFloat(string(raw), 64)
	return at.Add(time.Duration(ms * float64(time.Millisecond))), err
}

// Gate implements run.Compute.
func (Compute) Gate(_, condition string, scope run.Scope) (bool, error) {
	switch condition {
	case "true":
		return true, nil
	case "false":
		return false, nil
	case "error":
		return false, errors.New("unknown name nobody at column 3")
	case "output":
		return bytes.Equal(scope.Output.JSON, []byte("true")), nil
	}
	h := fnv.New32a()
	_, _ = h.Write([]byte(condition))
	_, _ = h.Write(scope.Output.JSON)
	return h.Sum32()%2 == 0, nil
}
