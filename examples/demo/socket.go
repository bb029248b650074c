package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"time"

	"github.com/fasthttp/websocket"
)

// frame is what the demo reads of a frame.
type frame struct {
	EventType   string  `json:"event_type"`
	TaskName    string  `json:"task_name"`
	Timestamp   float64 `json:"timestamp"`
	Offset      *int    `json:"offset"` // nil for what is no event
	Prev        int     `json:"prev"`
	ExecutionID string  `json:"execution_id"`

	Message   string          `json:"message"`
	Reason    string          `json:"reason"`
	Attempt   int             `json:"attempt"`
	Input     json.RawMessage `json:"input"`
	Output    json.RawMessage `json:"output"`
	Details   json.RawMessage `json:"details"`
	RetryAt   float64         `json:"retry_at"`
	Took      float64         `json:"execution_time"`
	TookTotal float64         `json:"total_execution_time"`
	Error     *frameError     `json:"error"`
	raw       []byte
}

type frameError struct {
	Code     string          `json:"code"`
	Message  string          `json:"message"`
	TaskName string          `json:"task_name"`
	Details  json.RawMessage `json:"details"`
}

func (f frame) ends() bool { return f.EventType == "flow_completed" || f.EventType == "flow_error" }

func clock(seconds float64) string {
	return time.UnixMilli(int64(seconds*1000 + 0.5)).UTC().Format("15:04:05.000")
}

// frameLimit is how long the demo waits for the next frame.
const frameLimit = 20 * time.Second

type socket struct {
	conn *websocket.Conn
	stop func() bool
}

// dial opens the socket of a run. The run need not exist yet.
func dial(ctx context.Context, addr, flow, run, query string) (*socket, error) {
	u := url.URL{Scheme: "ws", Host: addr, Path: "/ws/" + flow + "/" + run, RawQuery: query}
	conn, _, err := websocket.DefaultDialer.DialContext(ctx, u.String(), nil)
	if err != nil {
		return nil, fmt.Errorf("socket %s: %w", u.String(), err)
	}
	return &socket{conn: conn, stop: context.AfterFunc(ctx, func() { _ = conn.Close() })}, nil
}

func (s *socket) close() {
	s.stop()
	_ = s.conn.Close()
}

// errLost is a connection that broke.
var errLost = errors.New("connection lost")

// next returns the next event's frame; keepalives are passed over.
func (s *socket) next() (frame, error) {
	for {
		_ = s.conn.SetReadDeadline(time.Now().Add(frameLimit))
		_, raw, err := s.conn.ReadMessage()
		if err != nil {
			return frame{}, fmt.Errorf("%w: %w", errLost, err)
		}
		f := frame{raw: raw}
		if err := json.Unmarshal(raw, &f); err != nil {
			return frame{}, fmt.Errorf("a frame is not JSON: %w: %s", err, raw)
		}
		if f.Offset != nil {
			return f, nil
		}
	}
}

// trace is the frames of a run so far; it checks that none is missing and none comes twice.
type trace struct {
	frames []frame
	head   int // offset of the last frame; -1 if none
}

func newTrace() *trace { return &trace{head: -1} }

func (t *trace) add(f frame) error {
	if f.Prev != t.head || *f.Offset != t.head+1 {
		return fmt.Errorf("frame %d (prev %d) follows frame %d: a gap or a duplicate", *f.Offset, f.Prev, t.head)
	}
	t.head = *f.Offset
	t.frames = append(t.frames, f)
	return nil
}

// find returns the first frame of a type and task ("" for any).
func (t *trace) find(eventType, task string) (frame, bool) {
	for _, f := range t.frames {
		if f.EventType == eventType && (task == "" || f.TaskName == task) {
			return f, true
		}
	}
	return frame{}, false
}
