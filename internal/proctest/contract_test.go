package proctest

import (
	"bytes"
	"encoding/json"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// More statements of the contract are tested in internal/contracttest; docs/contract-tests.md lists all.

// S0-1, S0-2, S0-3, S0-5, S0-6: a socket needs its path and nothing else. It sends no header, query
// or message of its own and is shown the run that was given the same names.
func TestS0_1_2_3_5_6_SocketNeedsOnlyItsPath(t *testing.T) {
	s := Start(t, Options{})
	for _, pair := range [][2]string{
		{"Customer_Support_Pipeline", "ticket_78453"}, {"Financial_Data_Pipeline", "daily_batch_20240215"}, {"MyWorkflow", "run_001"},
	} {
		socket, err := dialURL(t.Context(), "ws://"+s.Addr()+"/ws/"+pair[0]+"/"+pair[1]) // not encoded, as the sample client does
		require.NoError(t, err)
		defer socket.Close()
		s.Client().Run(t, dag(pair[0], pair[1], nil, noop("a", 1)))
		all := socket.ToEnd(t)
		require.Equal(t, []string{"flow_started", "task_started a", "task_completed a", "flow_completed"}, types(all))
		for _, f := range all {
			require.Equal(t, pair, [2]string{f.FlowName, f.RunName})
		}
	}
}

// D11, D20: each task execution has a UUID of its own on all of its events; flow events carry the
// run's id, which is run-dag's task_id, a UUIDv7, and known with exec_ before it, too.
func TestS0_15_25_D11_D20_TaskIDs(t *testing.T) {
	const uuid = `^[0-9a-f]{8}-[0-9a-f]{4}-[1-8][0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`
	s := Start(t, Options{})
	socket := s.Open(t, "f", "r", "")
	started := s.Client().Run(t, dag("f", "r", nil, noop("a", 1), noop("b", depends("a"))))
	require.Regexp(t, `^[0-9a-f]{8}-[0-9a-f]{4}-7`, started.TaskID)
	of := map[string]string{}
	for _, f := range socket.ToEnd(t) {
		var g struct {
			TaskID string `json:"task_id"`
		}
		require.NoError(t, json.Unmarshal(f.Raw, &g))
		require.Regexp(t, uuid, g.TaskID)
		name := f.TaskName
		if strings.HasPrefix(f.EventType, "flow_") {
			name = ""
		}
		if have, ok := of[name]; ok {
			require.Equal(t, have, g.TaskID, f.EventType)
		}
		of[name] = g.TaskID
	}
	require.Equal(t, started.TaskID, of[""])
	require.Len(t, map[string]bool{of[""]: true, of["a"]: true, of["b"]: true}, 3)
	require.Equal(t, 200, s.Client().Must(t, http.MethodGet, "/task-status/exec_"+started.TaskID, nil).Status)
}

// D1, D7: a cancelled run shows as flow_error with code CANCELLED and as failed; a second cancel is
// refused, and the socket stays open for the next run.
func TestS2_14_D1_D7_Cancel(t *testing.T) {
	stub := NewStub(t)
	g := stub.gate("/gate")
	defer close(g.open)
	s := Start(t, Options{})
	c := s.Client()
	socket := s.Open(t, "f", "r", "")
	started := c.Run(t, dag("f", "r", nil, noop("done", 1), call("slow", stub.URL+"/gate", map[string]any{"x": depends("done")})))
	g.await(t)
	r := c.Must(t, http.MethodPost, "/api/executions/exec_"+started.TaskID+"/cancel", nil)
	require.Equal(t, 202, r.Status, string(r.Body))
	require.NotEmpty(t, r.Header.Get("Quipu-Position"))
	all := socket.ToEnd(t)
	last := all[len(all)-1]
	require.Equal(t, "flow_error", last.EventType)
	require.Equal(t, "CANCELLED", last.Error.Code)
	require.NotContains(t, types(all), "task_failed slow", "tasks without an end have no event of their own")
	status, _ := c.End(t, started.TaskID)
	require.Equal(t, "failed", status.Status)
	require.Equal(t, "CANCELLED", status.Error.Code)
	require.JSONEq(t, `1`, string(status.Results["done"]))
	checkProblem(t, "cancel twice", c.Must(t, http.MethodPost, "/api/executions/"+started.TaskID+"/cancel", nil), 409, "RUN_ENDED", "")
	again := c.Run(t, dag("f", "r", nil, noop("done", 1)))
	require.Equal(t, again.TaskID, socket.Next(t).ExecutionID)
}

// D10: with masking of frames turned off readers see secrets; the data folder holds ciphertext all
// the same.
func TestD10_MaskSwitch(t *testing.T) {
	const secret = "sk-shown-in-frames-only-42"
	for flag, shown := range map[string]bool{"--no-mask-frames": true, "--mask-frames": false} {
		s := Start(t, Options{Args: []string{flag}})
		socket := s.Open(t, "f", "r", "")
		s.Client().Run(t, dag("f", "r", nil, task{Name: "a", Function: "bench_noop", Params: map[string]any{"config": map[string]any{"api_key": secret}}}))
		found := false
		for _, f := range socket.ToEnd(t) {
			found = found || bytes.Contains(f.Raw, []byte(secret))
		}
		require.Equal(t, shown, found, flag)
		s.Stop()
		require.NoError(t, filepath.WalkDir(s.Data, func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			b, err := os.ReadFile(path)
			require.NotContains(t, string(b), secret, path)
			return err
		}))
	}
}
