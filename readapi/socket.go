package readapi

import (
	"context"
	"errors"
	"net"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gofiber/contrib/websocket"

	"quipu/domain"
	"quipu/domain/name"
)

// socket is one open connection. Two goroutines use it: the handler reads (inbound.go), one writer
// writes all frames, control frames included. The hub and the registry hold this object, never the
// connection.
type socket struct {
	live    *Live
	req     *request
	stream  domain.StreamID // of the name
	wakeup  chan struct{}
	heard   atomic.Int64 // when the client last sent any frame, Unix nanoseconds of the clock
	inbound inbound

	ctx    context.Context
	cancel context.CancelFunc

	mu      sync.Mutex
	conn    net.Conn // nil once the handler has let go of it
	closing bool
	code    int
	reason  string

	// Of the writer:
	session *session
	credit  credit
	pingAt  time.Time
	dead    bool        // nothing can be written any more
	ended   bool        // the newest frame delivered was a run's last
	unarm   func() bool // stops the timer; nil if none was armed
	armed   time.Time
	fired   atomic.Bool // the timer has gone off
}

func newSocket(l *Live, conn net.Conn, req *request) *socket {
	now := l.clock.Now()
	s := &socket{live: l, req: req, conn: conn, stream: name.Stream(req.flow, req.run), wakeup: make(chan struct{}, 1)}
	s.ctx, s.cancel = context.WithCancel(l.ctx)
	s.heard.Store(now.UnixNano())
	s.session = newSession(l, req, s.wake, now)
	s.pingAt = now.Add(time.Duration((0.5 + l.options.Random()/2) * float64(l.options.Ping)))
	s.credit.left = slowStart
	return s
}

// wake makes the writer look again. It never blocks.
func (s *socket) wake() {
	select {
	case s.wakeup <- struct{}{}:
	default:
	}
}

// stop ends the socket: the writer sends a close frame with code (0: none) and leaves, and the
// reader is freed once the client has answered or CloseGrace has passed. The first call counts.
func (s *socket) stop(code int, reason string) {
	s.mu.Lock()
	if !s.closing {
		s.closing, s.code, s.reason = true, code, reason
		s.limit(s.live.options.CloseGrace)
	}
	s.mu.Unlock()
	s.cancel()
	s.wake()
}

// cut ends the socket without grace.
func (s *socket) cut() {
	s.stop(websocket.CloseServiceRestart, "the server restarts")
	s.mu.Lock()
	s.limit(-time.Second)
	s.mu.Unlock()
}

// limit bounds all reading and writing from now on. Close does not free a blocked reader of a
// hijacked connection, a deadline does. The caller holds mu.
func (s *socket) limit(d time.Duration) {
	if s.conn != nil {
		_ = s.conn.SetDeadline(wallDeadline(d)) // a broken connection is freed anyway
	}
}

// wallDeadline is in wall time, as the kernel's deadlines are, also under a virtual clock.
func wallDeadline(d time.Duration) time.Time { return time.Now().Add(d) }

func (s *socket) isClosing() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.closing
}

// release lets go of the connection; the caller returns from the handler next.
func (s *socket) release() {
	s.mu.Lock()
	s.conn = nil
	code := s.code
	s.mu.Unlock()
	s.cancel()
	if code == 0 {
		code = websocket.CloseAbnormalClosure
	}
	if s.ended && code == websocket.CloseNoStatusReceived && s.req.token != "" {
		s.live.breaker.keep(s.req, s.live.clock.Now())
	}
	if f := s.live.options.Hooks.Closed; f != nil {
		f(code)
	}
}

// recovered turns a panic of this socket's goroutines into a close with 1011, and nothing else
// for the client.
func (s *socket) recovered() {
	if v := recover(); v != nil {
		s.live.panicked(v)
		s.mu.Lock()
		s.closing, s.code, s.reason = true, websocket.CloseInternalServerErr, ""
		s.limit(s.live.options.CloseGrace)
		s.mu.Unlock()
		s.cancel()
		s.wake()
	}
}

// write is the writer's loop.
func (s *socket) write() {
	defer s.recovered()
	defer s.session.close()
	defer s.disarm()
	for !s.isClosing() {
		if busy := s.step(); !busy {
			select {
			case <-s.wakeup:
			case <-s.ctx.Done():
			}
		}
	}
}

// step sends what there is and reports whether there may be more at once; if not, it has seen to it
// that wake is called when the next thing is due.
func (s *socket) step() (busy bool) {
	now := s.live.clock.Now()
	if s.overdue(now) {
		return true
	}
	buf := takeBuffer()
	defer func() { giveBuffer(buf) }()
	out := s.inbound.answers(now, (*buf)[:0])
	if !now.Before(s.pingAt) {
		out = appendFrame(out, opPing, nil)
		s.pingAt = now.Add(s.live.options.Ping)
	}
	out, busy, err := s.session.poll(s.ctx, now, out)
	*buf = out
	if err != nil && s.ctx.Err() == nil {
		if f := s.live.options.Hooks.Failed; f != nil {
			f(err)
		}
	}
	if len(out) > 0 {
		s.flush(out)
		s.ended = s.session.ended && !s.dead
	}
	if !busy {
		s.credit.rest()
		s.arm(now)
	}
	return busy
}

// overdue closes a socket whose client is silent, or that has had nothing to follow for long.
func (s *socket) overdue(now time.Time) bool {
	if now.Sub(s.heardAt()) >= s.live.options.Silence {
		s.stop(websocket.CloseTryAgainLater, "no frame for "+s.live.options.Silence.String()+"; "+s.cursor())
		return true
	}
	if since, idle := s.session.idleSince(); idle && now.Sub(since) >= s.live.options.IdleTimeout {
		s.stop(websocket.CloseNormalClosure, "nothing to follow for "+s.live.options.IdleTimeout.String())
		return true
	}
	return false
}

func (s *socket) heardAt() time.Time { return time.Unix(0, s.heard.Load()) }

// cursor says where to go on, for the reason of a close frame (at most 123 bytes).
func (s *socket) cursor() string {
	id, offset := s.session.caughtUpTo()
	return "execution_id=" + id + "&after=" + strconv.FormatInt(int64(offset), 10)
}

// arm has the writer woken at the next thing due, with one timer at a time.
func (s *socket) arm(now time.Time) {
	at := s.session.due(now)
	earlier := func(t time.Time) {
		if t.Before(at) {
			at = t
		}
	}
	earlier(s.pingAt)
	earlier(s.heardAt().Add(s.live.options.Silence))
	if since, idle := s.session.idleSince(); idle {
		earlier(since.Add(s.live.options.IdleTimeout))
	}
	if s.unarm != nil && s.armed.Equal(at) && !s.fired.Load() {
		return
	}
	s.disarm()
	s.armed = at
	s.fired.Store(false)
	s.unarm = s.live.clock.AfterFunc(max(at.Sub(now), 0), func() {
		s.fired.Store(true)
		s.wake()
	})
}

func (s *socket) disarm() {
	if s.unarm != nil {
		s.unarm()
		s.unarm = nil
	}
}

// flush writes buf whole, however slow the client is, unless the socket is closed meanwhile or the
// client is slower than the rule allows (see credit).
func (s *socket) flush(buf []byte) {
	s.credit.begin(s.live.clock.Now())
	size, whole := len(buf), buf
	for len(buf) > 0 {
		n, err := s.writeOnce(buf)
		buf = buf[n:]
		held := s.credit.took(n, s.live.clock.Now())
		switch {
		case err == nil:
		case errors.Is(err, errClosing):
			s.lastWords(buf, size)
			return
		case !errors.Is(err, os.ErrDeadlineExceeded):
			s.gone()
			return
		case !held:
			s.stop(websocket.CloseTryAgainLater, "too slow; "+s.cursor())
		}
	}
	if f := s.live.options.Hooks.Sent; f != nil {
		f(countFrames(whole), size)
	}
}

var errClosing = errors.New("the socket is closing")

func (s *socket) writeOnce(buf []byte) (int, error) {
	s.mu.Lock()
	if s.closing {
		s.mu.Unlock()
		return 0, errClosing
	}
	// Under mu, so that it never overwrites the shorter deadline of a stop.
	err := s.conn.SetWriteDeadline(wallDeadline(s.live.options.WriteStall))
	conn := s.conn
	s.mu.Unlock()
	if err != nil {
		return 0, err
	}
	return conn.Write(buf)
}

// lastWords finishes what was begun, within the grace that stop has set: a close frame can only
// stand between frames.
func (s *socket) lastWords(rest []byte, size int) {
	if len(rest) == size {
		return // nothing of it was written
	}
	if n, err := s.conn.Write(rest); err != nil || n < len(rest) {
		s.gone()
	}
}

// gone notes that the connection takes nothing more, and frees the reader.
func (s *socket) gone() {
	s.dead = true
	s.stop(0, "")
	s.mu.Lock()
	s.limit(-time.Second)
	s.mu.Unlock()
}

// finish writes the close frame. Only the writer calls it, or the handler if there is no writer.
func (s *socket) finish() {
	s.mu.Lock()
	conn, code, reason, dead := s.conn, s.code, s.reason, s.dead
	s.mu.Unlock()
	if dead || code == 0 || conn == nil {
		return
	}
	if code == websocket.CloseNoStatusReceived {
		code = 0 // answered in kind
	}
	_, _ = conn.Write(appendClose(nil, code, reason)) // the connection ends either way
}

// buffers holds what sockets render into; a socket has one only while it writes.
var buffers = sync.Pool{New: func() any { b := make([]byte, 0, 4<<10); return &b }}

func takeBuffer() *[]byte { return buffers.Get().(*[]byte) }

func giveBuffer(b *[]byte) {
	const keepMax = 256 << 10
	if cap(*b) <= keepMax {
		*b = (*b)[:0]
		buffers.Put(b)
	}
}
