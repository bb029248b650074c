package readapi

import (
	"context"
	"strconv"
	"time"

	"github.com/gofiber/contrib/websocket"

	"quipu/domain"
	"quipu/domain/name"
	"quipu/domain/wire"
	"quipu/readapi/lao"
)

// Bounds of one session.
const (
	// retryWait is how long a session waits after the log failed.
	retryWait = time.Second
	// bindingsPage is how many bindings of a name are read at once, from the newest down.
	bindingsPage = 32
)

// laoSession decides what one LAO socket is shown: which run of its name, from which event, and what
// follows it (contract D3–D5). It belongs to the socket's writer and does no I/O but reading the log.
type laoSession struct {
	live   *Live
	req    *request
	notify func()

	inbound laoInbound

	resolved bool   // the first run to show is decided
	names    Reader // bindings after those already considered; nil until resolved
	queue    []bound
	wanted   string // execution id to wait for before anything else is shown

	current *current // the run being followed
	last    shown    // the run that frames other than events speak of

	lastEvent   time.Time // when an event was sent, or the session began
	keepaliveAt time.Time
	keepaliveIn bool // one keepalive is due at once
	retryAt     time.Time
	ended       bool // the newest event sent was a run's last
}

// bound is one binding of the name.
type bound struct {
	revision    domain.Revision
	executionID string
}

// current is the run being followed.
type current struct {
	bound
	reader  Reader
	run     lao.Run
	pending bool            // no event of it has been seen
	first   bool            // the session's first run: the cursor applies to it
	from    domain.Revision // events before it are not sent
	prev    domain.Revision
	queue   []Event
}

// shown is what a keepalive says.
type shown struct {
	executionID string
	status      string
	head        domain.Revision
	hint        string
}

// Statuses of runs, as keepalives show them.
const (
	statusWaiting   = "waiting"
	statusRunning   = "running"
	statusCompleted = "completed"
	statusFailed    = "failed"
	statusCancelled = "cancelled"
)

func statusOfEnd(typ string) string {
	switch typ {
	case wire.RunCompleted:
		return statusCompleted
	case wire.RunFailed:
		return statusFailed
	case wire.RunCancelled:
		return statusCancelled
	}
	return statusRunning
}

func newSession(l *Live, req *request, notify func(), now time.Time) *laoSession {
	return &laoSession{
		live: l, req: req, notify: notify, lastEvent: now,
		// Spread over a fifth of the interval, so that sockets opened together do not beat together.
		keepaliveAt: now.Add(l.options.Keepalive - time.Duration(l.options.Random()*float64(l.options.Keepalive)/5)),
		last:        shown{status: statusWaiting, head: domain.NoStream, hint: hintWaiting},
	}
}

const hintWaiting = "no run of this name yet; it is shown here when it starts"

// Poll implements Session. It appends frames to dst, about BatchBytes at most. more says that there may be further ones
// at once. An error of the log is passed on once and retried after retryWait.
func (s *laoSession) Poll(ctx context.Context, now time.Time, dst []byte) (out []byte, more bool, err error) {
	dst = s.inbound.answers(now, dst)
	if now.Before(s.retryAt) {
		return s.keepalive(now, dst), false, nil
	}
	dst, more, err = s.advance(ctx, now, dst)
	if err != nil {
		s.retryAt = now.Add(retryWait)
		return dst, false, err
	}
	if !more {
		dst = s.keepalive(now, dst)
	}
	return dst, more, nil
}

func (s *laoSession) advance(ctx context.Context, now time.Time, dst []byte) ([]byte, bool, error) {
	if !s.resolved {
		if err := s.resolve(ctx, now, domain.Revision(1)<<62); err != nil {
			return dst, false, err
		}
	}
	if s.current == nil {
		found, err := s.following(ctx)
		if err != nil || !found {
			return dst, false, err
		}
	}
	c := s.current
	if len(c.queue) == 0 {
		events, err := c.reader.Poll(ctx)
		if err != nil {
			return dst, false, err
		}
		dst = s.deltas(events, dst)
		if len(events) == 0 {
			return dst, false, nil
		}
		c.queue = events
	}
	if c.pending {
		if settled, err := s.settlePending(ctx, now); err != nil || !settled {
			return dst, true, err
		}
		c = s.current
		if c == nil || len(c.queue) == 0 {
			return dst, true, nil
		}
	}
	dst, err := s.send(ctx, now, dst)
	return dst, true, err
}

// settlePending looks at revision 0 of a run that had no event when it was bound. It reports
// whether the events in the queue are to be sent.
func (s *laoSession) settlePending(ctx context.Context, now time.Time) (bool, error) {
	c := s.current
	abandoned := c.queue[0].Recorded().Type == wire.RunAbandoned
	switch {
	case !abandoned && (!c.first || s.req.cursor == cursorNone):
		c.pending = false
		s.last = shown{executionID: c.executionID, status: statusRunning, head: domain.NoStream}
		return true, nil
	case !abandoned:
		if err := s.settle(ctx, now, c.bound); err != nil {
			return false, err
		}
		c.reader.Close()
		return false, nil
	case c.first && s.req.executionID == "":
		// Back to the binding before it, as if this one had never been.
		if err := s.resolve(ctx, now, c.revision-1); err != nil {
			return false, err
		}
		c.reader.Close()
		return false, nil
	default:
		s.drop()
		return false, nil
	}
}

// send renders queued events until dst is full or the run has ended.
func (s *laoSession) send(ctx context.Context, now time.Time, dst []byte) ([]byte, error) {
	c := s.current
	for len(c.queue) > 0 && len(dst) < BatchBytes {
		e := c.queue[0]
		recorded := e.Recorded()
		if recorded.Revision >= c.from && s.req.wantsType(lao.Name(recorded.Type)) {
			frame, err := s.live.frame(ctx, c.run, e)
			if err != nil {
				return dst, err
			}
			if frame != nil && s.req.wantsTask(frame.Task) {
				dst = appendHeader(dst, opText, frame.Len(c.prev))
				dst = frame.AppendTo(dst, c.prev)
				c.prev = recorded.Revision
				s.live.sockets.Framed(lao.Dialect, recorded)
				s.lastEvent = now
				s.ended = frame.Ends
			}
		}
		c.queue = c.queue[1:]
		s.last.head = recorded.Revision
		if wire.EndsRun(recorded.Type) {
			s.lastEvent = now
			s.last.status = statusOfEnd(recorded.Type)
			s.last.hint = "the run has ended; the next run of this name is shown here when it starts"
			s.drop()
			break
		}
	}
	return dst, nil
}

// drop leaves the current run.
func (s *laoSession) drop() {
	if s.current != nil {
		s.current.reader.Close()
		s.current = nil
	}
}

// Closed implements Session.
func (s *laoSession) Closed(code int, delivered bool) {
	if s.ended && delivered && code == websocket.CloseNoStatusReceived && s.req.token != "" {
		s.live.breaker.keep(s.req, s.live.clock.Now())
	}
	s.drop()
	if s.names != nil {
		s.names.Close()
		s.names = nil
	}
}

// caughtUpTo is the cursor a closing socket names: the last offset sent, and of which run.
func (s *laoSession) caughtUpTo() (executionID string, offset domain.Revision) {
	if s.current != nil {
		return s.current.executionID, s.current.prev
	}
	return s.last.executionID, s.last.head
}

// Cursor implements Session.
func (s *laoSession) Cursor() string {
	id, offset := s.caughtUpTo()
	return "execution_id=" + id + "&after=" + strconv.FormatInt(int64(offset), 10)
}

// IdleSince implements Session: nothing is followed while no run is.
func (s *laoSession) IdleSince() (time.Time, bool) {
	return s.lastEvent, s.current == nil || s.current.pending
}

// Due implements Session.
func (s *laoSession) Due(now time.Time) time.Time {
	if s.retryAt.After(now) && s.retryAt.Before(s.keepaliveAt) {
		return s.retryAt
	}
	return s.keepaliveAt
}

// nameStream is the stream of the session's name.
func (s *laoSession) nameStream() domain.StreamID { return name.Stream(s.req.flow, s.req.run) }
