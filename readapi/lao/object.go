package lao

import (
	"strconv"
	"time"

	"quipu/domain/rawjson"
)

// object builds one JSON object; b begins with '{'.
type object struct{ b []byte }

func (o *object) key(k string) {
	if o.b[len(o.b)-1] != '{' {
		o.b = append(o.b, ',')
	}
	o.b = rawjson.AppendString(o.b, k)
	o.b = append(o.b, ':')
}

func (o *object) str(k, v string) {
	o.key(k)
	o.b = rawjson.AppendString(o.b, v)
}

func (o *object) int(k string, v int64) {
	o.key(k)
	o.b = strconv.AppendInt(o.b, v, 10)
}

func (o *object) raw(k string, v []byte) {
	o.key(k)
	o.b = append(o.b, v...)
}

// instant writes epoch seconds (contract D26).
func (o *object) instant(k string, t time.Time) {
	o.key(k)
	o.b = AppendSeconds(o.b, t.UnixMilli())
}

// seconds writes the time from a to b; it never goes below 0.
func (o *object) seconds(k string, a, b time.Time) {
	o.key(k)
	o.b = AppendSeconds(o.b, max(b.Sub(a).Milliseconds(), 0))
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
