package readapi

import (
	"errors"
	"io"
	"strconv"
	"sync"
	"time"

	fastws "github.com/fasthttp/websocket"
	"github.com/gofiber/contrib/websocket"
)

// Bounds of what a client may send on a socket.
const (
	// InboundBytesMax is the longest message; a longer one closes the socket with 1009.
	InboundBytesMax = 64 << 10
	// InboundPerSecondMax messages a second are looked at, with bursts of as many; more are
	// dropped, and after InboundDroppedMax in a row the socket is closed with 1008.
	InboundPerSecondMax = 100
	InboundDroppedMax   = 1000
)

// pinged holds what a client's protocol ping carried until the writer answers it. At most one waits:
// a client that does not read its answers cannot make us hoard them.
type pinged struct {
	mu      sync.Mutex
	payload []byte // nil if none waits
}

func (p *pinged) note(payload string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.payload = append(make([]byte, 0, len(payload)), payload...)
}

func (p *pinged) answer(dst []byte) []byte {
	p.mu.Lock()
	payload := p.payload
	p.payload = nil
	p.mu.Unlock()
	if payload == nil {
		return dst
	}
	return appendFrame(dst, opPong, payload)
}

var (
	errTooBig  = errors.New("message too big")
	errTooMany = errors.New("too many messages")
	errBinary  = errors.New("binary message")
)

// read is the reader's loop. It returns when the connection is over, having asked for the close
// frame that fits.
func (s *socket) read(conn *websocket.Conn) {
	conn.SetPingHandler(func(payload string) error {
		s.heardNow()
		s.pinged.note(payload)
		s.Wake()
		return nil
	})
	conn.SetPongHandler(func(string) error {
		s.heardNow()
		return nil
	})
	// The library would write the answer itself, beside our writer.
	conn.SetCloseHandler(func(int, string) error { return nil })
	if s.session == nil {
		s.discard(conn)
		return
	}
	limit := rate{perSecond: InboundPerSecondMax}
	for {
		err := s.message(conn, &limit)
		var closed *fastws.CloseError
		switch {
		case err == nil:
		case errors.Is(err, errTooBig):
			s.Stop(websocket.CloseMessageTooBig, "messages may have "+strconv.Itoa(InboundBytesMax)+" bytes")
			s.discard(conn)
			return
		case errors.Is(err, errTooMany):
			s.Stop(websocket.ClosePolicyViolation, "at most "+strconv.Itoa(InboundPerSecondMax)+" messages a second")
			s.discard(conn)
			return
		case errors.Is(err, errBinary):
			s.Stop(websocket.CloseUnsupportedData, "messages are text")
			s.discard(conn)
			return
		case errors.As(err, &closed):
			s.Stop(closed.Code, "")
			return
		default:
			return
		}
	}
}

func (s *socket) heardNow() { s.heard.Store(s.sockets.clock.Now().UnixNano()) }

// message reads one message. Binary ones are ignored unless they are refused.
func (s *socket) message(conn *websocket.Conn, limit *rate) error {
	kind, r, err := conn.NextReader()
	if err != nil {
		return err
	}
	now := s.sockets.clock.Now()
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
		s.session.Limited(now)
	case kind == websocket.BinaryMessage && s.upgrade.TextOnly:
		return errBinary
	case kind == websocket.TextMessage:
		s.session.Message(s.ctx, now, *buf)
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
