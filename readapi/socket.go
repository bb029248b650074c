package readapi

import (
	"context"
	"errors"
	"math"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gofiber/contrib/websocket"
)

// BatchBytes is about how much a session renders before it is written out.
const BatchBytes = 64 << 10

// socket is one open connection. Two goroutines use it: the handler reads (inbound.go), one writer
// writes all frames, control frames included. Hubs and the registry hold this object, never the
// connection.
type socket struct {
	sockets *Sockets
	upgrade *Upgrade
	dialect string
	deflate bool // compression was agreed on
	wakeup  chan struct{}
	heard   atomic.Int64 // when the client last sent any frame, Unix nanoseconds of the clock
	pinged  pinged
	session Session // nil only if making it panicked

	ctx    context.Context
	cancel context.CancelFunc

	mu      sync.Mutex
	conn    net.Conn // nil once the handler has let go of it
	closing bool
	code    int
	reason  string

	// Of the writer:
	credit  credit
	pingAt  time.Time
	dead    bool        // nothing can be written any more
	partial bool        // some of what the session gave was not written
	unarm   func() bool // stops the timer; nil if none was armed
	armed   time.Time
	fired   atomic.Bool // the timer has gone off
}

func newSocket(l *Sockets, conn net.Conn, a *admitted) *socket {
	now := l.clock.Now()
	s := &socket{sockets: l, upgrade: a.upgrade, dialect: a.dialect, deflate: a.deflate, conn: conn, wakeup: make(chan struct{}, 1)}
	s.ctx, s.cancel = context.WithCancel(l.ctx)
	s.heard.Store(now.UnixNano())
	s.pingAt = now.Add(time.Duration((0.5 + l.options.Random()/2) * float64(l.options.Ping)))
	s.credit.left = slowStart
	return s
}

// Wake implements Handle.
func (s *socket) Wake() {
	select {
	case s.wakeup <- struct{}{}:
	default:
	}
}

// Stop implements Handle: the writer sends a close frame with code (0: none) and leaves, and the
// reader is freed once the client has answered or CloseGrace has passed.
func (s *socket) Stop(code int, reason string) {
	s.mu.Lock()
	if !s.closing {
		s.closing, s.code, s.reason = true, code, reason
		s.limit(s.sockets.options.CloseGrace)
	}
	s.mu.Unlock()
	s.cancel()
	s.Wake()
}

// cutGrace is how long the close frame of a socket that is cut off may take, in wall time.
const cutGrace = 100 * time.Millisecond

// cut ends the socket without waiting for the client, but for the moment that a close frame takes
// when the connection accepts it: without the frame a client could not tell a restart from a failure.
func (s *socket) cut() {
	s.Stop(websocket.CloseServiceRestart, restarts)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.conn != nil {
		_ = s.conn.SetReadDeadline(wallDeadline(-time.Second)) // a broken connection is freed anyway
		_ = s.conn.SetWriteDeadline(wallDeadline(cutGrace))
	}
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

// wallLeft is how long ctx goes on at most, never negative; contexts end in wall time too.
func wallLeft(ctx context.Context) time.Duration {
	end, ok := ctx.Deadline()
	if !ok {
		return math.MaxInt64
	}
	return max(time.Until(end), 0)
}

func (s *socket) isClosing() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.closing
}

// let lets go of the connection; the caller returns from the handler next.
func (s *socket) let() (code int) {
	s.mu.Lock()
	s.conn = nil
	code = s.code
	s.mu.Unlock()
	s.cancel()
	if code == 0 {
		code = websocket.CloseAbnormalClosure
	}
	return code
}

// release lets go of everything.
func (s *socket) release() {
	code := s.let()
	if s.session != nil {
		func() {
			defer s.recovered()
			s.session.Closed(code, !s.dead && !s.partial)
		}()
	}
	if f := s.sockets.options.Hooks.Closed; f != nil {
		f(s.dialect, code)
	}
}

// recovered turns a panic of this socket's goroutines into a close with 1011, and nothing else
// for the client.
func (s *socket) recovered() {
	if v := recover(); v != nil {
		s.sockets.panicked(v)
		s.mu.Lock()
		s.closing, s.code, s.reason = true, websocket.CloseInternalServerErr, ""
		s.limit(s.sockets.options.CloseGrace)
		s.mu.Unlock()
		s.cancel()
		s.Wake()
	}
}

// write is the writer's loop.
func (s *socket) write() {
	defer s.recovered()
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
	now := s.sockets.clock.Now()
	if s.overdue(now) {
		return true
	}
	buf := takeBuffer()
	defer func() { giveBuffer(buf) }()
	out := s.pinged.answer((*buf)[:0])
	if !now.Before(s.pingAt) {
		out = appendFrame(out, opPing, nil)
		s.pingAt = now.Add(s.sockets.options.Ping)
	}
	out, busy, err := s.session.Poll(s.ctx, now, out)
	*buf = out
	if err != nil && s.ctx.Err() == nil {
		if f := s.sockets.options.Hooks.Failed; f != nil {
			f(err)
		}
	}
	if len(out) > 0 {
		s.partial = !s.send(out)
	}
	if !busy {
		s.credit.rest()
		s.arm(now)
	}
	return busy
}

// overdue closes a socket whose client is silent, or that has had nothing to follow for long.
func (s *socket) overdue(now time.Time) bool {
	if now.Sub(s.heardAt()) >= s.sockets.options.Silence {
		s.Stop(websocket.CloseTryAgainLater, s.withCursor("no frame for "+s.sockets.options.Silence.String()))
		return true
	}
	if since, idle := s.session.IdleSince(); idle && now.Sub(since) >= s.sockets.options.IdleTimeout {
		s.Stop(websocket.CloseNormalClosure, "nothing to follow for "+s.sockets.options.IdleTimeout.String())
		return true
	}
	return false
}

func (s *socket) heardAt() time.Time { return time.Unix(0, s.heard.Load()) }

// withCursor adds where to go on to the reason of a close frame (at most 123 bytes).
func (s *socket) withCursor(reason string) string {
	if cursor := s.session.Cursor(); cursor != "" {
		reason += "; " + cursor
	}
	return reason
}

// arm has the writer woken at the next thing due, with one timer at a time.
func (s *socket) arm(now time.Time) {
	at := s.pingAt
	earlier := func(t time.Time) {
		if t.Before(at) {
			at = t
		}
	}
	if due := s.session.Due(now); !due.IsZero() {
		earlier(due)
	}
	earlier(s.heardAt().Add(s.sockets.options.Silence))
	if since, idle := s.session.IdleSince(); idle {
		earlier(since.Add(s.sockets.options.IdleTimeout))
	}
	if s.unarm != nil && s.armed.Equal(at) && !s.fired.Load() {
		return
	}
	s.disarm()
	s.armed = at
	s.fired.Store(false)
	s.unarm = s.sockets.clock.AfterFunc(max(at.Sub(now), 0), func() {
		s.fired.Store(true)
		s.Wake()
	})
}

func (s *socket) disarm() {
	if s.unarm != nil {
		s.unarm()
		s.unarm = nil
	}
}

// send writes frames, compressed if that was agreed on, and reports whether all were written.
func (s *socket) send(frames []byte) bool {
	if !s.deflate {
		return s.flush(frames)
	}
	buf := takeBuffer()
	defer func() { giveBuffer(buf) }()
	*buf = appendDeflated((*buf)[:0], frames)
	return s.flush(*buf)
}

// flush writes buf whole, however slow the client is, unless the socket is closed meanwhile or the
// client is slower than the rule allows (see credit). It reports whether all was written.
func (s *socket) flush(buf []byte) bool {
	s.credit.begin(s.sockets.clock.Now())
	size, whole := len(buf), buf
	for len(buf) > 0 {
		n, err := s.writeOnce(buf)
		buf = buf[n:]
		held := s.credit.took(n, s.sockets.clock.Now())
		switch {
		case err == nil:
		case errors.Is(err, errClosing):
			return s.lastWords(buf, size)
		case !errors.Is(err, os.ErrDeadlineExceeded):
			s.gone()
			return false
		case !held:
			s.Stop(websocket.CloseTryAgainLater, s.withCursor("too slow"))
		}
	}
	if f := s.sockets.options.Hooks.Sent; f != nil {
		f(s.dialect, countFrames(whole), size)
	}
	return true
}

var errClosing = errors.New("the socket is closing")

func (s *socket) writeOnce(buf []byte) (int, error) {
	s.mu.Lock()
	if s.closing {
		s.mu.Unlock()
		return 0, errClosing
	}
	// Under mu, so that it never overwrites the shorter deadline of a stop.
	err := s.conn.SetWriteDeadline(wallDeadline(s.sockets.options.WriteStall))
	conn := s.conn
	s.mu.Unlock()
	if err != nil {
		return 0, err
	}
	return conn.Write(buf)
}

// lastWords finishes what was begun, within the grace that stop has set: a close frame can only
// stand between frames.
func (s *socket) lastWords(rest []byte, size int) bool {
	if len(rest) == size {
		return false // nothing of it was written
	}
	n, err := s.conn.Write(rest)
	if err != nil || n < len(rest) {
		s.gone()
		return false
	}
	return true
}

// gone notes that the connection takes nothing more, and frees the reader.
func (s *socket) gone() {
	s.dead = true
	s.Stop(0, "")
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
