package rawjson

import (
	"encoding/binary"
	"fmt"
	"math/bits"
	"strconv"
)

// plain are the bytes that stand for themselves in a string, whatever is around them.
var plain = func() (t [256]bool) {
	for c := 0x20; c < 0x80; c++ {
		t[c] = c != '"' && c != '\\'
	}
	return t
}()

// scan passes over the string at r.i and returns what stands between its quotes.
func (r *Reader) scan() (from, end int, escaped bool) {
	from = r.i + 1
	for i := from; i < len(r.b); i++ {
		if plain[r.b[i]] {
			continue
		}
		if r.b[i] == '"' {
			r.i = i + 1
			return from, i, false
		}
		break
	}
	end, reason := stringEnd(r.b, r.i)
	if reason != "" {
		r.fail(end, reason)
		return from, from, false
	}
	r.i = end
	for _, c := range r.b[from : end-1] {
		escaped = escaped || c == '\\'
	}
	return from, end - 1, escaped
}

// Text reads a string. Short ones near each other share their memory.
func (r *Reader) Text() string {
	from, end, escaped := r.literal()
	switch {
	case from == end:
		return ""
	case escaped:
		return Unquote(r.b[from-1 : end+1])
	case from < r.textFrom || end > r.textFrom+len(r.text):
		if end-from > textBytes/2 {
			return string(r.b[from:end])
		}
		r.textFrom, r.text = from, string(r.b[from:min(from+textBytes, len(r.b))])
	}
	return r.text[from-r.textFrom : end-r.textFrom]
}

// Content reads a string like Text, but without a copy: it shares the document's memory.
func (r *Reader) Content() []byte {
	from, end, escaped := r.literal()
	if escaped {
		return []byte(Unquote(r.b[from-1 : end+1]))
	}
	return r.b[from:end:end]
}

func (r *Reader) literal() (from, end int, escaped bool) {
	if r.fault != nil {
		return 0, 0, false
	}
	if !r.at('"') {
		r.fail(r.i, "expected a string")
		return 0, 0, false
	}
	return r.scan()
}

// Int64 reads a whole number.
func (r *Reader) Int64() int64 {
	token := r.number()
	if len(token) == 0 {
		return 0
	}
	n, err := strconv.ParseInt(string(token), 10, 64)
	if err != nil {
		r.Fail("expected a whole number of 64 bits")
		return 0
	}
	return n
}

// Int reads a whole number that fits an int.
func (r *Reader) Int() int {
	n := r.Int64()
	if int64(int(n)) != n {
		r.Fail("number out of range")
		return 0
	}
	return int(n)
}

// Float reads a number as the nearest float64.
func (r *Reader) Float() float64 {
	token := r.number()
	if len(token) == 0 {
		return 0
	}
	f, err := strconv.ParseFloat(string(token), 64)
	if err != nil {
		r.Fail("number out of range")
		return 0
	}
	return f
}

func (r *Reader) number() []byte {
	if r.fault != nil {
		return nil
	}
	r.space()
	if r.i >= len(r.b) || r.b[r.i] != '-' && (r.b[r.i] < '0' || r.b[r.i] > '9') {
		r.fail(r.i, "expected a number")
		return nil
	}
	end, reason := numberEnd(r.b, r.i)
	if reason != "" {
		r.fail(end, reason)
		return nil
	}
	token := r.b[r.i:end]
	r.i = end
	return token
}

// Bool reads true or false.
func (r *Reader) Bool() bool {
	if r.fault != nil {
		return false
	}
	r.space()
	for _, word := range [...]string{"true", "false"} {
		if wordAt(r.b, r.i, word) {
			r.i += len(word)
			return word == "true"
		}
	}
	r.fail(r.i, "expected true or false")
	return false
}

// Raw reads any value and returns it as written, sharing the document's memory. Of what is inside,
// the grammar is checked, and neither keys nor UTF-8: whoever stored it has done that.
func (r *Reader) Raw() []byte {
	if r.fault != nil {
		return nil
	}
	r.space()
	end, reason := skipValue(r.b, r.i, r.depthMax-r.depth)
	if reason != "" {
		r.fail(end, reason)
		return nil
	}
	value := r.b[r.i:end:end]
	r.i = end
	return value
}

// skipValue returns the index after the value at b[i], or where and why it is none. It may nest
// depth levels deep.
func skipValue(b []byte, i, depth int) (int, string) {
	if i >= len(b) {
		return i, "unexpected end"
	}
	switch c := b[i]; c {
	case '"':
		return skipString(b, i)
	case '{', '[':
		if depth <= 0 {
			return i, "nested deeper than the document may"
		}
		return skipItems(b, i, depth)
	case 't':
		return skipWord(b, i, "true")
	case 'f':
		return skipWord(b, i, "false")
	case 'n':
		return skipWord(b, i, "null")
	default:
		if c != '-' && (c < '0' || c > '9') {
			return i, "unexpected character " + strconv.QuoteRune(rune(c))
		}
		return numberEnd(b, i)
	}
}

func skipItems(b []byte, i, depth int) (int, string) {
	object := b[i] == '{'
	last := byte(']')
	if object {
		last = '}'
	}
	i = skipSpace(b, i+1)
	if i < len(b) && b[i] == last {
		return i + 1, ""
	}
	var reason string
	for {
		if object {
			if i >= len(b) || b[i] != '"' {
				return i, "expected a string as object key"
			}
			if i, reason = skipString(b, i); reason != "" {
				return i, reason
			}
			if i = skipSpace(b, i); i >= len(b) || b[i] != ':' {
				return i, "expected ':' after an object key"
			}
			i = skipSpace(b, i+1)
		}
		if i, reason = skipValue(b, i, depth-1); reason != "" {
			return i, reason
		}
		i = skipSpace(b, i)
		switch {
		case i >= len(b):
			return i, "unexpected end inside an object or array"
		case b[i] == last:
			return i + 1, ""
		case b[i] != ',':
			return i, fmt.Sprintf("expected ',' or %q", last)
		}
		i = skipSpace(b, i+1)
	}
}

func skipSpace(b []byte, i int) int {
	for i < len(b) && (b[i] == ' ' || b[i] == '\n' || b[i] == '\t' || b[i] == '\r') {
		i++
	}
	return i
}

// special marks the high bit of the bytes of x that mean something in a string: quotes, backslashes
// and control characters. The lowest mark is right; ones above it may be wrong. Source: the tests for
// zero bytes and for bytes below n in Sean Anderson's Bit Twiddling Hacks.
func special(x uint64) uint64 {
	const ones, high = 0x0101010101010101, 0x8080808080808080
	quote, slash := x^ones*'"', x^ones*'\\'
	return ((quote-ones)&^quote | (slash-ones)&^slash | (x-ones*0x20)&^x) & high
}

func skipString(b []byte, i int) (int, string) {
	for i++; i < len(b); {
		// Payloads are mostly long texts: eight bytes at a time is over twice as fast as one.
		for len(b)-i >= 8 {
			if marks := special(binary.LittleEndian.Uint64(b[i:])); marks != 0 {
				i += bits.TrailingZeros64(marks) / 8
				break
			}
			i += 8
		}
		if i == len(b) {
			break
		}
		c := b[i]
		switch {
		case plain[c] || c >= 0x80:
			i++
		case c == '"':
			return i + 1, ""
		case c < 0x20:
			return i, "control character in a string"
		default:
			n := escapeLen(b, i)
			if n == 0 {
				return i, "bad escape in a string"
			}
			i += n
		}
	}
	return i, "unexpected end inside a string"
}

func skipWord(b []byte, i int, word string) (int, string) {
	if !wordAt(b, i, word) {
		return i, "unexpected word, expected " + word
	}
	return i + len(word), ""
}

func wordAt(b []byte, i int, word string) bool {
	return len(b)-i >= len(word) && string(b[i:i+len(word)]) == word
}

// numberEnd returns the index after the number at b[i], which starts with a digit or a minus sign,
// or where and why it is none.
func numberEnd(b []byte, i int) (int, string) {
	if b[i] == '-' {
		i++
	}
	from := i
	if i = skipDigits(b, i); i == from {
		return i, "number without digits"
	}
	if b[from] == '0' && i-from > 1 {
		return i, "number with a leading zero"
	}
	if i < len(b) && b[i] == '.' {
		from = i + 1
		if i = skipDigits(b, from); i == from {
			return i, "number without digits after the point"
		}
	}
	if i < len(b) && (b[i] == 'e' || b[i] == 'E') {
		i++
		if i < len(b) && (b[i] == '+' || b[i] == '-') {
			i++
		}
		from = i
		if i = skipDigits(b, from); i == from {
			return i, "number without digits in the exponent"
		}
	}
	return i, ""
}

func skipDigits(b []byte, i int) int {
	for i < len(b) && b[i] >= '0' && b[i] <= '9' {
		i++
	}
	return i
}
