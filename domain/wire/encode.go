package wire

import (
	"strconv"
	"time"

	"quipu/domain"
	"quipu/domain/rawjson"
)

// object builds one JSON object. Fields are written in the order of calls; the *Opt forms leave
// out zero values.
type object struct{ b []byte }

func newObject(dst []byte) *object { return &object{b: append(dst, '{')} }

func (o *object) key(k string) {
	if o.b[len(o.b)-1] != '{' {
		o.b = append(o.b, ',')
	}
	o.b = append(o.b, '"')
	o.b = append(o.b, k...)
	o.b = append(o.b, '"', ':')
}

func (o *object) str(k, v string) {
	o.key(k)
	o.b = rawjson.AppendString(o.b, v)
}

func (o *object) strOpt(k, v string) {
	if v != "" {
		o.str(k, v)
	}
}

func (o *object) int(k string, v int64) {
	o.key(k)
	o.b = strconv.AppendInt(o.b, v, 10)
}

func (o *object) boolean(k string, v bool) {
	o.key(k)
	o.b = strconv.AppendBool(o.b, v)
}

func (o *object) float(k string, v float64) {
	o.key(k)
	o.b = strconv.AppendFloat(o.b, v, 'g', -1, 64)
}

func (o *object) raw(k string, v []byte) {
	o.key(k)
	o.b = append(o.b, v...)
}

func (o *object) instantOpt(k string, t time.Time) {
	if !t.IsZero() {
		o.key(k)
		o.b = append(o.b, '"')
		o.b = t.UTC().AppendFormat(o.b, domain.TimeLayout)
		o.b = append(o.b, '"')
	}
}

func (o *object) value(k string, v domain.Value) {
	o.key(k)
	o.b = appendValue(o.b, v)
}

func (o *object) valueOpt(k string, v domain.Value) {
	if !v.Absent() {
		o.value(k, v)
	}
}

// list writes an array whose items are appended by item.
func (o *object) list(k string, n int, item func(dst []byte, i int) []byte) {
	o.key(k)
	o.b = append(o.b, '[')
	for i := range n {
		if i > 0 {
			o.b = append(o.b, ',')
		}
		o.b = item(o.b, i)
	}
	o.b = append(o.b, ']')
}

func (o *object) done() []byte { return append(o.b, '}') }

func appendValue(dst []byte, v domain.Value) []byte {
	o := newObject(dst)
	if j := rawjson.Trim(v.JSON); len(j) > 0 {
		o.raw("json", j)
	} else {
		o.raw("json", []byte("null"))
	}
	if len(v.Holes) > 0 {
		o.list("holes", len(v.Holes), func(dst []byte, i int) []byte { return appendHole(dst, v.Holes[i]) })
	}
	return o.done()
}

func appendHole(dst []byte, h domain.Hole) []byte {
	o := newObject(dst)
	o.str("at", h.At)
	if h.Blob != "" {
		o.str("blob", h.Blob)
		o.int("bytes", h.Bytes)
	} else {
		o.str("sealed", h.Sealed)
		o.str("fp", h.FP)
	}
	return o.done()
}
