package sealing

import (
	"strings"

	"quipu/domain/rawjson"
)

// state says what strings below a place are.
type state uint8

const (
	inPlain  state = iota
	inSecret       // below a secret key
	inForced       // below a place named by Options.At
	inSchema       // below a JSON Schema that describes a secret
)

// frame is what a scan remembers of each container on the way to the current value.
type frame struct {
	state state
	key   string // the container's own key, "" for array items
	start int
}

// keyed follows a walk and tells which strings are secret by their place.
type keyed struct {
	raw        []byte
	references bool
	at         map[string]bool
	frames     []frame // by depth
}

// enter returns the state of the value visited and remembers it for what is below.
func (k *keyed) enter(p *rawjson.Path, kind rawjson.Kind, start int) state {
	depth := p.Depth()
	key, isMember := p.Key()
	f := frame{key: key, start: start}
	if depth > 0 {
		f.state = k.member(k.frames[depth-1], key, isMember, kind, start)
	}
	if len(k.at) > 0 && f.state != inForced && k.at[p.Pointer()] {
		f.state = inForced
	}
	k.frames = append(k.frames[:depth], f)
	return f.state
}

func (k *keyed) member(parent frame, key string, isMember bool, kind rawjson.Kind, start int) state {
	if !isMember {
		return parent.state
	}
	switch parent.state {
	case inForced:
		return inForced
	case inSecret:
		if innocentMembers[key] {
			return inPlain
		}
	case inSchema:
		if !schemaValues[key] {
			return inSchema
		}
	case inPlain:
		if !SecretKey(key) {
			return inPlain
		}
		if k.references && parent.key == "mapping" && mappingTarget(key) {
			return inPlain
		}
		if parent.key == "properties" && kind == rawjson.Object && isSchema(k.raw, start) {
			return inSchema
		}
	}
	if k.references && kind == rawjson.Object {
		if _, _, ok := reference(k.raw, start); ok {
			return inPlain
		}
	}
	return inSecret
}

func (s state) sealed() bool { return s == inSecret || s == inForced }

// mappingTarget reports whether key is the target of a mapping rule, whose value is a path in the
// upstream's response: {"mapping": {"HEADER_Authorization": "data.token"}}.
func mappingTarget(key string) bool {
	return strings.HasPrefix(key, "HEADER_") || strings.HasPrefix(key, "QUERY_") || strings.HasPrefix(key, "BODY_")
}

// reference reports whether the object at raw[start] refers to another value: {"input": k},
// {"depends": t}, or {"depends": t, "mapping" or "default": …}. It looks at two keys only, so that
// a scan stays linear. raw may be unchecked beyond start.
func reference(raw []byte, start int) (kind, name string, ok bool) {
	r := lookahead{raw: raw, i: start}
	if !r.take('{') {
		return "", "", false
	}
	kind, ok = r.text()
	if !ok || kind != "input" && kind != "depends" || !r.take(':') {
		return "", "", false
	}
	if name, ok = r.text(); !ok {
		return "", "", false
	}
	if r.take('}') {
		return kind, name, true
	}
	if kind == "depends" && r.take(',') {
		second, _ := r.text()
		return kind, name, second == "mapping" || second == "default"
	}
	return "", "", false
}

// schemaLookBytes bounds the search for the "type" of a schema, so that a scan stays linear.
const schemaLookBytes = 1024

// isSchema reports whether the object at raw[start] has a "type" member with a name of JSON Schema.
func isSchema(raw []byte, start int) bool {
	r := lookahead{raw: raw[:min(len(raw), start+schemaLookBytes)], i: start}
	if !r.take('{') {
		return false
	}
	for {
		key, ok := r.text()
		if !ok || !r.take(':') {
			return false
		}
		if key == "type" {
			name, ok := r.text()
			return ok && schemaTypes[name]
		}
		if !r.skip() || !r.take(',') {
			return false
		}
	}
}

// lookahead reads a little JSON that may not have been checked yet; on anything odd it says no.
type lookahead struct {
	raw []byte
	i   int
}

func (r *lookahead) take(c byte) bool {
	for r.i < len(r.raw) && strings.IndexByte(" \t\r\n", r.raw[r.i]) >= 0 {
		r.i++
	}
	if r.i >= len(r.raw) || r.raw[r.i] != c {
		return false
	}
	r.i++
	return true
}

// text reads a string literal without control characters or bad escapes.
func (r *lookahead) text() (string, bool) {
	if !r.take('"') {
		return "", false
	}
	from := r.i - 1
	if !r.literalEnd() || rawjson.Check(r.raw[from:r.i], 1) != nil {
		return "", false
	}
	return rawjson.Unquote(r.raw[from:r.i]), true
}

func (r *lookahead) literalEnd() bool {
	for r.i < len(r.raw) {
		switch r.raw[r.i] {
		case '\\':
			r.i++
		case '"':
			r.i++
			return true
		}
		r.i++
	}
	return false
}

// skip moves to the end of one value.
func (r *lookahead) skip() bool {
	for depth := 0; r.i < len(r.raw); {
		c := r.raw[r.i]
		switch {
		case (c == ',' || c == '}' || c == ']') && depth == 0:
			return true // the end of a number or word
		case c == '"':
			r.i++
			if !r.literalEnd() {
				return false
			}
			if depth == 0 {
				return true
			}
			continue
		case c == '{' || c == '[':
			depth++
		case c == '}' || c == ']':
			if depth--; depth == 0 {
				r.i++
				return true
			}
		}
		r.i++
	}
	return false
}
