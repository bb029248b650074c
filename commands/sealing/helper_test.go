package sealing_test

import (
	"bytes"
	"encoding/json"
)

// jsonMarshal is json.Marshal without escaping <, > and &.
func jsonMarshal(v any) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	err := enc.Encode(v)
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), err
}
