package commands

import (
	"encoding/json"
	"slices"
	"strconv"

	"quipu/domain/rawjson"
)

// appendDetails appends d as a JSON object, keys in order. By hand, since it is written with every
// call and encoding/json makes a copy of each key and value of a map.
func appendDetails(dst []byte, d map[string]any) ([]byte, error) {
	var few [8]string
	keys := few[:0]
	for k := range d {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	dst = append(slices.Grow(dst, 32*len(d)), '{')
	for i, k := range keys {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(rawjson.AppendString(dst, k), ':')
		switch v := d[k].(type) {
		case string:
			dst = rawjson.AppendString(dst, v)
		case int:
			dst = strconv.AppendInt(dst, int64(v), 10)
		case int64:
			dst = strconv.AppendInt(dst, v, 10)
		case bool:
			dst = strconv.AppendBool(dst, v)
		default:
			b, err := json.Marshal(v)
			if err != nil {
				return nil, err
			}
			dst = append(dst, b...)
		}
	}
	return append(dst, '}'), nil
}
