package lao

import (
	"time"

	"quipu/readapi/object"
)

// fields builds one JSON object of this dialect; B begins with '{'.
type fields struct{ object.Builder }

// begin starts an object at the end of dst.
func begin(dst []byte) fields { return fields{object.Builder{B: append(dst, '{')}} }

// instant writes epoch seconds (contract D26); a number in any case, since clients calculate with it.
func (o *fields) instant(k string, t time.Time) {
	o.Key(k)
	o.B = object.AppendSeconds(o.B, t.UnixMilli())
}

// seconds writes the time from a to b; it never goes below 0.
func (o *fields) seconds(k string, a, b time.Time) {
	o.Key(k)
	o.B = object.AppendSeconds(o.B, max(b.Sub(a).Milliseconds(), 0))
}

// strIf writes a string unless it is empty.
func (o *fields) strIf(k, v string) {
	if v != "" {
		o.Str(k, v)
	}
}

// instantIf writes an instant unless it is the zero one.
func (o *fields) instantIf(k string, t time.Time) {
	if !t.IsZero() {
		o.instant(k, t)
	}
}
