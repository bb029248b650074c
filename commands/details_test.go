package commands

import (
	"encoding/json"
	"math"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestAppendDetails_AgreesWithEncodingJSON(t *testing.T) {
	for _, d := range []map[string]any{
		{},
		{"method": "GET", "url": "http://a/b\"c\u00e9", "status": 200, "latency_ms": int64(-7), "reply_json_refused": true},
		{"tokens": map[string]any{"in": 1, "out": []int{2}}, "cost": 0.25, "model": nil, "z": "", "a": false},
		{"1": 1, "2": 2, "3": 3, "4": 4, "5": 5, "6": 6, "7": 7, "8": 8, "9": "beyond the few"},
	} {
		want, err := json.Marshal(d)
		require.NoError(t, err)
		got, err := appendDetails(nil, d)
		require.NoError(t, err)
		require.Equal(t, string(want), string(got))
	}
	_, err := appendDetails(nil, map[string]any{"x": math.Inf(1)})
	require.Error(t, err)
}

func BenchmarkAppendDetails(b *testing.B) {
	d := map[string]any{"method": "GET", "url": "http://127.0.0.1:8080/step", "status": 200, "latency_ms": int64(3), "reply_bytes": 11}
	b.ReportAllocs()
	for b.Loop() {
		_, _ = appendDetails(nil, d)
	}
}
