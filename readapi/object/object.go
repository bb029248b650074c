// Package object writes JSON objects by appending, so that users' JSON passes through byte for byte
// and nothing is built twice.
package object

import (
	"strconv"
	"time"

	"quipu/domain"
	"quipu/domain/rawjson"
)

// Builder writes one object, or several within each other, into B. It checks nothing: every Open
// needs its Close, and raw values are checked JSON.
type Builder struct{ B []byte }

// New begins an object at the end of dst.
func New(dst []byte) *Builder { return &Builder{append(dst, '{')} }

// Done ends the object and returns everything written.
func (o *Builder) Done() []byte { return append(o.B, '}') }

// Key begins a member; its value is to be appended to B.
func (o *Builder) Key(k string) {
	if last := o.B[len(o.B)-1]; last != '{' {
		o.B = append(o.B, ',')
	}
	o.B = rawjson.AppendString(o.B, k)
	o.B = append(o.B, ':')
}

// Str writes a string.
func (o *Builder) Str(k, v string) {
	o.Key(k)
	o.B = rawjson.AppendString(o.B, v)
}

// StrOrNull writes a string, null if it is empty.
func (o *Builder) StrOrNull(k, v string) {
	if v == "" {
		o.Null(k)
		return
	}
	o.Str(k, v)
}

// Null writes null.
func (o *Builder) Null(k string) { o.Raw(k, []byte("null")) }

// Int writes an integer.
func (o *Builder) Int(k string, v int64) {
	o.Key(k)
	o.B = strconv.AppendInt(o.B, v, 10)
}

// Bool writes a boolean.
func (o *Builder) Bool(k string, v bool) {
	o.Key(k)
	o.B = strconv.AppendBool(o.B, v)
}

// Raw writes a value that is JSON already.
func (o *Builder) Raw(k string, v []byte) {
	o.Key(k)
	o.B = append(o.B, v...)
}

// Time writes an instant as RFC 3339 in UTC with three decimals (contract D26), null for the zero one.
func (o *Builder) Time(k string, t time.Time) {
	if t.IsZero() {
		o.Null(k)
		return
	}
	o.Key(k)
	o.B = append(o.B, '"')
	o.B = t.UTC().AppendFormat(o.B, domain.TimeLayout)
	o.B = append(o.B, '"')
}

// Position writes a place in a log as clients know it, without building the string.
func (o *Builder) Position(k string, log domain.LogID, p domain.Position) {
	o.Key(k)
	o.B = rawjson.AppendString(o.B, string(log))
	o.B[len(o.B)-1] = '-' // in the place of the closing quote
	var hex [16]byte
	for i, n := len(hex)-1, uint64(p); i >= 0; i, n = i-1, n>>4 {
		hex[i] = "0123456789abcdef"[n&15]
	}
	o.B = append(append(o.B, hex[:]...), '"')
}

// Seconds writes an instant as epoch seconds with three decimals and never an exponent,
// null for the zero one.
func (o *Builder) Seconds(k string, t time.Time) {
	if t.IsZero() {
		o.Null(k)
		return
	}
	o.Key(k)
	o.B = AppendSeconds(o.B, t.UnixMilli())
}

// AppendSeconds renders milliseconds as a number of seconds with exactly 3 decimals and never an
// exponent.
func AppendSeconds(dst []byte, ms int64) []byte {
	if ms < 0 {
		dst = append(dst, '-')
		ms = -ms
	}
	dst = strconv.AppendInt(dst, ms/1000, 10)
	ms %= 1000
	return append(dst, '.', byte('0'+ms/100), byte('0'+ms/10%10), byte('0'+ms%10))
}

// Millis writes the time from a to b in milliseconds, null while either is unknown. It never goes
// below 0.
func (o *Builder) Millis(k string, a, b time.Time) {
	if a.IsZero() || b.IsZero() {
		o.Null(k)
		return
	}
	o.Int(k, max(b.Sub(a).Milliseconds(), 0))
}

// Open begins an object as the value of k; Close ends it.
func (o *Builder) Open(k string) {
	o.Key(k)
	o.B = append(o.B, '{')
}

// Close ends the object that Open began.
func (o *Builder) Close() { o.B = append(o.B, '}') }

// Item begins an item of an array that was begun by appending '[' to B.
func (o *Builder) Item() {
	if last := o.B[len(o.B)-1]; last != '[' {
		o.B = append(o.B, ',')
	}
}
