package sealing

import (
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// text is a string and, if tracked, where each of its bytes came from in the original.
type text struct {
	s  string
	at []int // len(s)+1 offsets into the original; nil if not tracked
}

// decodings calls visit with t and with what t may be an encoding of: JSON escapes and percent
// encoding (of URLs and of forms, with + for space) undone, up to twice. It stops when visit returns false.
func decodings(t text, visit func(text) bool) bool { return decodingsTo(2, t, visit) }

func decodingsTo(depth int, t text, visit func(text) bool) bool {
	if !visit(t) {
		return false
	}
	if depth == 0 {
		return true
	}
	backslash := strings.IndexByte(t.s, '\\') >= 0
	percent := strings.IndexByte(t.s, '%') >= 0
	if backslash && !decodingsTo(depth-1, decode(t, '\\', unescape), visit) {
		return false
	}
	if percent && !decodingsTo(depth-1, decode(t, '%', unpercent), visit) {
		return false
	}
	if strings.IndexByte(t.s, '+') >= 0 {
		form := t
		form.s = strings.ReplaceAll(t.s, "+", " ")
		if percent {
			form = decode(form, '%', unpercent)
		}
		return decodingsTo(depth-1, form, visit)
	}
	return true
}

// decode replaces what one decodes at each mark; one returns 0 to leave the mark alone.
func decode(t text, mark byte, one func(dst []byte, s string) ([]byte, int)) text {
	out := make([]byte, 0, len(t.s))
	var at []int
	from := func(i int) int {
		if t.at == nil {
			return i
		}
		return t.at[i]
	}
	tracked := t.at != nil
	for i := 0; i < len(t.s); {
		n := 0
		was := len(out)
		if t.s[i] == mark {
			out, n = one(out, t.s[i:])
		}
		if n == 0 {
			out = append(out, t.s[i])
			n = 1
		}
		if tracked {
			for range len(out) - was {
				at = append(at, from(i))
			}
		}
		i += n
	}
	if tracked {
		at = append(at, from(len(t.s)))
	}
	return text{s: string(out), at: at}
}

// tracked returns s with the identity as its offsets.
func tracked(s string) text {
	at := make([]int, len(s)+1)
	for i := range at {
		at[i] = i
	}
	return text{s: s, at: at}
}

func unpercent(dst []byte, s string) ([]byte, int) {
	if len(s) < 3 {
		return dst, 0
	}
	hi, lo := hexDigit(s[1]), hexDigit(s[2])
	if hi < 0 || lo < 0 {
		return dst, 0
	}
	return append(dst, byte(hi<<4|lo)), 3
}

var escapes = map[byte]byte{
	'"': '"', '\\': '\\', '/': '/', 'b': '\b', 'f': '\f', 'n': '\n', 'r': '\r', 't': '\t',
}

func unescape(dst []byte, s string) ([]byte, int) {
	if len(s) < 2 {
		return dst, 0
	}
	if c, ok := escapes[s[1]]; ok {
		return append(dst, c), 2
	}
	if s[1] != 'u' {
		return dst, 0
	}
	r, ok := hex4(s)
	if !ok {
		return dst, 0
	}
	n := 6
	if utf16.IsSurrogate(r) {
		low, ok := hex4(s[6:])
		if pair := utf16.DecodeRune(r, low); ok && pair != utf8.RuneError {
			r, n = pair, 12
		}
	}
	return utf8.AppendRune(dst, r), n
}

// hex4 reads a \uXXXX at the start of s.
func hex4(s string) (rune, bool) {
	if len(s) < 6 || s[0] != '\\' || s[1] != 'u' {
		return 0, false
	}
	var r rune
	for i := 2; i < 6; i++ {
		d := hexDigit(s[i])
		if d < 0 {
			return 0, false
		}
		r = r<<4 | rune(d)
	}
	return r, true
}

func hexDigit(c byte) int {
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
