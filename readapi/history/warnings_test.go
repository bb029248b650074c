package history_test

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"
)

// A filter that is nearly one is ignored like every unknown parameter, and every list says so.
func TestLists_TellOfNamesThatAreNearlyRight(t *testing.T) {
	w := newWorld(t, nil)
	id := w.createWorkflow("w")
	warnings := func(path string) []string {
		a := w.get(path)
		require.Equal(t, 200, a.status, string(a.raw))
		var list struct {
			Data struct{ Warnings []string }
		}
		require.NoError(t, json.Unmarshal(a.raw, &list))
		return list.Data.Warnings
	}
	for path, meant := range map[string][2]string{
		"/api/executions": {"sttus", "status"}, "/api/events": {"event_typ", "event_type"}, "/api/workflows": {"nmae", "name"},
		"/api/endpoints": {"limits", "limit"}, "/api/workflows/" + id + "/versions": {"inlude", "include"}, "/api/workflows/" + id + "/events": {"node-id", "node_id"},
	} {
		require.Equal(t, []string{meant[0] + " is no parameter and was ignored; did you mean " + meant[1] + "?"}, warnings(path+"?limit=5&"+meant[0]+"=x"))
		require.NotContains(t, string(w.get(path+"?limit=5&session_id=x").raw), "warnings", "what resembles none is nobody's mistake")
	}
}
