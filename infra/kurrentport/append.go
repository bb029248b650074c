package kurrentport

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"

	"github.com/EventStore/EventStore-Client-Go/v4/protos/shared"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/streams"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"

	"quipu/commands"
	"quipu/domain"
)

// expectation is the revision that an append names.
type expectation struct {
	kind     expectationKind
	revision uint64 // for exact
}

type expectationKind uint8

const (
	exact expectationKind = iota
	noStream
	anyRevision
	streamExists
)

// outcome is what an append came to. wrong says that the stream was not as expected: then current
// is where it is. Otherwise current and position are those of the last event appended; for an append
// without events current is the stream's.
type outcome struct {
	wrong    bool
	current  domain.Revision // domain.NoStream if there is none
	position domain.Position
}

// target is a stream that may be appended to, and how.
type target struct {
	id       domain.StreamID
	expected expectation
}

// collector gathers the proposed events of one append within the bounds.
type collector struct {
	bytesMax int
	events   []proposed
	bytes    int
}

func (c *collector) add(e proposed) error {
	c.events = append(c.events, e)
	c.bytes += e.bytes()
	if c.bytes > c.bytesMax {
		return tooLarge(c.bytesMax)
	}
	if len(c.events) > domain.AppendEventsMax {
		return refuse(codes.InvalidArgument, fmt.Sprintf("an append holds at most %d events here", domain.AppendEventsMax))
	}
	return nil
}

// Append implements the protocol: options, then the events one by one, then one answer.
func (s *Server) Append(stream streams.Streams_AppendServer) error {
	resp, err := s.appendCall(stream)
	if err != nil {
		listen(stream)
		return s.fail(stream, err)
	}
	return stream.SendAndClose(resp)
}

// listen takes what a client still has to say before it is refused: one that is cut off while it sends
// shows its user the end of a file instead of the refusal. What goes far beyond any append is cut off.
func listen(stream streams.Streams_AppendServer) {
	for bytes, messages := 0, 0; bytes < MessageBytesMax && messages < 4*domain.AppendEventsMax; messages++ {
		m, err := stream.Recv()
		if err != nil {
			return
		}
		bytes += proto.Size(m)
	}
}

func (s *Server) appendCall(stream streams.Streams_AppendServer) (*streams.AppendResp, error) {
	ctx := stream.Context()
	role, err := s.auth.role(ctx)
	if err != nil {
		return nil, err
	}
	first, err := stream.Recv()
	if err != nil {
		return nil, closedEarly(err)
	}
	options := first.GetOptions()
	if options == nil {
		return nil, refuse(codes.InvalidArgument, "options: have to come before the events")
	}
	expected, err := expectedOf(options)
	if err != nil {
		return nil, err
	}
	to, err := s.target(role, options.GetStreamIdentifier(), expected)
	if err != nil {
		return nil, err
	}
	c := collector{bytesMax: s.opts.AppendBytesMax}
	for {
		req, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, err
		}
		m := req.GetProposedMessage()
		if m == nil {
			return nil, refuse(codes.InvalidArgument, "options: may come once only")
		}
		e, err := parseEvent(len(c.events), m.GetId(), m.GetMetadata(), m.GetCustomMetadata(), m.GetData())
		if err != nil {
			return nil, err
		}
		if err := c.add(e); err != nil {
			return nil, err
		}
	}
	o, err := s.append(ctx, to, c.events)
	if err != nil {
		return nil, err
	}
	return appendResponse(o, expected), nil
}

// closedEarly says what a call without any message lacks.
func closedEarly(err error) error {
	if errors.Is(err, io.EOF) {
		return refuse(codes.InvalidArgument, "options: are missing")
	}
	return err
}

// target resolves a stream name that is to be appended to. Errors: a status.
func (s *Server) target(r role, name *shared.StreamIdentifier, expected expectation) (target, error) {
	id, whose, err := s.names.stream(name.GetStreamName())
	if err != nil {
		return target{}, err
	}
	return target{id, expected}, s.mayAppend(r, whose, string(name.GetStreamName()))
}

// append appends events and answers as the server's table of expected revisions and repeats does:
// docs/kurrentdb-port.md.
func (s *Server) append(ctx context.Context, to target, events []proposed) (outcome, error) {
	kind := to.expected.kind
	if len(events) == 0 {
		return s.appendNothing(ctx, to)
	}
	ready := pending(events, to.id, s.opts.Clock())
	if domain.AppendBytes(ready) > domain.AppendBytesMax {
		return outcome{}, tooLarge(domain.AppendBytesMax) // the log counts what it adds to each event
	}
	if kind == anyRevision || kind == streamExists {
		return s.appendAny(ctx, to, events, ready)
	}
	expected := domain.NoStream
	if kind == exact {
		if to.expected.revision > math.MaxInt64 {
			return s.wrong(ctx, to.id)
		}
		expected = domain.Revision(to.expected.revision)
	}
	done, err := s.appendAt(ctx, to.id, expected, ready)
	if errors.Is(err, domain.ErrConflict) {
		return s.wrong(ctx, to.id)
	}
	return outcome{current: done.Revision, position: done.Position}, err
}

// appendAt appends at an exact revision, and remembers where the events went.
func (s *Server) appendAt(ctx context.Context, id domain.StreamID, expected domain.Revision, events []domain.Pending) (commands.Appended, error) {
	done, err := s.log.Append(ctx, id, expected, events)
	if err == nil {
		s.seen.add(id, events, done.Revision, done.Position)
	}
	return done, err
}

// anyAttemptsMax bounds how often an append without an exact revision is tried against others.
const anyAttemptsMax = 100

// appendAny appends at the head, wherever that is.
func (s *Server) appendAny(ctx context.Context, to target, events []proposed, ready []domain.Pending) (outcome, error) {
	unlock, err := s.seen.lock(ctx, to.id)
	if err != nil {
		return outcome{}, domain.Wrap(domain.KindCanceled, "append to", string(to.id), err)
	}
	defer unlock()
	for range anyAttemptsMax {
		head, _, err := s.head(ctx, to.id)
		if err != nil {
			return outcome{}, err
		}
		if head == domain.NoStream && to.expected.kind == streamExists {
			return outcome{wrong: true, current: head}, nil
		}
		last, all, some := s.seen.find(to.id, events)
		if all {
			return outcome{current: last.revision, position: last.position}, nil
		}
		if some {
			return outcome{wrong: true, current: head}, nil
		}
		done, err := s.appendAt(ctx, to.id, head, ready)
		if !errors.Is(err, domain.ErrConflict) {
			return outcome{current: done.Revision, position: done.Position}, err
		}
	}
	return outcome{}, refuse(codes.Aborted, "the stream kept growing; nothing was written: try again")
}

// appendNothing answers an append without events: whether the stream is as expected.
func (s *Server) appendNothing(ctx context.Context, to target) (outcome, error) {
	head, _, err := s.head(ctx, to.id)
	if err != nil {
		return outcome{}, err
	}
	o := outcome{current: head}
	switch to.expected.kind {
	case exact:
		o.wrong = head == domain.NoStream || uint64(head) != to.expected.revision
	case noStream:
		o.wrong = head != domain.NoStream
	case streamExists:
		o.wrong = head == domain.NoStream
	case anyRevision:
	}
	if !o.wrong {
		o.position, err = s.log.Head(ctx)
	}
	return o, err
}

// wrong is the outcome of an append at a revision that the stream is not at.
func (s *Server) wrong(ctx context.Context, id domain.StreamID) (outcome, error) {
	head, _, err := s.head(ctx, id)
	return outcome{wrong: true, current: head}, err
}

// head returns revision and position of the stream's last event, NoStream and 0 if it has none.
func (s *Server) head(ctx context.Context, id domain.StreamID) (domain.Revision, domain.Position, error) {
	last, err := s.log.ReadStreamBackward(ctx, id, math.MaxInt64, 1)
	if errors.Is(err, domain.ErrNotFound) || err == nil && len(last) == 0 {
		return domain.NoStream, 0, nil
	}
	if err != nil {
		return domain.NoStream, 0, err
	}
	return last[0].Revision, last[0].Position, nil
}
