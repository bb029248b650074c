package nodetypes_test

import (
	"encoding/json"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"quipu/commands/node"
	"quipu/commands/nodetypes"
)

// What an attempt or a check of api_call costs before anything is sent.
func BenchmarkAPICall_Check(b *testing.B) {
	registry, err := node.NewRegistry(nodetypes.All(nodetypes.Deps{HTTP: http.DefaultClient})...)
	require.NoError(b, err)
	call, ok := registry.Get("api_call")
	require.True(b, ok)
	params := json.RawMessage(`{"config":{"url":"http://127.0.0.1:8080/step","method":"GET"}}`)
	b.ReportAllocs()
	for b.Loop() {
		if faults := call.Check(params); len(faults) > 0 {
			b.Fatal(faults)
		}
	}
}
