package browsertest

import (
	"encoding/json"
	"net/http"
	"slices"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

// agent is what tests look at in an AGNT5 frame.
type agent struct {
	Type string `json:"type"`
	Data struct {
		ExecutionID string         `json:"execution_id"`
		Timestamp   string         `json:"timestamp"`
		Details     map[string]any `json:"details"`
		Offset      *int64         `json:"offset"`
		Part        int            `json:"part"`
	} `json:"data"`
}

// agents are the frames of a client that are events.
func agents(t *testing.T, r *Reports) []agent {
	t.Helper()
	var out []agent
	for _, one := range r.Of("frame", 0) {
		var a agent
		require.NoError(t, json.Unmarshal(one.Frame, &a))
		if a.Data.Offset != nil {
			out = append(out, a)
		}
	}
	return out
}

// endpoint makes an endpoint and returns its id and key.
func (w *world) endpoint(slug string) (id, key string) {
	w.t.Helper()
	var made struct {
		Endpoint string
		APIKey   string `json:"api_key"`
	}
	w.api(http.MethodPost, "/api/endpoints", []byte(`{"slug":`+quoted(slug)+`}`), &made)
	return made.Endpoint, made.APIKey
}

// places are where a client runs.
var places = map[string]func(t *testing.T, w *world, p Params) *Reports{
	"Chromium": func(t *testing.T, w *world, p Params) *Reports {
		return NewContext(t).Open(t, p.Page(w.site.Origin)).Reports
	},
	"Node": func(t *testing.T, _ *world, p Params) *Reports { return Node(t, p).Reports },
}

// Browsers refuse a socket whose subprotocol does not come back as it was offered. A client starts two
// executions on one connection, the server dies in the middle, and the client resumes both from where
// it was: every part of every event once, in order.
func TestS1_5_S1_27_ClientStartsAndResumes(t *testing.T) {
	t.Parallel()
	for where, open := range places {
		t.Run(where, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			g := w.gate("/gate")
			endpoint, key := w.endpoint("coffee-shop")
			w.stored("search-candidates", endpoint, "/gate")
			p := w.params("agnt5", "", "")
			p["endpoint"], p["key"], p["connection_id"] = endpoint, key, "ws_c2GDFfT7bywQZW4He6CNFw"
			message := map[string]any{"name": "search-candidates", "parameters": map[string]any{"filters": map[string]any{}}, "metadata": map[string]any{}}
			p["messages"] = []any{message, message}
			r := open(t, w, p)
			require.Equal(t, "x-api-key."+key, r.Await(t, "open", 1, 1)[0].Message, "S1-5")
			g.await(t)
			g.await(t)
			r.AwaitThat(t, "both executions are at work", func() bool {
				n := 0
				for _, a := range agents(t, r) {
					if a.Type == "tool_start" {
						n++
					}
				}
				return n == 2
			})
			w.server.Signal(syscall.SIGKILL)
			w.restart()
			g.await(t)
			g.await(t)
			require.Equal(t, 1006, r.Await(t, "close", 1, 1)[0].Code, "S1-8")
			r.Await(t, "open", 1, 2)
			close(g.open)
			for _, one := range r.Await(t, "complete", 1, 2) {
				require.Equal(t, "execution_completed", one.Message)
			}
			byExecution := map[string][]agent{}
			for _, a := range agents(t, r) {
				require.Regexp(t, `^exec_`, a.Data.ExecutionID, "S1-15")
				require.Regexp(t, `^\d{4}-\d\d-\d\dT.*Z$`, a.Data.Timestamp, "S1-14")
				require.NotNil(t, a.Data.Details, "S1-16")
				byExecution[a.Data.ExecutionID] = append(byExecution[a.Data.ExecutionID], a)
			}
			require.Len(t, byExecution, 2)
			for id, all := range byExecution {
				place := func(a agent) [2]int64 { return [2]int64{*a.Data.Offset, int64(a.Data.Part)} }
				for i := 1; i < len(all); i++ {
					require.Negative(t, slices.Compare(sl(place(all[i-1])), sl(place(all[i]))), "%s: %v after %v", id, all[i], all[i-1])
				}
				require.Equal(t, []string{"execution_started", "workflow_start"}, []string{all[0].Type, all[1].Type}, "D1")
				n := len(all)
				require.Equal(t, []string{"workflow_end", "execution_completed"}, []string{all[n-2].Type, all[n-1].Type}, "D1")
				require.Equal(t, int(*all[n-1].Data.Offset)+1, distinctOffsets(all), "no event is missing")
			}
			require.Len(t, r.Of("complete", 0), 2)
			noExceptions(t, r)
		})
	}
}

func sl(a [2]int64) []int64 { return a[:] }

func distinctOffsets(all []agent) int {
	seen := map[int64]bool{}
	for _, a := range all {
		seen[*a.Data.Offset] = true
	}
	return len(seen)
}

// A key that is refused shows as a connection that fails: the client waits 1, 2, 4, 8 s, … and would end
// after five; the first two waits are looked at.
func TestS1_27_BacksOffWhenRefused(t *testing.T) {
	t.Parallel()
	for where, open := range places {
		t.Run(where, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			endpoint, _ := w.endpoint("coffee-shop")
			p := w.params("agnt5", "", "")
			p["endpoint"], p["key"] = endpoint, "wrong"
			r := open(t, w, p)
			closes := r.Await(t, "close", 1, 3)
			require.GreaterOrEqual(t, len(r.Of("error", 1)), 3, "S1-7")
			for i, one := range closes[:3] {
				require.Equal(t, 1006, one.Code, "S1-8")
				if i > 0 {
					require.Greater(t, one.AtMS-closes[i-1].AtMS, float64(int(1000)<<(i-1))-50)
				}
			}
			require.Empty(t, r.Of("open", 1), "S1-4")
			noExceptions(t, r)
		})
	}
}
