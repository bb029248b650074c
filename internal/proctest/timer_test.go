package proctest

import (
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// A timer outlives its process: it keeps the instant it was set for, and fires once.
func TestKill_TimerFiresOnce(t *testing.T) {
	const waits = 2 * time.Second
	data := DataFolder(t)
	s := Start(t, Options{Data: data})
	workflow := fmt.Sprintf(`{"name":"waits","nodes":[{"id":"in","type":"trigger"},
		{"id":"wait","type":"timer","data":{"config":{"duration_seconds":%v}}},{"id":"out","type":"end"}],
		"edges":[{"source":"in","target":"wait"},{"source":"wait","target":"out"}]}`, waits.Seconds())
	made := s.Client().Must(t, http.MethodPost, "/api/workflows", []byte(workflow))
	require.Equal(t, http.StatusCreated, made.Status, string(made.Body))
	var stored, ran struct {
		Data struct {
			ID          string `json:"id"`
			ExecutionID string `json:"execution_id"`
		} `json:"data"`
	}
	require.NoError(t, made.JSON(&stored))
	started := s.Client().Must(t, http.MethodPost, "/api/workflows/"+stored.Data.ID+"/execute", nil)
	require.Equal(t, http.StatusAccepted, started.Status, string(started.Body))
	require.NoError(t, started.JSON(&ran))
	id := ran.Data.ExecutionID
	Eventually(t, waits/2, "the timer is set", func() bool { return len(instants(t, s, id, "timer_set")) == 1 })
	s.Kill()

	s = Start(t, Options{Data: data})
	ready := time.Now().Add(-s.Ready())
	status, body := s.Client().End(t, id)
	require.Equal(t, "completed", status.Status, string(body))
	set, fired := instants(t, s, id, "timer_set"), instants(t, s, id, "node.completed")
	require.Len(t, set, 1, "the wait does not begin anew")
	require.Len(t, fired, 3, "each of the tasks once")
	due := set[0].Add(waits)
	late := fired[1].Sub(due)
	require.GreaterOrEqual(t, late, time.Duration(0))
	if ready.After(due) {
		late = fired[1].Sub(ready)
	}
	require.Less(t, late, 5*time.Second, "at its time, or right after the start")
}

// instants lists when events of a type happened in an execution, oldest first.
func instants(t *testing.T, s *Server, execution, eventType string) []time.Time {
	t.Helper()
	reply := s.Client().Must(t, http.MethodGet, "/api/workflows/"+execution+"/events?event_type="+eventType, nil)
	require.Equal(t, http.StatusOK, reply.Status, string(reply.Body))
	var page struct {
		Data struct {
			Items []struct {
				EventType string  `json:"event_type"`
				Timestamp float64 `json:"timestamp"`
			} `json:"items"`
		} `json:"data"`
	}
	require.NoError(t, json.Unmarshal(reply.Body, &page))
	var all []time.Time
	for _, e := range page.Data.Items {
		require.Equal(t, eventType, e.EventType)
		all = append(all, time.UnixMilli(int64(math.Round(e.Timestamp*1000))))
	}
	return all
}
