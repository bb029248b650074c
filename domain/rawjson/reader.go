package rawjson

import (
	"bytes"
	"strconv"
)

// The bounds of what a Reader reads: documents of a shape known beforehand.
const (
	readerDepthMax = 8   // objects and arrays entered at once
	readerKeysMax  = 32  // members seen of the objects entered
	textBytes      = 192 // short texts near each other share one copy of so many bytes
)

// Reader reads a document of a known shape in one pass and without copying what it does not have to:
//
//	r.Reset(b, depthMax)
//	for r.Object(); r.Next(); {
//		switch string(r.Key()) {
//		case "name":
//			name = r.Text()
//		default:
//			r.Unknown()
//		}
//	}
//	err := r.End()
//
// After Next and Item the value must be read, by exactly one call. The first fault ends the reading:
// from then on Next and Item give false and every value is zero, so that it is enough to ask End.
//
// It is stricter than encoding/json: a key counts as written, case and escapes included, and stands
// once in an object; null is no text, number, object or array; texts are valid UTF-8. The zero Reader
// is of no use before Reset. Not safe for concurrent use.
type Reader struct {
	b        []byte
	i        int
	depthMax int
	fault    *SyntaxError
	text     string // a copy of b from textFrom on
	textFrom int
	depth    int  // of levels in use
	keyCount int  // of keys in use
	fresh    bool // the innermost object or array has just been entered
	levels   [readerDepthMax]level
	keys     [readerKeysMax]span
}

// level is an object or array being read.
type level struct {
	keys int // where its keys begin
	item int // -1 for objects
}

type span struct{ from, to int32 }

// Reset starts reading b, which may nest depthMax levels deep. b is kept: what Raw and Content return
// shares its memory.
func (r *Reader) Reset(b []byte, depthMax int) {
	*r = Reader{b: b, depthMax: depthMax}
	if int(int32(len(b))) != len(b) {
		r.fail(0, "longer than 2 GiB")
	}
}

// End reports the first fault, or what stands after the document. The error is a *SyntaxError.
func (r *Reader) End() error {
	if r.fault == nil {
		if r.space(); r.i != len(r.b) {
			r.fail(r.i, "unexpected bytes after the value")
		}
	}
	if r.fault == nil {
		return nil
	}
	return r.fault
}

// Fail ends the reading with a reason of the caller's, about the value just read.
func (r *Reader) Fail(reason string) { r.fail(r.i, reason) }

// Unknown ends the reading because no member of this key is expected.
func (r *Reader) Unknown() { r.fail(r.i, "unknown field") }

func (r *Reader) fail(at int, reason string) {
	if r.fault == nil {
		r.fault = &SyntaxError{Pointer: r.pointer(), Offset: at, Reason: reason}
	}
}

// pointer is the way to the value being read.
func (r *Reader) pointer() string {
	var out []byte
	for d := range r.depth {
		end := r.keyCount
		if d+1 < r.depth {
			end = r.levels[d+1].keys
		}
		switch l := r.levels[d]; {
		case l.item >= 0:
			out = strconv.AppendInt(append(out, '/'), int64(l.item), 10)
		case end > l.keys:
			out = append(out, '/')
			out = append(out, EscapeKey(Clip(string(r.b[r.keys[end-1].from:r.keys[end-1].to])))...)
		}
	}
	return string(out)
}

func (r *Reader) space() {
	for r.i < len(r.b) && (r.b[r.i] == ' ' || r.b[r.i] == '\n' || r.b[r.i] == '\t' || r.b[r.i] == '\r') {
		r.i++
	}
}

// at reports whether the next byte that is no white space is c.
func (r *Reader) at(c byte) bool {
	r.space()
	return r.i < len(r.b) && r.b[r.i] == c
}

func (r *Reader) enter(open byte, item int, what string) {
	switch {
	case r.fault != nil:
	case !r.at(open):
		r.fail(r.i, what)
	case r.depth == readerDepthMax || r.depth == r.depthMax:
		r.fail(r.i, "nested deeper than expected")
	default:
		r.levels[r.depth] = level{keys: r.keyCount, item: item}
		r.depth++
		r.i++
		r.fresh = true
	}
}

func (r *Reader) leave() {
	r.i++
	r.depth--
	r.keyCount = r.levels[r.depth].keys
	r.fresh = false
}

// Object enters an object.
func (r *Reader) Object() { r.enter('{', -1, "expected an object") }

// Array enters an array.
func (r *Reader) Array() { r.enter('[', 0, "expected an array") }

// Next goes to the next member of the object entered last; false if there is none, which leaves it.
func (r *Reader) Next() bool {
	if r.fault != nil {
		return false
	}
	switch {
	case r.at('}'):
		r.leave()
		return false
	case r.fresh:
		r.fresh = false
	case !r.at(','):
		r.fail(r.i, "expected ',' or '}' inside an object")
		return false
	default:
		r.i++
	}
	if !r.at('"') {
		r.fail(r.i, "expected a string as object key")
		return false
	}
	from, end, _ := r.scan()
	if r.fault != nil || !r.addKey(from, end) {
		return false
	}
	if !r.at(':') {
		r.fail(r.i, "expected ':' after an object key")
		return false
	}
	r.i++
	r.space()
	return true
}

func (r *Reader) addKey(from, end int) bool {
	if r.keyCount == readerKeysMax {
		r.fail(from, "more members than expected")
		return false
	}
	key := r.b[from:end]
	known := r.keys[r.levels[r.depth-1].keys:r.keyCount]
	r.keys[r.keyCount] = span{int32(from), int32(end)}
	r.keyCount++
	for _, k := range known {
		if int(k.to-k.from) == len(key) && bytes.Equal(r.b[k.from:k.to], key) {
			r.fail(from, "duplicate key")
			return false
		}
	}
	return true
}

// Key is the key of the member, as written between its quotes. It shares the document's memory.
func (r *Reader) Key() []byte {
	k := r.keys[r.keyCount-1]
	return r.b[k.from:k.to]
}

// Ignore passes over the value of a member and forgets its key, whatever it is.
func (r *Reader) Ignore() {
	r.Raw()
	if r.fault == nil {
		r.keyCount--
	}
}

// Item goes to the next item of the array entered last; false if there is none, which leaves it.
func (r *Reader) Item() bool {
	if r.fault != nil {
		return false
	}
	switch {
	case r.at(']'):
		r.leave()
		return false
	case r.fresh:
		r.fresh = false
	case !r.at(','):
		r.fail(r.i, "expected ',' or ']' inside an array")
		return false
	default:
		r.i++
		r.levels[r.depth-1].item++
	}
	return true
}
