package agnt5

import (
	"context"
	"sync"
	"time"

	"quipu/domain"
	"quipu/domain/wire"
	"quipu/readapi"
)

// session is one socket: what its messages ask for (messages.go) and the executions whose events it is
// sent. There is no goroutine for an execution: the hub says which have something new, and the
// socket's writer takes from them in turn.
type session struct {
	sockets *Sockets
	req     request
	handle  readapi.Handle

	operations chan struct{} // places of messages under way

	mu       sync.Mutex
	followed int // executions followed, asked for or being started
	asked    []follow
	answers  []byte // frames, not events, that wait to be sent
	room     chan struct{}
	dropped  int // messages over the rate not yet told of
	closed   bool

	limits limits // of the reader

	ready ready

	// Of the writer:
	executions map[string]*execution
	retryAt    time.Time
	refreshAt  time.Time
}

// follow asks the writer to show an execution.
type follow struct {
	id     string
	cursor Cursor
	read   domain.Revision // where reading begins: at the cursor, or before
	// again shows it from the cursor though it is followed already.
	again bool
}

// execution is one that is being followed.
type execution struct {
	id     string
	reader readapi.Reader
	queue  []readapi.Event
	prev   domain.Revision // offset of the event of it that was sent before
	from   Cursor          // what is before it the client has

	ready bool // in the queue of ready ones; guarded by ready.mu
}

// ready is the queue of executions that may have something to send, each once. Its lock is the only one
// that the hub's call takes, and is never held while the hub is called.
type ready struct {
	mu    sync.Mutex
	queue []*execution
}

func (r *ready) put(e *execution) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !e.ready {
		e.ready = true
		r.queue = append(r.queue, e)
	}
}

// take gives the one that has waited longest, nil if none.
func (r *ready) take() *execution {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.queue) == 0 {
		return nil
	}
	e := r.queue[0]
	e.ready = false
	r.queue[0] = nil
	if r.queue = r.queue[1:]; len(r.queue) == 0 {
		r.queue = nil
	}
	return e
}

func (r *ready) some() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.queue) > 0
}

// turnEvents is how many events of one execution are sent before it is another's turn.
const turnEvents = 32

func (s *Sockets) open(r request) func(readapi.Handle, time.Time) readapi.Session {
	return func(h readapi.Handle, now time.Time) readapi.Session {
		return &session{
			sockets: s, req: r, handle: h, operations: make(chan struct{}, OperationsMax), room: make(chan struct{}, 1),
			executions: map[string]*execution{}, refreshAt: now.Add(refreshInterval),
		}
	}
}

// Poll implements readapi.Session.
func (s *session) Poll(ctx context.Context, now time.Time, dst []byte) ([]byte, bool, error) {
	if m := s.req.resume; m != nil {
		s.req.resume = nil
		s.begin(ctx, func(ctx context.Context) { s.resume(ctx, *m) })
	}
	dst, asked := s.collect(now, dst)
	for _, f := range asked {
		s.follow(f)
	}
	if !now.Before(s.refreshAt) {
		s.refreshAt = now.Add(refreshInterval)
		for _, e := range s.executions {
			e.reader.Refresh()
			s.ready.put(e)
		}
	}
	if now.Before(s.retryAt) {
		return dst, false, nil
	}
	for len(dst) < readapi.BatchBytes {
		e := s.ready.take()
		if e == nil {
			return dst, false, nil
		}
		var err error
		if dst, err = s.turn(ctx, e, dst); err != nil {
			s.retryAt = now.Add(retryWait)
			s.ready.put(e)
			return dst, false, err
		}
	}
	return dst, s.ready.some(), nil
}

// collect takes the answers that wait and what is to be followed.
func (s *session) collect(now time.Time, dst []byte) ([]byte, []follow) {
	s.mu.Lock()
	defer s.mu.Unlock()
	dst = append(dst, s.answers...)
	s.answers = nil
	if s.dropped > 0 {
		dst = readapi.AppendText(dst, AppendRefusal(nil, now, &Refusal{
			Code: CodeRateLimited, Message: "more than 100 messages in a second; what came beyond was dropped", Dropped: s.dropped,
		}))
		s.dropped = 0
	}
	select {
	case s.room <- struct{}{}:
	default:
	}
	asked := s.asked
	s.asked = nil
	return dst, asked
}

// follow opens the reading of an execution. Its place was taken when it was asked for.
func (s *session) follow(f follow) {
	if have := s.executions[f.id]; have != nil {
		s.release(1)
		if !f.again {
			return
		}
		have.reader.Close()
		have.queue = nil
		s.seek(have, f)
		return
	}
	e := &execution{id: f.id}
	s.executions[f.id] = e
	s.seek(e, f)
}

func (s *session) seek(e *execution, f follow) {
	e.prev, e.from = f.cursor.Offset-1, f.cursor
	e.reader = s.sockets.deps.Readers(runStream(e.id), f.read, func() {
		s.ready.put(e)
		s.handle.Wake()
	})
	s.ready.put(e)
}

// turn sends what there is of one execution, at most turnEvents, and puts it back if there may be more.
func (s *session) turn(ctx context.Context, e *execution, dst []byte) ([]byte, error) {
	if s.executions[e.id] != e {
		return dst, nil // it left meanwhile
	}
	if len(e.queue) == 0 {
		events, err := e.reader.Poll(ctx)
		if err != nil {
			return dst, err
		}
		e.queue = events
		if dst = s.deltas(e, dst); len(events) == 0 {
			return dst, nil
		}
	}
	for n := 0; n < turnEvents && len(e.queue) > 0 && len(dst) < readapi.BatchBytes; n++ {
		event := e.queue[0]
		frame, err := s.frame(ctx, e.id, event)
		if err != nil {
			return dst, err
		}
		e.queue = e.queue[1:]
		recorded := event.Recorded()
		if frame != nil && recorded.Revision >= e.from.Offset {
			dst = s.send(e, frame, recorded.Revision, dst)
			s.sockets.framed(Dialect, recorded)
		}
		if wire.EndsRun(recorded.Type) {
			delete(s.executions, e.id)
			e.reader.Close()
			s.release(1)
			return dst, nil
		}
	}
	s.ready.put(e)
	return dst, nil
}

// frame renders an event, once for all sockets that share it.
func (s *session) frame(ctx context.Context, id string, e readapi.Event) (*Frame, error) {
	if !e.Live() {
		return s.sockets.renderer.Frame(ctx, id, e.Recorded())
	}
	v, err := e.Rendered(Dialect, func() (any, error) { return s.sockets.renderer.Frame(ctx, id, e.Recorded()) })
	if err != nil {
		return nil, err
	}
	return v.(*Frame), nil
}

// send appends the parts of an event that are wanted.
func (s *session) send(e *execution, f *Frame, offset domain.Revision, dst []byte) []byte {
	sent := false
	for i := range f.Parts {
		p := &f.Parts[i]
		if s.req.types != nil && !s.req.types[p.Type] || offset == e.from.Offset && i < e.from.Part {
			continue
		}
		dst = readapi.AppendTextHeader(dst, p.Len(e.prev))
		dst = p.AppendTo(dst, e.prev)
		sent = true
	}
	if sent {
		e.prev = offset
	}
	return dst
}

// release gives places of executions back.
func (s *session) release(n int) {
	s.mu.Lock()
	s.followed -= n
	s.mu.Unlock()
}

// Due implements readapi.Session.
func (s *session) Due(now time.Time) time.Time {
	if s.retryAt.After(now) && s.retryAt.Before(s.refreshAt) {
		return s.retryAt
	}
	return s.refreshAt
}

// IdleSince implements readapi.Session. On this socket the client speaks first: that it has nothing to
// ask for now is no reason to close, as long as it answers pings.
func (s *session) IdleSince() (time.Time, bool) { return time.Time{}, false }

// Cursor implements readapi.Session.
func (s *session) Cursor() string { return "connect again and resume connection_id or execution_id" }

// Closed implements readapi.Session.
func (s *session) Closed(int, bool) {
	s.mu.Lock()
	s.closed = true
	s.asked, s.answers = nil, nil
	s.mu.Unlock()
	for _, e := range s.executions {
		e.reader.Close()
	}
	s.executions = nil
}

// runStream is the stream of an execution's run.
func runStream(id string) domain.StreamID { return domain.StreamID("run-" + id) }
