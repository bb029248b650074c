package feeds

import (
	"context"
	"time"

	"quipu/domain"
	"quipu/domain/wire"
	"quipu/readapi"
	"quipu/readapi/orchestrator"
)

// session is what one socket is shown. But for Message and Limited, which do nothing, it belongs to
// the socket's writer.
type session struct {
	server *Server
	what   subject
	query  query
	notify func()

	feed  Feed // nil until the first Poll
	queue []readapi.Event
	more  bool            // the feed may have more at once
	prev  domain.Position // of the event sent before
	at    domain.Position // of the last event considered

	refreshAt time.Time
	retryAt   time.Time
	lastEvent time.Time
	ended     bool // the one execution followed is over
}

func newSession(s *Server, what subject, q query, notify func(), now time.Time) *session {
	return &session{
		server: s, what: what, query: q, notify: notify, prev: q.after, at: q.after, lastEvent: now,
		refreshAt: now.Add(refreshEvery - time.Duration(s.options.Random()*float64(refreshEvery)/5)),
	}
}

// Poll implements readapi.Session.
func (s *session) Poll(ctx context.Context, now time.Time, dst []byte) (out []byte, more bool, err error) {
	if now.Before(s.retryAt) {
		return dst, false, nil
	}
	if dst, more, err = s.advance(ctx, now, dst); err != nil {
		s.retryAt = now.Add(retryWait)
		return dst, false, err
	}
	return dst, more, nil
}

func (s *session) advance(ctx context.Context, now time.Time, dst []byte) ([]byte, bool, error) {
	if s.feed == nil {
		if err := s.open(ctx); err != nil {
			return dst, false, err
		}
	}
	if !now.Before(s.refreshAt) {
		s.refreshAt = now.Add(refreshEvery)
		s.feed.Refresh()
	}
	if len(s.queue) == 0 {
		var err error
		if s.queue, s.more, err = s.feed.Poll(ctx); err != nil {
			return dst, false, err
		}
		dst = s.deltas(dst)
	}
	for len(s.queue) > 0 && len(dst) < readapi.BatchBytes {
		var err error
		if dst, err = s.send(ctx, now, dst, s.queue[0]); err != nil {
			return dst, false, err
		}
		s.queue = s.queue[1:]
	}
	return dst, s.more || len(s.queue) > 0, nil
}

// send appends the frame of one event, if it is wanted.
func (s *session) send(ctx context.Context, now time.Time, dst []byte, e readapi.Event) ([]byte, error) {
	recorded := e.Recorded()
	if s.query.wants(recorded.Type, nodeOf(recorded)) {
		f, err := s.server.frame(ctx, s.what.workflowID, e)
		if err != nil {
			return dst, err
		}
		dst = f.append(dst, s.prev.Cursor(s.server.log))
		s.prev = recorded.Position
		s.server.deps.Sockets.Framed(orchestrator.Dialect, recorded)
	}
	s.at, s.lastEvent = recorded.Position, now
	s.ended = s.what.executionID != "" && wire.EndsRun(recorded.Type)
	return dst, nil
}

// open begins to follow the subject after the cursor.
func (s *session) open(ctx context.Context) error {
	deps := s.server.deps
	if s.what.executionID == "" {
		s.feed = deps.Feeds(s.what.workflowID, s.query.after, s.notify)
		return nil
	}
	next, ended, err := s.place(ctx)
	if err != nil {
		return err
	}
	s.ended = ended
	s.feed = oneRun{deps.Readers(s.what.stream(), next, s.notify), s.what.stream()}
	return nil
}

// place finds the first revision of the execution after the cursor, and whether there is nothing to
// come after it.
func (s *session) place(ctx context.Context) (next domain.Revision, ended bool, err error) {
	log, stream := s.server.deps.Log, s.what.stream()
	page, err := log.ReadStreamBackward(ctx, stream, revisionMax, 1)
	if err != nil || len(page) == 0 {
		return 0, false, err
	}
	low, high := domain.Revision(0), page[0].Revision+1
	if s.query.after >= page[0].Position {
		return high, wire.EndsRun(page[0].Type), nil
	}
	if s.query.after == 0 {
		return 0, false, nil
	}
	for low < high {
		middle := low + (high-low)/2
		page, err := log.ReadStream(ctx, stream, middle, 1)
		if err != nil {
			return 0, false, err
		}
		if len(page) == 0 || page[0].Position > s.query.after {
			high = middle
		} else {
			low = middle + 1
		}
	}
	return low, false, nil
}

// revisionMax lies beyond every stream's head.
const revisionMax = domain.Revision(1) << 62

// oneRun is the feed of one execution.
type oneRun struct {
	readapi.Reader
	stream domain.StreamID
}

// Ephemeral implements Feed.
func (r oneRun) Ephemeral() (streams []domain.StreamID, values []any) {
	values = r.Reader.Ephemeral()
	for range values {
		streams = append(streams, r.stream)
	}
	return streams, values
}

// Poll implements Feed.
func (r oneRun) Poll(ctx context.Context) ([]readapi.Event, bool, error) {
	events, err := r.Reader.Poll(ctx)
	return events, len(events) > 0, err
}

// Due implements readapi.Session.
func (s *session) Due(now time.Time) time.Time {
	if s.retryAt.After(now) {
		return s.retryAt
	}
	return s.refreshAt
}

// IdleSince implements readapi.Session: a workflow may always have another execution.
func (s *session) IdleSince() (time.Time, bool) { return s.lastEvent, s.ended }

// Cursor implements readapi.Session.
func (s *session) Cursor() string { return "after=" + s.at.Cursor(s.server.log) }

// Message implements readapi.Session: there is nothing to say to this dialect's server.
func (*session) Message(context.Context, time.Time, []byte) {}

// Limited implements readapi.Session.
func (*session) Limited(time.Time) {}

// Closed implements readapi.Session.
func (s *session) Closed(int, bool) {
	if s.feed != nil {
		s.feed.Close()
	}
}
