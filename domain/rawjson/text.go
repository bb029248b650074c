package rawjson

import (
	"bytes"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// Unquote decodes the JSON string literal quoted (with its quotes). It expects a checked literal;
// a lone surrogate escape becomes U+FFFD, as in encoding/json.
func Unquote(quoted []byte) string {
	in := quoted[1 : len(quoted)-1]
	if bytes.IndexByte(in, '\\') < 0 {
		return string(in)
	}
	out := make([]byte, 0, len(in))
	for i := 0; i < len(in); {
		c := in[i]
		if c != '\\' {
			out = append(out, c)
			i++
			continue
		}
		switch in[i+1] {
		case 'b':
			out = append(out, '\b')
		case 'f':
			out = append(out, '\f')
		case 'n':
			out = append(out, '\n')
		case 'r':
			out = append(out, '\r')
		case 't':
			out = append(out, '\t')
		case 'u':
			r := hex4(in[i+2:])
			i += 6
			if utf16.IsSurrogate(r) {
				low := rune(utf8.RuneError)
				if i+6 <= len(in) && in[i] == '\\' && in[i+1] == 'u' {
					low = hex4(in[i+2:])
				}
				if r = utf16.DecodeRune(r, low); r != utf8.RuneError {
					i += 6
				}
			}
			out = utf8.AppendRune(out, r)
			continue
		default:
			out = append(out, in[i+1])
		}
		i += 2
	}
	return string(out)
}

func hex4(b []byte) rune {
	var r rune
	for _, c := range b[:4] {
		r = r<<4 | rune(hexVal(c))
	}
	return r
}

const hexDigits = "0123456789abcdef"

// AppendString appends s as a JSON string literal. Invalid UTF-8 becomes U+FFFD; nothing but what
// JSON requires is escaped.
func AppendString(dst []byte, s string) []byte {
	dst = append(dst, '"')
	start := 0
	for i := 0; i < len(s); {
		c := s[i]
		if c >= 0x20 && c != '"' && c != '\\' && c < utf8.RuneSelf {
			i++
			continue
		}
		if c >= utf8.RuneSelf {
			r, n := utf8.DecodeRuneInString(s[i:])
			if r != utf8.RuneError || n > 1 {
				i += n
				continue
			}
			dst = append(dst, s[start:i]...)
			dst = append(dst, "\ufffd"...)
			i++
			start = i
			continue
		}
		dst = append(dst, s[start:i]...)
		switch c {
		case '"', '\\':
			dst = append(dst, '\\', c)
		case '\n':
			dst = append(dst, '\\', 'n')
		case '\r':
			dst = append(dst, '\\', 'r')
		case '\t':
			dst = append(dst, '\\', 't')
		default:
			dst = append(dst, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&15])
		}
		i++
		start = i
	}
	dst = append(dst, s[start:]...)
	return append(dst, '"')
}

// Quote returns s as a JSON string literal.
func Quote(s string) []byte { return AppendString(make([]byte, 0, len(s)+2), s) }

// KindOf tells the kind of the checked value b.
func KindOf(b []byte) Kind {
	for _, c := range b {
		switch c {
		case ' ', '\t', '\n', '\r':
			continue
		case '{', '[', '"':
			return Kind(c)
		case 't', 'f':
			return Bool
		case 'n':
			return Null
		default:
			return Number
		}
	}
	return Null
}

// Trim cuts the white space around a value.
func Trim(b []byte) []byte { return bytes.Trim(b, " \t\r\n") }

// Get returns the span of the value that pointer names in the checked document b. It is strict
// about RFC 6901: "/01" or "/~2" name nothing, so that a place has exactly one spelling and can be
// compared as text.
func Get(b []byte, pointer string) ([]byte, bool) {
	b = Trim(b)
	for pointer != "" {
		token, rest, ok := cutToken(pointer)
		if !ok {
			return nil, false
		}
		if b, ok = step(b, token); !ok {
			return nil, false
		}
		pointer = rest
	}
	return b, true
}

// cutToken takes the first reference token off a pointer that is not empty; false if the pointer
// does not start with a slash or holds a bad escape.
func cutToken(pointer string) (token, rest string, ok bool) {
	if pointer[0] != '/' {
		return "", "", false
	}
	token, rest = pointer[1:], ""
	if i := strings.IndexByte(token, '/'); i >= 0 {
		token, rest = token[:i], token[i:]
	}
	token, ok = UnescapeKey(token)
	return token, rest, ok
}

var keyUnescaper = strings.NewReplacer("~0", "~", "~1", "/")

// UnescapeKey decodes one reference token of a JSON pointer; false if it holds a bad escape.
func UnescapeKey(token string) (string, bool) {
	if strings.IndexByte(token, '~') < 0 {
		return token, true
	}
	for i := 0; i < len(token); i++ {
		if token[i] != '~' {
			continue
		}
		if i++; i == len(token) || token[i] != '0' && token[i] != '1' {
			return "", false
		}
	}
	return keyUnescaper.Replace(token), true
}

func step(b []byte, token string) ([]byte, bool) {
	if KindOf(b) == Array {
		n, ok := index(token)
		if !ok {
			return nil, false
		}
		for items := enter(b, Array); items.next(); n-- {
			if n == 0 {
				return items.value, true
			}
		}
		return nil, false
	}
	for members := enter(b, Object); members.next(); {
		if members.keyIs(token) {
			return members.value, true
		}
	}
	return nil, false
}

// index reads an array index: digits without a leading zero.
func index(token string) (int, bool) {
	if token == "" || len(token) > 1 && token[0] == '0' || strings.Trim(token, "0123456789") != "" {
		return 0, false
	}
	n, err := strconv.Atoi(token)
	return n, err == nil
}

// Edit replaces the span [Start, End) by New.
type Edit struct {
	Start, End int
	New        []byte
}

// Splice applies edits, which are in order and do not overlap, to b and returns a new slice.
func Splice(b []byte, edits []Edit) []byte {
	if len(edits) == 0 {
		return b
	}
	out := make([]byte, 0, len(b))
	at := 0
	for _, e := range edits {
		out = append(out, b[at:e.Start]...)
		out = append(out, e.New...)
		at = e.End
	}
	return append(out, b[at:]...)
}
