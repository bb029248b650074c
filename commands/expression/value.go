package expression

import (
	"bytes"
	"encoding/json"
	"math"
	"sort"
	"strconv"
	"unicode/utf8"

	"quipu/domain"
	"quipu/domain/rawjson"
)

// A value of the language is nil, bool, int64, float64, json.Number (a number not yet read),
// string, []any, map[string]any or nodesValue.

// nodesValue is the scope's nodes: outputs by task name, decoded when they are read.
type nodesValue map[string]json.RawMessage

// decode reads JSON from the scope. Numbers stay text until they are used.
func (m *machine) decode(raw json.RawMessage) any {
	if len(raw) == 0 {
		return nil
	}
	if m.scopeBytes += len(raw); m.scopeBytes > ScopeBytesMax {
		m.failf("the data has more than %d bytes", ScopeBytesMax)
	}
	if err := rawjson.Check(raw, domain.JSONDepthMax); err != nil {
		m.failf("the data is not JSON")
	}
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		m.failf("the data is not JSON")
	}
	return v
}

// number reads a number; ok is false if v is none.
func (m *machine) number(v any) (n any, ok bool) {
	switch v := v.(type) {
	case int64, float64:
		return v, true
	case json.Number:
		if i, err := strconv.ParseInt(string(v), 10, 64); err == nil {
			return i, true
		}
		f, err := strconv.ParseFloat(string(v), 64)
		if err != nil {
			m.failf("the number %s is out of range", clip(string(v)))
		}
		return f, true
	}
	return nil, false
}

func float(n any) float64 {
	if i, ok := n.(int64); ok {
		return float64(i)
	}
	return n.(float64)
}

// compareNumbers gives -1, 0 or 1. An int64 and a float64 are compared as mathematical values,
// since rounding the integer would make different numbers equal.
func compareNumbers(a, b any) int {
	i, aInt := a.(int64)
	j, bInt := b.(int64)
	switch {
	case aInt && bInt:
		return order(i, j)
	case aInt:
		return -compareFloat(b.(float64), i)
	case bInt:
		return compareFloat(a.(float64), j)
	}
	return order(a.(float64), b.(float64))
}

func compareFloat(f float64, i int64) int {
	switch {
	case f >= 1<<63:
		return 1
	case f < -(1 << 63):
		return -1
	}
	whole := math.Floor(f)
	if c := order(int64(whole), i); c != 0 || f == whole {
		return c
	}
	return 1
}

func order[T int64 | float64 | string](a, b T) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

// truth is Python's.
func (m *machine) truth(v any) bool {
	switch v := v.(type) {
	case nil:
		return false
	case bool:
		return v
	case string:
		return v != ""
	case []any:
		return len(v) > 0
	case map[string]any:
		return len(v) > 0
	case nodesValue:
		return len(v) > 0
	}
	n, _ := m.number(v)
	return compareNumbers(n, int64(0)) != 0
}

func (m *machine) equal(a, b any) bool {
	m.work(1)
	switch a := m.whole(a).(type) {
	case nil:
		return b == nil
	case bool:
		c, ok := b.(bool)
		return ok && a == c
	case string:
		c, ok := b.(string)
		if !ok || len(a) != len(c) {
			return false
		}
		m.workText(len(a))
		return a == c
	case []any:
		c, ok := b.([]any)
		if !ok || len(a) != len(c) {
			return false
		}
		for i := range a {
			if !m.equal(a[i], c[i]) {
				return false
			}
		}
		return true
	case map[string]any:
		c, ok := m.whole(b).(map[string]any)
		if !ok || len(a) != len(c) {
			return false
		}
		// The keys are taken in order so that the work done before a difference, and with it
		// whether WorkMax is reached, is the same each time.
		for _, k := range sortedKeys(a) {
			v, ok := c[k]
			if !ok || !m.equal(a[k], v) {
				return false
			}
		}
		return true
	default:
		if a == b { // the same text: equal even where it is out of range
			return true
		}
		x, _ := m.number(a)
		y, ok := m.number(b)
		return ok && compareNumbers(x, y) == 0
	}
}

// whole decodes a nodesValue, leaving other values as they are.
func (m *machine) whole(v any) any {
	nodes, ok := v.(nodesValue)
	if !ok {
		return v
	}
	out := make(map[string]any, len(nodes))
	for _, k := range sortedKeys(nodes) {
		out[k] = m.nodeOutput(nodes, k)
	}
	return out
}

func sortedKeys[V any](object map[string]V) []string {
	keys := make([]string, 0, len(object))
	for k := range object {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	return keys
}

// render writes v as JSON, object keys sorted, unread numbers as they were written.
func (m *machine) render(dst []byte, v any, depth int) []byte {
	m.work(1)
	if depth > domain.JSONDepthMax {
		m.failf("the result is nested deeper than %d levels", domain.JSONDepthMax)
	}
	switch v := m.whole(v).(type) {
	case nil:
		return append(dst, "null"...)
	case bool:
		return strconv.AppendBool(dst, v)
	case int64:
		return strconv.AppendInt(dst, v, 10)
	case float64:
		return appendFloat(dst, v)
	case json.Number:
		m.workText(len(v))
		return append(dst, v...)
	case string:
		m.workText(len(v))
		return rawjson.AppendString(dst, v)
	case []any:
		dst = append(dst, '[')
		for i, item := range v {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = m.render(dst, item, depth+1)
		}
		return append(dst, ']')
	case map[string]any:
		dst = append(dst, '{')
		for i, k := range sortedKeys(v) {
			if i > 0 {
				dst = append(dst, ',')
			}
			m.workText(len(k))
			dst = rawjson.AppendString(dst, k)
			dst = append(dst, ':')
			dst = m.render(dst, v[k], depth+1)
		}
		return append(dst, '}')
	}
	m.failf("the result cannot be written as JSON")
	return nil
}

// appendFloat writes the shortest text that reads back as f, as encoding/json does. No operation
// yields NaN or an infinity, see finite.
func appendFloat(dst []byte, f float64) []byte {
	b, _ := json.Marshal(f)
	return append(dst, b...)
}

// kindOf names v's kind in messages and for type().
func kindOf(v any) string {
	switch v.(type) {
	case nil:
		return "None"
	case bool:
		return "bool"
	case string:
		return "string"
	case []any:
		return "array"
	case map[string]any, nodesValue:
		return "object"
	}
	return "number"
}

// clip shortens a text for a message.
func clip(s string) string {
	const most = 40
	if len(s) <= most {
		return s
	}
	n := most
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n] + "…"
}
