// Package rawjson reads JSON without changing it: strict checking, byte spans and JSON pointers.
//
// Quipu keeps users' JSON as written (numbers like 1e400 or 2^53+1, key order, escapes), so
// nothing here decodes numbers or re-encodes values. Source: RFC 8259 (grammar), RFC 6901
// (pointers); duplicate object keys are refused because a pointer to them would be ambiguous.
package rawjson

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Kind is the kind of a JSON value.
type Kind byte

// The six kinds.
const (
	Null   Kind = 'n'
	Bool   Kind = 'b'
	Number Kind = '0'
	String Kind = '"'
	Array  Kind = '['
	Object Kind = '{'
)

// SyntaxError says where and why a text is not acceptable JSON.
type SyntaxError struct {
	Pointer string // RFC 6901 pointer of the innermost value entered
	Offset  int    // byte offset in the input
	Reason  string
}

// Error renders `at "<pointer>", byte n: reason`.
func (e *SyntaxError) Error() string {
	return fmt.Sprintf("at %q, byte %d: %s", e.Pointer, e.Offset, e.Reason)
}

// Visit is called for every value of a document, containers before their members, in order.
// start and end are the value's span; for containers end is 0. Return false to stop the walk.
type Visit func(path *Path, kind Kind, start, end int) bool

// Path is the way from the root to the value visited. It is reused: do not keep it.
type Path struct{ parts []part }

type part struct {
	key   string // decoded, only if object
	index int    // -1 for object members
}

// Depth is the number of steps from the root.
func (p *Path) Depth() int { return len(p.parts) }

// Key returns the decoded object key of the last step; false for array items and the root.
func (p *Path) Key() (string, bool) {
	if len(p.parts) == 0 || p.parts[len(p.parts)-1].index >= 0 {
		return "", false
	}
	return p.parts[len(p.parts)-1].key, true
}

// Token returns the last step as a JSON pointer writes it, escaped; "" at the root.
func (p *Path) Token() string {
	if len(p.parts) == 0 {
		return ""
	}
	last := p.parts[len(p.parts)-1]
	if last.index >= 0 {
		return strconv.Itoa(last.index)
	}
	return EscapeKey(last.key)
}

// Pointer renders the path as a JSON pointer.
func (p *Path) Pointer() string {
	var b []byte
	for _, s := range p.parts {
		b = append(b, '/')
		if s.index >= 0 {
			b = strconv.AppendInt(b, int64(s.index), 10)
		} else {
			b = append(b, EscapeKey(s.key)...)
		}
	}
	return string(b)
}

var keyEscaper = strings.NewReplacer("~", "~0", "/", "~1")

// EscapeKey escapes one reference token of a JSON pointer.
func EscapeKey(k string) string {
	if !strings.ContainsAny(k, "~/") {
		return k
	}
	return keyEscaper.Replace(k)
}

// Check reports why b is not one strict JSON value (valid UTF-8, no duplicate keys, at most
// depthMax levels of nesting). The error is a *SyntaxError.
func Check(b []byte, depthMax int) error { return Walk(b, depthMax, nil) }

// Walk checks b like Check and calls visit (if not nil) for every value in it.
func Walk(b []byte, depthMax int, visit Visit) error {
	s := scanner{b: b, depthMax: depthMax, visit: visit}
	s.path.parts, s.keys = s.fewParts[:0], s.fewKeys[:0]
	s.space()
	if !s.value() {
		return s.failure()
	}
	if s.stopped {
		return nil
	}
	s.space()
	if s.i != len(b) {
		s.fail("unexpected bytes after the value")
		return s.failure()
	}
	return nil
}

type scanner struct {
	b        []byte
	i        int
	depthMax int
	visit    Visit
	path     Path
	keys     []string // of the objects being scanned, innermost last
	text     string   // b as a string, once a key needed it
	reason   string
	stopped  bool

	// Where path and keys begin: room for most documents, so that they need not grow.
	fewParts [4]part
	fewKeys  [8]string
}

func (s *scanner) failure() error {
	if s.stopped {
		return nil
	}
	return &SyntaxError{Pointer: s.path.Pointer(), Offset: s.i, Reason: s.reason}
}

func (s *scanner) fail(reason string) bool {
	if s.reason == "" {
		s.reason = reason
	}
	return false
}

func (s *scanner) space() {
	for s.i < len(s.b) {
		switch s.b[s.i] {
		case ' ', '\t', '\n', '\r':
			s.i++
		default:
			return
		}
	}
}

func (s *scanner) emit(kind Kind, start, end int) bool {
	if s.visit != nil && !s.visit(&s.path, kind, start, end) {
		s.stopped = true
		return false
	}
	return true
}

func (s *scanner) value() bool {
	if s.i >= len(s.b) {
		return s.fail("unexpected end")
	}
	start := s.i
	switch c := s.b[s.i]; {
	case c == '{':
		return s.emit(Object, start, 0) && s.object()
	case c == '[':
		return s.emit(Array, start, 0) && s.array()
	case c == '"':
		end, reason := stringEnd(s.b, s.i)
		if reason != "" {
			s.i = end
			return s.fail(reason)
		}
		s.i = end
		return s.emit(String, start, end)
	case c == 't':
		return s.word("true") && s.emit(Bool, start, s.i)
	case c == 'f':
		return s.word("false") && s.emit(Bool, start, s.i)
	case c == 'n':
		return s.word("null") && s.emit(Null, start, s.i)
	case c == '-' || c >= '0' && c <= '9':
		return s.number() && s.emit(Number, start, s.i)
	default:
		return s.fail("unexpected character " + strconv.QuoteRune(rune(c)))
	}
}

func (s *scanner) word(w string) bool {
	if !wordAt(s.b, s.i, w) {
		return s.fail("unexpected word, expected " + w)
	}
	s.i += len(w)
	return true
}

func (s *scanner) number() bool {
	end, reason := numberEnd(s.b, s.i)
	s.i = end
	return reason == "" || s.fail(reason)
}

func (s *scanner) deeper() bool {
	if len(s.path.parts) >= s.depthMax {
		return s.fail(fmt.Sprintf("nested deeper than %d levels", s.depthMax))
	}
	return true
}

func (s *scanner) object() bool {
	if !s.deeper() {
		return false
	}
	s.i++
	s.space()
	if s.i < len(s.b) && s.b[s.i] == '}' {
		s.i++
		return true
	}
	seen := keySet{base: len(s.keys)}
	defer func() { s.keys = s.keys[:seen.base] }()
	for {
		s.space()
		if s.i >= len(s.b) || s.b[s.i] != '"' {
			return s.fail("expected a string as object key")
		}
		end, reason := stringEnd(s.b, s.i)
		if reason != "" {
			s.i = end
			return s.fail(reason)
		}
		key := s.key(s.i, end)
		if !s.addKey(&seen, key) {
			return s.fail("duplicate key " + strconv.Quote(Clip(key)))
		}
		s.i = end
		s.space()
		if s.i >= len(s.b) || s.b[s.i] != ':' {
			return s.fail("expected ':' after an object key")
		}
		s.i++
		s.space()
		s.path.parts = append(s.path.parts, part{key: key, index: -1})
		if !s.value() {
			return false
		}
		s.path.parts = s.path.parts[:len(s.path.parts)-1]
		s.space()
		if s.i >= len(s.b) {
			return s.fail("unexpected end inside an object")
		}
		switch s.b[s.i] {
		case ',':
			s.i++
		case '}':
			s.i++
			return true
		default:
			return s.fail("expected ',' or '}' inside an object")
		}
	}
}

func (s *scanner) array() bool {
	if !s.deeper() {
		return false
	}
	s.i++
	s.space()
	if s.i < len(s.b) && s.b[s.i] == ']' {
		s.i++
		return true
	}
	for n := 0; ; n++ {
		s.space()
		s.path.parts = append(s.path.parts, part{index: n})
		if !s.value() {
			return false
		}
		s.path.parts = s.path.parts[:len(s.path.parts)-1]
		s.space()
		if s.i >= len(s.b) {
			return s.fail("unexpected end inside an array")
		}
		switch s.b[s.i] {
		case ',':
			s.i++
		case ']':
			s.i++
			return true
		default:
			return s.fail("expected ',' or ']' inside an array")
		}
	}
}

// key decodes the key literal at b[start:end]. Keys without escapes share one copy of the document,
// made for the first of them: a string of its own for each would be most of a scan's cost.
func (s *scanner) key(start, end int) string {
	if bytes.IndexByte(s.b[start:end], '\\') >= 0 {
		return Unquote(s.b[start:end])
	}
	if s.text == "" {
		s.text = string(s.b)
	}
	return s.text[start+1 : end-1]
}

// keySet finds duplicates among the keys of one object: a part of the scanner's stack while small,
// a map beyond, so that hostile objects with very many keys stay linear.
type keySet struct {
	base int
	many map[string]struct{}
}

// keysFewMax is how many keys of one object are compared one by one.
const keysFewMax = 16

func (s *scanner) addKey(k *keySet, key string) bool {
	if k.many != nil {
		if _, dup := k.many[key]; dup {
			return false
		}
		k.many[key] = struct{}{}
		return true
	}
	few := s.keys[k.base:]
	for _, f := range few {
		if f == key {
			return false
		}
	}
	s.keys = append(s.keys, key)
	if len(few) == keysFewMax {
		k.many = make(map[string]struct{}, 4*keysFewMax)
		for _, f := range s.keys[k.base:] {
			k.many[f] = struct{}{}
		}
		s.keys = s.keys[:k.base]
	}
	return true
}

// stringEnd returns the index after the closing quote of the string at b[i], or a reason.
func stringEnd(b []byte, i int) (int, string) {
	i++
	for i < len(b) {
		c := b[i]
		switch {
		case c == '"':
			return i + 1, ""
		case c < 0x20:
			return i, "control character in a string"
		case c == '\\':
			n := escapeLen(b, i)
			if n == 0 {
				return i, "bad escape in a string"
			}
			i += n
		case c < utf8.RuneSelf:
			i++
		default:
			r, n := utf8.DecodeRune(b[i:])
			if r == utf8.RuneError && n == 1 {
				return i, "invalid UTF-8 in a string"
			}
			i += n
		}
	}
	return i, "unexpected end inside a string"
}

func escapeLen(b []byte, i int) int {
	if i+1 >= len(b) {
		return 0
	}
	switch b[i+1] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return 2
	case 'u':
		if i+6 > len(b) {
			return 0
		}
		for _, c := range b[i+2 : i+6] {
			if hexVal(c) < 0 {
				return 0
			}
		}
		return 6
	}
	return 0
}

func hexVal(c byte) int {
	switch {
	case c >= '0' && c <= '9':
		return int(c - '0')
	case c >= 'a' && c <= 'f':
		return int(c-'a') + 10
	case c >= 'A' && c <= 'F':
		return int(c-'A') + 10
	}
	return -1
}
