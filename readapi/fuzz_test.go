package readapi

import (
	"encoding/json"
	"errors"
	"net/url"
	"strings"
	"testing"
	"time"

	"quipu/domain"
)

// The path and query of a LAO socket are followed or refused, each fault by the name of its place.
func FuzzParseRequest(f *testing.F) {
	for _, s := range []string{"", "from=0", "offset=latest", "after=-1", "after=3:1", "from=1&after=1", "from=9007199254740992", "after=9007199254740991", "after=1:-1", "types=task_started,llm_delta", "execution_id=exec_exec_", "log=x", "node_id=a"} {
		f.Add("flow%20name", "run", s)
	}
	f.Add("%zz", "%00", "from=x")
	f.Add("workflows", "a%2Fb", "")
	f.Fuzz(func(t *testing.T, flow, run, query string) {
		values, err := url.ParseQuery(query)
		if err != nil {
			return
		}
		r, err := parseRequest(flow, run, values.Get, "log")
		if err != nil {
			var e *domain.Error
			if !errors.As(err, &e) || e.Message == "" || e.Field == "" || e.Kind != domain.KindInvalid && e.Kind != domain.KindConflict {
				t.Fatalf("%q %q %q: %v", flow, run, query, err)
			}
			return
		}
		if r.offset < 0 || r.offset > 1<<53 || r.cursor != cursorFrom && r.offset != 0 || len(r.executionID) > executionIDBytesMax {
			t.Fatalf("%q gives %+v", query, r)
		}
		if r.wantsType("no type") && values.Get("types") != "" {
			t.Fatalf("%q wants everything", query)
		}
	})
}

// Whatever clients send on a LAO socket, what they are answered is JSON, little, and none of the six event types.
func FuzzLAOMessage(f *testing.F) {
	for _, s := range []string{"", "{}", `{"type":"ping"}`, `{"type":"pong"}`, `{"type":1}`, `["ping"]`, `{"type":"ping"}{}`, `{"type":"task_started"}`, "ping", "\xff", `{"TYPE":"ping"}`, `{"type":"ping","type":"x"}`} {
		f.Add(s, uint8(1))
	}
	f.Add(`{"type":"ping"}`, uint8(200))
	f.Fuzz(func(t *testing.T, message string, times uint8) {
		told := 0
		s := &laoSession{notify: func() { told++ }}
		for range times {
			s.Message(t.Context(), time.Unix(0, 0), []byte(message))
		}
		frames := s.inbound.answers(time.Unix(1, 0), nil)
		if len(frames) > 200*(pongsMax+1) {
			t.Fatalf("%d bytes are answered to %q", len(frames), message)
		}
		for len(frames) > 0 {
			n, head := int(frames[1]), 2
			if n == 126 {
				n, head = int(frames[2])<<8|int(frames[3]), 4
			}
			var frame struct {
				Type      string  `json:"event_type"`
				Timestamp float64 `json:"timestamp"`
			}
			if err := json.Unmarshal(frames[head:head+n], &frame); err != nil || frame.Type != "pong" && frame.Type != "error" || frame.Timestamp != 1 {
				t.Fatalf("%q is answered with %q: %v", message, frames, err)
			}
			frames = frames[head+n:]
		}
		if len(s.inbound.answers(time.Unix(1, 0), nil)) > 0 {
			t.Fatal("what is answered is answered again")
		}
		if valid := json.Valid([]byte(message)) && strings.HasPrefix(strings.TrimSpace(message), "{"); !valid && told < int(times) {
			t.Fatalf("%q is passed over", message)
		}
	})
}
