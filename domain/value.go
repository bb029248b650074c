package domain

import (
	"strconv"
	"strings"

	"quipu/domain/rawjson"
)

// Value is a JSON payload in which the place of each secret or blob is null and a Hole says what
// belongs there. The JSON is kept exactly as written. The zero Value means "absent".
//
// Values are immutable and may share memory; deciders move holes and never open them.
type Value struct {
	JSON  []byte
	Holes []Hole
}

// Hole says what belongs at one place of a Value. Either Sealed or Blob is set.
type Hole struct {
	At     string // JSON pointer into the Value's JSON; "" is the whole value
	Sealed string // id of a secret of this run, whose ciphertext stands in the event it entered by
	FP     string // short keyed fingerprint of the secret, shown in masks
	Blob   string // lower-case hex SHA-256 of the blob's bytes
	Bytes  int64  // size of the blob
}

// Null is the value null.
func Null() Value { return Value{JSON: []byte("null")} }

// Absent reports whether v is the zero Value.
func (v Value) Absent() bool { return v.JSON == nil && v.Holes == nil }

// Raw makes a Value without holes. b must be checked JSON and is kept.
func Raw(b []byte) Value { return Value{JSON: b} }

// Text makes a JSON string Value.
func Text(s string) Value { return Value{JSON: rawjson.Quote(s)} }

// Get returns the part of v that pointer names, with its holes. A pointer that leads into a blob's
// hole is not found: the content is not here.
func (v Value) Get(pointer string) (Value, bool) {
	b, ok := rawjson.Get(v.JSON, pointer)
	if !ok {
		return Value{}, false
	}
	out := Value{JSON: b}
	for _, h := range v.Holes {
		if rest, inside := strings.CutPrefix(h.At, pointer); inside && (rest == "" || rest[0] == '/') {
			h.At = rest
			out.Holes = append(out.Holes, h)
		}
	}
	return out, true
}

// Member is one member of an object Value.
type Member struct {
	Key   string
	Value Value
}

// Members returns the members of an object Value in order; nil if v is no object.
func (v Value) Members() []Member {
	raw := rawjson.Members(v.JSON)
	out := make([]Member, len(raw))
	for i, m := range raw {
		out[i] = Member{Key: m.Key, Value: Value{JSON: m.Value}}
	}
	if len(v.Holes) == 0 {
		return out
	}
	// One pass over the holes, so that an object of many secrets stays linear.
	byKey := make(map[string][]Hole)
	for _, h := range v.Holes {
		if h.At == "" || h.At[0] != '/' {
			continue
		}
		token, rest := h.At[1:], ""
		if i := strings.IndexByte(token, '/'); i >= 0 {
			token, rest = token[:i], token[i:]
		}
		h.At = rest
		byKey[token] = append(byKey[token], h)
	}
	for i := range out {
		out[i].Value.Holes = byKey[rawjson.EscapeKey(out[i].Key)]
	}
	return out
}

// Object builds an object Value from members in the order they are added.
// Adding a key twice gives a duplicate key: callers take care.
type Object struct {
	json  []byte
	holes []Hole
}

// Add appends one member.
func (o *Object) Add(key string, v Value) {
	if o.json == nil {
		o.json = append(make([]byte, 0, 64+len(v.JSON)), '{')
	} else {
		o.json = append(o.json, ',')
	}
	o.json = rawjson.AppendString(o.json, key)
	o.json = append(o.json, ':')
	if len(v.JSON) == 0 {
		o.json = append(o.json, "null"...)
	} else {
		o.json = append(o.json, v.JSON...)
	}
	if len(v.Holes) > 0 {
		prefix := "/" + rawjson.EscapeKey(key)
		for _, h := range v.Holes {
			h.At = prefix + h.At
			o.holes = append(o.holes, h)
		}
	}
}

// Len is the number of bytes so far.
func (o *Object) Len() int { return len(o.json) }

// Value returns the object; an Object without members gives {}. It ends the building: a later Add
// may write over what was returned.
func (o *Object) Value() Value {
	if o.json == nil {
		return Value{JSON: []byte("{}")}
	}
	return Value{JSON: append(o.json, '}'), Holes: o.holes}
}

// Array builds an array Value.
type Array struct {
	json  []byte
	holes []Hole
	n     int
}

// Add appends one item.
func (a *Array) Add(v Value) {
	if a.json == nil {
		a.json = append(a.json, '[')
	} else {
		a.json = append(a.json, ',')
	}
	if len(v.JSON) == 0 {
		a.json = append(a.json, "null"...)
	} else {
		a.json = append(a.json, v.JSON...)
	}
	for _, h := range v.Holes {
		h.At = "/" + strconv.Itoa(a.n) + h.At
		a.holes = append(a.holes, h)
	}
	a.n++
}

// Value returns the array; an Array without items gives []. It ends the building, as Object.Value.
func (a *Array) Value() Value {
	if a.json == nil {
		return Value{JSON: []byte("[]")}
	}
	return Value{JSON: append(a.json, ']'), Holes: a.holes}
}
