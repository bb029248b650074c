package proctest

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"testing"
	"time"

	"github.com/fasthttp/websocket"
)

// Frame is one text frame of a live socket.
type Frame struct {
	EventType   string          `json:"event_type"`
	TaskName    string          `json:"task_name"`
	FlowName    string          `json:"flow_name"`
	RunName     string          `json:"run_name"`
	ExecutionID string          `json:"execution_id"`
	EventID     string          `json:"event_id"`
	Offset      *int64          `json:"offset"` // nil on frames that are no events
	Prev        int64           `json:"prev"`
	Input       json.RawMessage `json:"input"`
	Output      json.RawMessage `json:"output"`
	Error       struct {
		Type, Code, Message string
	} `json:"error"`
	Raw []byte `json:"-"`
}

// Ends reports whether the frame is the last of its run.
func (f Frame) Ends() bool { return f.EventType == "flow_completed" || f.EventType == "flow_error" }

// Socket is a live socket. Frames is closed when the connection has ended; then Err and Code tell why.
type Socket struct {
	Frames <-chan Frame
	Err    error
	Code   int // of the close frame, 0 without one

	conn *websocket.Conn
}

// Refused is a handshake that was answered with something else.
type Refused struct {
	Reply
	Cause error
}

// Error says what the handshake's error was.
func (r *Refused) Error() string { return r.Cause.Error() + ": " + string(r.Body) }

// Dial opens the socket of a run; query may be empty. Errors: *Refused, or that of the connection.
func Dial(ctx context.Context, addr, flow, run, query string) (*Socket, error) {
	u := url.URL{Scheme: "ws", Host: addr, Path: "/ws/" + flow + "/" + run, RawPath: "/ws/" + url.PathEscape(flow) + "/" + url.PathEscape(run), RawQuery: query}
	return dialURL(ctx, u.String())
}

func dialURL(ctx context.Context, to string) (*Socket, error) {
	conn, resp, err := websocket.DefaultDialer.DialContext(ctx, to, http.Header{})
	if err != nil {
		if resp != nil && errors.Is(err, websocket.ErrBadHandshake) {
			b := make([]byte, 4096)
			n, _ := resp.Body.Read(b)
			return nil, &Refused{Reply: Reply{Status: resp.StatusCode, Header: resp.Header, Body: b[:n]}, Cause: err}
		}
		return nil, err
	}
	frames := make(chan Frame, 64)
	s := &Socket{Frames: frames, conn: conn}
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	go func() {
		defer close(frames)
		defer stop()
		for {
			_, raw, err := conn.ReadMessage()
			if err != nil {
				s.Err = err
				var closed *websocket.CloseError
				if errors.As(err, &closed) {
					s.Code = closed.Code
				}
				return
			}
			f := Frame{}
			if err := json.Unmarshal(raw, &f); err != nil {
				s.Err = err
				return
			}
			f.Raw = raw
			select {
			case frames <- f:
			case <-ctx.Done():
				return
			}
		}
	}()
	return s, nil
}

// Send sends one text frame.
func (s *Socket) Send(text string) error {
	return s.conn.WriteMessage(websocket.TextMessage, []byte(text))
}

// Close cuts the connection.
func (s *Socket) Close() { _ = s.conn.Close() }

// Open is Dial for a socket that has to open; it is closed at the end of the test.
func (s *Server) Open(t testing.TB, flow, run, query string) *Socket {
	t.Helper()
	socket, err := Dial(t.Context(), s.Addr(), flow, run, query)
	if err != nil {
		t.Fatalf("socket %s/%s?%s: %v", flow, run, query, err)
	}
	t.Cleanup(socket.Close)
	return socket
}

// Next returns the next event's frame; what is no event is passed over.
func (s *Socket) Next(t testing.TB) Frame {
	t.Helper()
	limit := time.After(60 * time.Second)
	for {
		select {
		case f, ok := <-s.Frames:
			if !ok {
				t.Fatalf("the socket has ended: %v", s.Err)
			}
			if f.Offset != nil {
				return f
			}
		case <-limit:
			t.Fatal("no frame within 30s")
		}
	}
}

// ToEnd returns the events' frames up to the run's last.
func (s *Socket) ToEnd(t testing.TB) []Frame {
	t.Helper()
	var all []Frame
	for {
		f := s.Next(t)
		all = append(all, f)
		if f.Ends() {
			return all
		}
	}
}
