package proctest

import (
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// A server whose log is kept elsewhere: it says so when that is away, serves what it can, and goes on by
// itself when it is back; no run is lost, and the views equal the log.
func TestServe_LogKeptElsewhere(t *testing.T) {
	logs := Options{Data: DataFolder(t), Command: []string{"log", "serve"}, Args: []string{"--kurrentdb-addr", freeAddr(t)}}
	url := "kurrentdb://" + logs.Args[1] + "?tls=false"
	kept := Start(t, logs)
	kept.Ready()
	data := DataFolder(t)
	s := Start(t, Options{Data: data, Args: []string{"--log", url}})
	s.Ready()
	c := s.Client()
	for round := range 3 {
		started := make([]Started, 20)
		for i := range started {
			started[i] = c.Run(t, dag("f", fmt.Sprintf("%d-%d", round, i), nil, noop("a", i), noop("b", depends("a"))))
		}
		kept.Kill()
		Eventually(t, 60*time.Second, "the server says that its log is away", func() bool {
			r, err := c.Do(t.Context(), http.MethodGet, "/health/ready", nil)
			return err == nil && r.Status == http.StatusServiceUnavailable
		})
		kept = Start(t, logs)
		kept.Ready()
		Eventually(t, 60*time.Second, "the server is ready again", s.IsReady)
		for _, run := range started {
			status, raw := c.End(t, run.TaskID)
			require.Equal(t, "completed", status.Status, string(raw))
		}
	}
	caughtUp(t, s)
	s.Stop()
	code, out := Run(t, "views", "verify", "--data", data, "--log", url)
	require.Zero(t, code, out)
	require.Contains(t, out, ": 0 differences")
	require.NotContains(t, out, " 0 rows compared")
	code, out = Run(t, "views", "rebuild", "--data", data, "--log", url)
	require.Equal(t, 1, code)
	require.Contains(t, out, "name it with --server")

	// A second start finds the runs in the log and the same id.
	again := Start(t, Options{Data: data, Args: []string{"--log", url}})
	again.Ready()
	status, raw := again.Client().End(t, again.Client().Run(t, dag("f", "last", nil, noop("a", 1))).TaskID)
	require.Equal(t, "completed", status.Status, string(raw))
}

// A log that nobody answers for ends the start with a word about what to do; no password is shown.
func TestServe_LogNobodyAnswersFor(t *testing.T) {
	for url, want := range map[string]string{
		"esdb://u:hunter2hunter2@h/x": "a path",
		"./folder":                    "is no connection string",
	} {
		code, out := Run(t, "serve", "--data", DataFolder(t), "--log", url)
		require.NotZero(t, code)
		require.Contains(t, out, want)
		require.NotContains(t, out, "hunter2")
	}
}
