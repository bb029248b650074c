package agnt5

import (
	"context"
	"errors"
	"runtime/debug"
	"time"
	"unicode/utf8"

	"github.com/gofiber/contrib/websocket"

	"quipu/domain"
	"quipu/domain/rawjson"
	"quipu/domain/run"
	"quipu/domain/wire"
	"quipu/readapi"
	"quipu/readapi/object"
)

// Message implements readapi.Session. Work that may wait is done beside, in one of OperationsMax
// places; while none is free, or too many answers wait for the client, no message is read.
func (s *session) Message(ctx context.Context, now time.Time, text []byte) {
	if !utf8.Valid(text) {
		s.handle.Stop(websocket.CloseInvalidFramePayloadData, "text must be UTF-8")
		return
	}
	if !s.awaitRoom(ctx) {
		return
	}
	m, refusal := Parse(text)
	switch {
	case refusal != nil:
		s.refuse(now, refusal)
	case m.Kind == Ping:
		s.accept(nil, AppendPong(nil, now))
	case m.Kind == Start:
		if m.ConnectionID == "" {
			m.ConnectionID = s.req.connectionID
		}
		if refusal := s.take(1); refusal != nil {
			s.refuse(now, refusal.about(m))
			return
		}
		s.begin(ctx, func(ctx context.Context) { s.start(ctx, m) })
	case m.Kind == Cancel:
		s.begin(ctx, func(ctx context.Context) { s.cancel(ctx, m) })
	case m.Kind == Resume:
		s.begin(ctx, func(ctx context.Context) { s.resume(ctx, m) })
	}
}

// about fills in which message a refusal speaks of.
func (r *Refusal) about(m Message) *Refusal {
	r.ConnectionID, r.IdempotencyKey, r.ExecutionID = m.ConnectionID, m.IdempotencyKey, m.ExecutionID
	return r
}

// limits is what Limited remembers.
type limits struct {
	last   time.Time // when a message was dropped
	streak int       // dropped without a second between them
}

// Limited implements readapi.Session.
func (s *session) Limited(now time.Time) {
	if now.Sub(s.limits.last) > time.Second {
		s.limits.streak = 0
	}
	s.limits.last = now
	s.limits.streak++
	if s.limits.streak > DroppedMax {
		s.handle.Stop(websocket.ClosePolicyViolation, "more than 100 messages a second, again and again")
		return
	}
	s.mu.Lock()
	s.dropped++
	s.mu.Unlock()
	s.handle.Wake()
}

// awaitRoom waits until the client has taken its answers; false if the socket closes before.
func (s *session) awaitRoom(ctx context.Context) bool {
	for {
		s.mu.Lock()
		full := len(s.answers) > AnswersBytesMax
		s.mu.Unlock()
		if !full {
			return ctx.Err() == nil
		}
		select {
		case <-s.room:
		case <-ctx.Done():
			return false
		}
	}
}

// take takes places for executions to be followed.
func (s *session) take(n int) *Refusal {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.followed+n > s.sockets.options.ExecutionsMax {
		return overloaded("this socket follows %d executions, the most it may; wait for one to end, or use another socket", s.sockets.options.ExecutionsMax)
	}
	s.followed += n
	return nil
}

// begin does work in a place of its own. It goes on when the socket closes: what a client has asked for
// before is done.
func (s *session) begin(ctx context.Context, work func(context.Context)) {
	select {
	case s.operations <- struct{}{}:
	case <-ctx.Done():
		return
	}
	s.sockets.work.Go(func() {
		defer func() { <-s.operations }()
		defer s.recovered()
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), OperationTimeout)
		defer cancel()
		work(ctx)
	})
}

// recovered turns a panic of a message's work into a close with 1011, and nothing else for the client.
func (s *session) recovered() {
	if v := recover(); v != nil {
		s.sockets.options.Panicked(v, debug.Stack())
		s.handle.Stop(websocket.CloseInternalServerErr, "")
	}
}

func (s *session) start(ctx context.Context, m Message) {
	id, err := s.sockets.deps.Executions.Start(ctx, StartRequest{
		Endpoint: s.req.endpoint, Name: m.Name, Parameters: m.Parameters, Metadata: m.Metadata,
		ConnectionID: m.ConnectionID, IdempotencyKey: m.IdempotencyKey,
	})
	if err != nil {
		s.release(1)
		s.refuse(s.now(), refusalOf(err).about(m))
		return
	}
	s.accept([]follow{{id: id}})
}

// accept has the writer send answers and then follow executions whose places were taken.
func (s *session) accept(executions []follow, answers ...[]byte) {
	s.mu.Lock()
	if !s.closed {
		for _, a := range answers {
			s.answers = readapi.AppendText(s.answers, a)
		}
		s.asked = append(s.asked, executions...)
	}
	s.mu.Unlock()
	s.handle.Wake()
}

func (s *session) now() time.Time { return s.sockets.deps.Clock.Now() }

func (s *session) refuse(now time.Time, r *Refusal) { s.accept(nil, AppendRefusal(nil, now, r)) }

// owned reads how an execution began and reports whether this endpoint began it, over this dialect.
// Errors: ErrNotFound with code EXECUTION_UNKNOWN, also for executions of others.
func (s *session) owned(ctx context.Context, id string) (run.Started, error) {
	unknown := domain.E(domain.KindNotFound, "", "", "names no execution of this endpoint").WithField("/execution_id").WithCode("EXECUTION_UNKNOWN")
	stream := runStream(id)
	if stream.Check() != nil {
		return run.Started{}, unknown
	}
	page, err := s.sockets.deps.Log.ReadStream(ctx, stream, 0, 1)
	if errors.Is(err, domain.ErrNotFound) || err == nil && len(page) == 0 {
		return run.Started{}, unknown
	}
	if err != nil {
		return run.Started{}, err
	}
	metadata, err := wire.DecodeMetadata(page[0].Metadata)
	if err != nil {
		return run.Started{}, err
	}
	if metadata.Actor != Actor(s.req.endpoint.ID) {
		return run.Started{}, unknown
	}
	decoded, err := wire.DecodeRun(page[0].Type, page[0].Data)
	if err != nil {
		return run.Started{}, err
	}
	started, ok := decoded.(run.Started)
	if !ok {
		return run.Started{}, unknown
	}
	return started, nil
}

// Actor is who does what is asked for on a socket of an endpoint.
func Actor(endpointID string) wire.Actor {
	return wire.Actor{Kind: wire.ActorKey, ID: endpointID, Via: Dialect}
}

func (s *session) cancel(ctx context.Context, m Message) {
	_, err := s.owned(ctx, m.ExecutionID)
	if err == nil {
		// Shown on from here, if it is not shown already: the answer is the execution's end.
		err = s.watch(ctx, m.ExecutionID)
	}
	if err == nil {
		err = s.sockets.deps.Executions.Cancel(ctx, s.req.endpoint, m.ExecutionID, m.Reason)
	}
	if err != nil {
		s.refuse(s.now(), refusalOf(err).about(m))
	}
}

// watch follows an execution from its head on.
func (s *session) watch(ctx context.Context, id string) error {
	last, err := s.last(ctx, id)
	if err != nil || wire.EndsRun(last.Type) {
		return err
	}
	if refusal := s.take(1); refusal != nil {
		return nil // cancelled all the same
	}
	s.accept([]follow{{id: id, cursor: Cursor{Offset: last.Revision + 1}, read: last.Revision + 1}})
	return nil
}

func (s *session) last(ctx context.Context, id string) (*domain.Recorded, error) {
	page, err := s.sockets.deps.Log.ReadStreamBackward(ctx, runStream(id), domain.Revision(1)<<62, 1)
	if err != nil {
		return nil, err
	}
	if len(page) == 0 {
		return nil, domain.E(domain.KindNotFound, "read", id, "has no events")
	}
	return &page[0], nil
}

// resume shows executions again, from the cursor on (contract D12), and says which.
func (s *session) resume(ctx context.Context, m Message) {
	ids, more := []string{m.ExecutionID}, false
	var err error
	if m.ExecutionID == "" {
		ids, more, err = s.sockets.deps.Executions.Unfinished(ctx, s.req.endpoint, m.ConnectionID, s.sockets.options.ExecutionsMax)
	}
	var list []follow
	for i := 0; err == nil && i < len(ids); i++ {
		var f follow
		var wanted bool
		f, wanted, err = s.resumable(ctx, ids[i], m)
		if errors.Is(err, domain.ErrNotFound) && m.ExecutionID == "" {
			err = nil // a row of the lists that is not this endpoint's after all
			continue
		}
		if err != nil || !wanted {
			continue
		}
		if s.take(1) != nil {
			more = true
			break
		}
		list = append(list, f)
	}
	now := s.now()
	if err != nil {
		s.release(len(list))
		s.refuse(now, refusalOf(err).about(m))
		return
	}
	answers := [][]byte{appendAnswer(nil, TypeResumeAccepted, now, func(o *object.Builder) {
		if m.ConnectionID != "" {
			o.Str("connection_id", m.ConnectionID)
		}
		o.Key("executions")
		o.B = append(o.B, '[')
		for _, f := range list {
			o.Item()
			o.B = rawjson.AppendString(o.B, IDPrefix+f.id)
		}
		o.B = append(o.B, ']')
	})}
	if more {
		answers = append(answers, AppendRefusal(nil, now, overloaded("this socket follows %d executions, the most it may; resume the others when one has ended, or on another socket", s.sockets.options.ExecutionsMax).about(m)))
	}
	s.accept(list, answers...)
}

// resumable says how an execution is shown from the message's cursor on, and reports whether there is
// something to show. Errors: as owned, also for an execution of another connection_id than the message's.
func (s *session) resumable(ctx context.Context, id string, m Message) (follow, bool, error) {
	started, err := s.owned(ctx, id)
	if err != nil {
		return follow{}, false, err
	}
	if m.ConnectionID != "" && started.ConnectionID != m.ConnectionID {
		return follow{}, false, domain.E(domain.KindNotFound, "", "", "names no execution of this connection_id").WithField("/execution_id").WithCode("EXECUTION_UNKNOWN")
	}
	last, err := s.last(ctx, id)
	if err != nil {
		return follow{}, false, err
	}
	// A cursor beyond the head still has to see the end, or the execution would never leave.
	f := follow{id: id, cursor: m.Cursor, read: min(m.Cursor.Offset, last.Revision+1), again: m.Cursor != Cursor{}}
	return f, !wire.EndsRun(last.Type) || m.Cursor.Offset <= last.Revision, nil
}
