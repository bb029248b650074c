package openapi

import (
	"bytes"
	"encoding/json"
)

// object is a JSON object whose members stay in the order they were set: the document reads as the
// code does, and is the same bytes each time.
type object struct {
	keys   []string
	values map[string]any
}

// obj makes an object of key, value, key, value, …
func obj(pairs ...any) *object {
	o := &object{values: map[string]any{}}
	for i := 0; i < len(pairs); i += 2 {
		o.set(pairs[i].(string), pairs[i+1])
	}
	return o
}

func (o *object) set(key string, value any) {
	if _, known := o.values[key]; !known {
		o.keys = append(o.keys, key)
	}
	o.values[key] = value
}

// text sets a member unless s is empty.
func (o *object) text(key, s string) {
	if s != "" {
		o.set(key, s)
	}
}

func (o *object) get(key string) any { return o.values[key] }

// child is the object that a key holds, made if there is none.
func (o *object) child(key string) *object {
	if c, ok := o.values[key].(*object); ok {
		return c
	}
	c := obj()
	o.set(key, c)
	return c
}

// MarshalJSON implements json.Marshaler.
func (o *object) MarshalJSON() ([]byte, error) {
	b := []byte{'{'}
	for i, k := range o.keys {
		if i > 0 {
			b = append(b, ',')
		}
		key, err := encode(k)
		if err != nil {
			return nil, err
		}
		value, err := encode(o.values[k])
		if err != nil {
			return nil, err
		}
		b = append(append(append(b, key...), ':'), value...)
	}
	return append(b, '}'), nil
}

// encode is json.Marshal without the escapes that HTML would need.
func encode(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	err := e.Encode(v)
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), err
}
