package readapi

import (
	"encoding/json"
	"errors"
	"io"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	fastws "github.com/fasthttp/websocket"
	"github.com/gofiber/contrib/websocket"

	"quipu/readapi/object"
)

// Bounds of what a client may send on a LAO socket.
const (
	// InboundBytesMax is the longest message; a longer one closes the socket with 1009.
	InboundBytesMax = 64 << 10
	// InboundPerSecondMax messages a second are looked at, with bursts of as many; more are
	// dropped, and after InboundDroppedMax in a row the socket is closed with 1008.
	InboundPerSecondMax = 100
	InboundDroppedMax   = 1000
)

// inbound is what the reader leaves for the writer. At most one answer of each kind waits: a client
// that does not read its answers cannot make us hoard them.
type inbound struct {
	pongs   atomic.Int32 // JSON pings to answer
	refused atomic.Bool  // something was not a JSON object

	mu   sync.Mutex
	ping []byte // payload of a protocol ping to answer, nil if none
}

// pongsMax bounds the JSON pongs that wait.
const pongsMax = 16

// answers appends what is to be said to the client's messages. None carries one of LAO's six event
// types (S0-31).
func (i *inbound) answers(now time.Time, dst []byte) []byte {
	i.mu.Lock()
	ping := i.ping
	i.ping = nil
	i.mu.Unlock()
	if ping != nil {
		dst = appendFrame(dst, opPong, ping)
	}
	for range i.pongs.Swap(0) {
		b := append(make([]byte, 0, 80), `{"type":"pong","event_type":"pong","timestamp":`...)
		b = object.AppendSeconds(b, now.UnixMilli())
		dst = appendFrame(dst, opText, append(b, '}'))
	}
	if i.refused.Swap(false) {
		b := append(make([]byte, 0, 160), `{"type":"error","event_type":"error","code":"INVALID_MESSAGE","message":"messages are JSON objects such as {\"type\":\"ping\"}","timestamp":`...)
		b = object.AppendSeconds(b, now.UnixMilli())
		dst = appendFrame(dst, opText, append(b, '}'))
	}
	return dst
}

var (
	errTooBig  = errors.New("message too big")
	errTooMany = errors.New("too many messages")
)

// read is the reader's loop. It returns when the connection is over, having asked for the close
// frame that fits.
func (s *socket) read(conn *websocket.Conn) {
	conn.SetPingHandler(func(payload string) error {
		s.heardNow()
		s.inbound.mu.Lock()
		s.inbound.ping = append(make([]byte, 0, len(payload)), payload...)
		s.inbound.mu.Unlock()
		s.wake()
		return nil
	})
	conn.SetPongHandler(func(string) error {
		s.heardNow()
		return nil
	})
	// The library would write the answer itself, beside our writer.
	conn.SetCloseHandler(func(int, string) error { return nil })
	limit := rate{perSecond: InboundPerSecondMax}
	for {
		err := s.message(conn, &limit)
		var closed *fastws.CloseError
		switch {
		case err == nil:
		case errors.Is(err, errTooBig):
			s.stop(websocket.CloseMessageTooBig, "messages may have "+strconv.Itoa(InboundBytesMax)+" bytes")
			s.discard(conn)
			return
		case errors.Is(err, errTooMany):
			s.stop(websocket.ClosePolicyViolation, "at most "+strconv.Itoa(InboundPerSecondMax)+" messages a second")
			s.discard(conn)
			return
		case errors.As(err, &closed):
			s.stop(closed.Code, "")
			return
		default:
			return
		}
	}
}

func (s *socket) heardNow() { s.heard.Store(s.live.clock.Now().UnixNano()) }

// message reads one message. Binary ones are ignored.
func (s *socket) message(conn *websocket.Conn, limit *rate) error {
	kind, r, err := conn.NextReader()
	if err != nil {
		return err
	}
	now := s.live.clock.Now()
	s.heard.Store(now.UnixNano())
	// The library's own limit would write the close frame itself, beside our writer.
	buf := takeBuffer()
	defer giveBuffer(buf)
	*buf, err = readAll(r, (*buf)[:0])
	switch {
	case err != nil:
		return err
	case !limit.allow(now):
		if limit.dropped > InboundDroppedMax {
			return errTooMany
		}
	case kind == websocket.TextMessage:
		s.understand(*buf)
	}
	return nil
}

func readAll(r io.Reader, b []byte) ([]byte, error) {
	for {
		if len(b) > InboundBytesMax {
			return b, errTooBig
		}
		if len(b) == cap(b) {
			b = append(b, 0)[:len(b)]
		}
		n, err := r.Read(b[len(b):min(cap(b), InboundBytesMax+1)])
		b = b[:len(b)+n]
		if errors.Is(err, io.EOF) {
			if len(b) > InboundBytesMax {
				return b, errTooBig
			}
			return b, nil
		}
		if err != nil {
			return b, err
		}
	}
}

// understand answers {"type":"ping"}, ignores every other JSON object, and refuses the rest.
func (s *socket) understand(message []byte) {
	var m struct {
		Type string `json:"type"`
	}
	var wrongType *json.UnmarshalTypeError
	switch err := json.Unmarshal(message, &m); {
	case err == nil && m.Type == "ping":
		if s.inbound.pongs.Load() < pongsMax {
			s.inbound.pongs.Add(1)
		}
	case err == nil, errors.As(err, &wrongType) && wrongType.Field != "":
		return
	default:
		s.inbound.refused.Store(true)
	}
	s.wake()
}

// discard reads on until the client has answered the close frame or the deadline of stop passes:
// closing a connection with unread bytes resets it, and the client would never see the code.
func (s *socket) discard(conn *websocket.Conn) {
	for {
		if _, _, err := conn.NextReader(); err != nil {
			return
		}
	}
}

// rate is a token bucket for one reader.
type rate struct {
	perSecond float64
	tokens    float64
	at        time.Time
	dropped   int // in a row
}

func (r *rate) allow(now time.Time) bool {
	if r.at.IsZero() {
		r.tokens = r.perSecond
	} else {
		r.tokens = min(r.tokens+now.Sub(r.at).Seconds()*r.perSecond, r.perSecond)
	}
	r.at = now
	if r.tokens < 1 {
		r.dropped++
		return false
	}
	r.tokens--
	r.dropped = 0
	return true
}
