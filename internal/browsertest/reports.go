package browsertest

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"quipu/internal/proctest"
)

// Report is one thing that happened to a client.
type Report struct {
	// Kind is loaded, open, frame, close, error, gave_up or exception, or one of the client's own
	// words, such as complete and failed for the hooks of the sample class.
	Kind string `json:"kind"`
	// Load tells the loads of a page apart; the first is 1.
	Load int `json:"load"`
	// Socket counts the client's connections from 1.
	Socket  int             `json:"socket"`
	Code    int             `json:"code"`
	Message string          `json:"message"`
	Frame   json.RawMessage `json:"frame"`
	Value   json.RawMessage `json:"value"`
	// AtMS is when, in milliseconds of the client's own clock.
	AtMS float64 `json:"at"`
}

// Event is what tests look at in a frame, in any of the dialects.
type Event struct {
	EventType   string `json:"event_type"`
	TaskName    string `json:"task_name"`
	ExecutionID string `json:"execution_id"`
	Offset      *int64 `json:"offset"`
	Prev        *int64 `json:"prev"`
	Status      string `json:"status"`
}

// Event decodes the report's frame; the zero value without one.
func (r Report) Event() Event {
	var e Event
	_ = json.Unmarshal(r.Frame, &e) // not an event, then
	return e
}

// Reports is what a client has reported so far. Safe for concurrent use.
type Reports struct {
	mu    sync.Mutex
	all   []Report
	loads int
}

func (r *Reports) add(raw []byte) {
	var one Report
	if err := json.Unmarshal(raw, &one); err != nil {
		one = Report{Kind: "exception", Message: fmt.Sprintf("report %q: %v", raw, err)}
	}
	r.append(one)
}

func (r *Reports) append(one Report) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if one.Kind == "loaded" {
		r.loads++
	}
	one.Load = max(r.loads, 1)
	r.all = append(r.all, one)
}

// All are the reports so far.
func (r *Reports) All() []Report {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.all)
}

// Of are the reports of a kind, in one load of the page, or in all if load is 0.
func (r *Reports) Of(kind string, load int) []Report {
	return slices.DeleteFunc(r.All(), func(one Report) bool {
		return one.Kind != kind || load != 0 && one.Load != load
	})
}

// Frames are the frames that came on one of the client's sockets, or on all if socket is 0.
func (r *Reports) Frames(load, socket int) []Event {
	var out []Event
	for _, one := range r.Of("frame", load) {
		if socket == 0 || one.Socket == socket {
			out = append(out, one.Event())
		}
	}
	return out
}

// String has one line for each report.
func (r *Reports) String() string {
	var b strings.Builder
	for _, one := range r.All() {
		fmt.Fprintf(&b, "  %14.1f load %d socket %d %s", one.AtMS, one.Load, one.Socket, one.Kind)
		if one.Code != 0 {
			fmt.Fprintf(&b, " %d", one.Code)
		}
		for _, more := range []string{one.Message, string(one.Frame), string(one.Value)} {
			if more != "" {
				fmt.Fprintf(&b, " %s", clip(more))
			}
		}
		b.WriteByte('\n')
	}
	return b.String()
}

func clip(s string) string {
	const bytesMax = 120
	if len(s) > bytesMax {
		return s[:bytesMax] + "…"
	}
	return s
}

// waitLimit is how long a test waits for what has to happen.
const waitLimit = 45 * time.Second

// Await waits until there are n reports of a kind in a load (0: in all), and returns them all.
func (r *Reports) Await(t testing.TB, kind string, load, n int) []Report {
	t.Helper()
	r.AwaitThat(t, fmt.Sprintf("%d reports of %s", n, kind), func() bool { return len(r.Of(kind, load)) >= n })
	return r.Of(kind, load)
}

// AwaitThat waits until ok.
func (r *Reports) AwaitThat(t testing.TB, what string, ok func() bool) {
	t.Helper()
	proctest.Eventually(t, waitLimit, what, ok)
}

// AwaitFrame waits for a frame of a type on one of the client's sockets (0: on any).
func (r *Reports) AwaitFrame(t testing.TB, typ string, load, socket int) {
	t.Helper()
	r.AwaitThat(t, fmt.Sprintf("frame %s on socket %d", typ, socket), func() bool {
		return slices.ContainsFunc(r.Frames(load, socket), func(e Event) bool { return e.EventType == typ })
	})
}
