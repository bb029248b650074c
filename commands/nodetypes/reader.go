package nodetypes

import (
	"encoding/json"
	"fmt"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"time"

	"quipu/commands/node"
	"quipu/commands/sealing"
	"quipu/domain/rawjson"
)

// timeoutMax is the longest config.timeout.
const timeoutMax = 24 * time.Hour

// reader reads params and collects what is wrong with them. It serves both a definition's check,
// where references, templates and hidden secrets still stand in the place of values, and an
// attempt, where all is resolved.
type reader struct {
	params   json.RawMessage
	resolved bool
	config   []rawjson.Member // of params, if the type looks at many of them
	faults   []node.Fault
}

// get is rawjson.Get, which reads params from the start, but for the members of config where they
// are known.
func (r *reader) get(pointer string) (json.RawMessage, bool) {
	key, inConfig := strings.CutPrefix(pointer, "/config/")
	if !inConfig || r.config == nil || strings.ContainsAny(key, "/~") {
		return rawjson.Get(r.params, pointer)
	}
	for i := range r.config {
		if r.config[i].Key == key {
			return r.config[i].Value, true
		}
	}
	return nil, false
}

func (r *reader) fault(pointer, format string, args ...any) {
	r.faults = append(r.faults, node.Fault{Pointer: pointer, Message: fmt.Sprintf(format, args...)})
}

// value returns the value at pointer; ok is false if there is none to look at: absent, null, or
// not known yet. {"value": x} is opened.
func (r *reader) value(pointer string) (json.RawMessage, bool) {
	raw, ok := r.get(pointer)
	if !ok {
		return nil, false
	}
	raw = unwrapValue(raw)
	return raw, rawjson.KindOf(raw) != rawjson.Null && (r.resolved || !unresolved(raw))
}

// unresolved tells whether raw is {"depends": …}, {"input": …} or a text with a template.
func unresolved(raw json.RawMessage) bool {
	if s, ok := text(raw); ok {
		return strings.Contains(s, "{{")
	}
	for _, m := range rawjson.Members(raw) {
		if m.Key == "depends" || m.Key == "input" {
			return true
		}
	}
	return false
}

// has tells whether anything stands at pointer, null and references included.
func (r *reader) has(pointer string) bool {
	_, ok := r.get(pointer)
	return ok
}

// untemplated refuses a template where expressions are read: its value would become part of their
// source, so that the run's data could say what is evaluated.
func (r *reader) untemplated(pointer string) bool {
	raw, _ := r.get(pointer)
	if s, ok := text(unwrapValue(raw)); r.resolved || !ok || !strings.Contains(s, "{{") {
		return true
	}
	r.fault(pointer, "is read as an expression; write its names without {{ }}")
	return false
}

// text reads a string; ok is false if none is known.
func (r *reader) text(pointer string) (string, bool) {
	raw, ok := r.value(pointer)
	if !ok {
		return "", false
	}
	s, ok := text(raw)
	if !ok {
		r.fault(pointer, "must be a string")
	}
	return s, ok
}

// choice reads a string that is one of words.
func (r *reader) choice(pointer string, words ...string) string {
	s, ok := r.text(pointer)
	if !ok {
		return ""
	}
	for _, w := range words {
		if s == w {
			return s
		}
	}
	r.fault(pointer, "must be one of %s", strings.Join(words, ", "))
	return ""
}

// scalar reads a string, number or bool as text.
func (r *reader) scalar(pointer string) (string, bool) {
	raw, ok := r.value(pointer)
	if !ok {
		return "", false
	}
	switch rawjson.KindOf(raw) {
	case rawjson.Object, rawjson.Array:
		r.fault(pointer, "must be a string, a number or a bool")
		return "", false
	}
	return plain(raw), true
}

// members returns an object's members; their values are read by pointer.
func (r *reader) members(pointer string) []rawjson.Member {
	raw, ok := r.value(pointer)
	if !ok {
		return nil
	}
	if rawjson.KindOf(raw) != rawjson.Object {
		r.fault(pointer, "must be an object")
		return nil
	}
	return rawjson.Members(raw)
}

// url reads an absolute http or https URL.
func (r *reader) url(pointer string) *url.URL {
	s, ok := r.text(pointer)
	if !ok {
		return nil
	}
	if _, hidden := sealing.ParseMask(s); hidden && !r.resolved {
		return nil // of a URL that holds a secret, sent back by who has read the definition
	}
	u, err := url.Parse(strings.TrimSpace(s))
	switch {
	case r.resolved && maskWithin.MatchString(s):
		// The far side would get the mask: a template does not put a secret into a longer text.
		r.fault(pointer, "holds the mask of a secret; pass the secret by a header or a query member whose name says so, such as headers.Authorization or query.api_key")
	case err != nil:
		r.fault(pointer, "is not a URL")
	case u.Scheme != "http" && u.Scheme != "https", u.Hostname() == "":
		r.fault(pointer, "must be an absolute URL that begins with http:// or https://")
	case u.User != nil:
		// Nothing masks a password here: url is not the name of a secret.
		r.fault(pointer, "must not hold a user or password; use the header Authorization")
	default:
		u.Fragment, u.RawFragment = "", ""
		return u
	}
	return nil
}

// maskWithin finds what is shown in place of a secret.
var maskWithin = regexp.MustCompile(`\*\*\*[0-9a-f]{8}`)

// optionalURL is url for a field that editors leave as an empty text.
func (r *reader) optionalURL(pointer string) *url.URL {
	if raw, ok := r.value(pointer); ok {
		if s, isText := text(raw); isText && s == "" {
			return nil
		}
	}
	return r.url(pointer)
}

// timeout reads seconds ("30", 0.5) or a duration ("1m30s"); 0 if there is none.
func (r *reader) timeout(pointer string) time.Duration {
	s, ok := r.scalar(pointer)
	if !ok {
		return 0
	}
	d, err := time.ParseDuration(s)
	if seconds, numErr := strconv.ParseFloat(s, 64); numErr == nil {
		d, err = 0, nil
		if seconds > 0 && seconds <= timeoutMax.Seconds() {
			d = time.Duration(seconds * float64(time.Second))
		}
	}
	if err != nil || d <= 0 || d > timeoutMax {
		r.fault(pointer, "must be seconds or a duration such as \"1m30s\", above 0 and at most 24h")
		return 0
	}
	return d
}

// number reads a number within [least, most].
func (r *reader) number(pointer string, least, most float64) (float64, bool) {
	raw, ok := r.value(pointer)
	if !ok {
		return 0, false
	}
	n, err := strconv.ParseFloat(string(raw), 64)
	if rawjson.KindOf(raw) != rawjson.Number || err != nil || n < least || n > most {
		r.fault(pointer, "must be a number from %g to %g", least, most)
		return 0, false
	}
	return n, true
}
