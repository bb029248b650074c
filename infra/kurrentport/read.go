package kurrentport

import (
	"context"
	"errors"
	"math"

	"github.com/EventStore/EventStore-Client-Go/v4/protos/streams"
	"google.golang.org/grpc/codes"

	"quipu/domain"
)

// readPage is how many events are taken from the log at once.
const readPage = 256

// reading is one call of Read, checked.
type reading struct {
	server    *Server
	stream    streams.Streams_ReadServer
	encoder   encoder
	backwards bool
	count     uint64 // events still to send; unused by a subscription
	filter    *filter
}

// Read implements the protocol: a bounded read or a subscription, of one stream or of $all.
func (s *Server) Read(req *streams.ReadReq, stream streams.Streams_ReadServer) error {
	if err := s.read(req.GetOptions(), stream); err != nil {
		return s.fail(stream, err)
	}
	return nil
}

func (s *Server) read(o *streams.ReadReq_Options, stream streams.Streams_ReadServer) error {
	ctx := stream.Context()
	if _, err := s.auth.role(ctx); err != nil {
		return err
	}
	if o == nil {
		return refuse(codes.InvalidArgument, "options: are missing")
	}
	r := reading{server: s, stream: stream, encoder: encoder{names: s.names}, backwards: o.GetReadDirection() == streams.ReadReq_Options_Backwards}
	_, r.encoder.stringIDs = o.GetUuidOption().GetContent().(*streams.ReadReq_Options_UUIDOption_String_)
	var err error
	if r.filter, err = parseFilter(o); err != nil {
		return err
	}
	switch v := o.GetCountOption().(type) {
	case *streams.ReadReq_Options_Count:
		if r.count = v.Count; r.count == 0 {
			return refuse(codes.InvalidArgument, "options.count: has to be at least 1")
		}
	case *streams.ReadReq_Options_Subscription:
		if r.backwards {
			return refuse(codes.InvalidArgument, "options.read_direction: a subscription reads forwards only")
		}
		return r.subscribe(o)
	default:
		return refuse(codes.InvalidArgument, "options.count_option: is missing")
	}
	switch v := o.GetStreamOption().(type) {
	case *streams.ReadReq_Options_Stream:
		return r.readStream(ctx, v.Stream)
	case *streams.ReadReq_Options_All:
		return r.readAll(ctx, v.All)
	}
	return errNoTarget
}

var errNoTarget = refuse(codes.InvalidArgument, "options.stream_option: is missing")

// send sends one event, and reports whether more are wanted. It waits for the reader, and for
// nobody else.
func (r *reading) send(e *domain.Recorded) (more bool, err error) {
	if err := r.stream.Send(r.encoder.response(e)); err != nil {
		return false, err
	}
	r.count--
	return r.count > 0, nil
}

// page is how many events to take next.
func (r *reading) page() int { return int(min(r.count, readPage)) }

// readable resolves a stream name that is to be read; an empty id means that no such stream can
// exist. Errors: a status.
func (r *reading) readable(o *streams.ReadReq_Options_StreamOptions) (domain.StreamID, error) {
	name := o.GetStreamIdentifier().GetStreamName()
	if r.filter != nil {
		return "", refuse(codes.InvalidArgument, "options.filter_option: a filter is for $all only")
	}
	id, whose, err := r.server.names.stream(name)
	if err == nil && whose == system {
		err = denied("the stream " + string(name) + " is a system stream")
	}
	return id, err
}

func (r *reading) readStream(ctx context.Context, o *streams.ReadReq_Options_StreamOptions) error {
	id, err := r.readable(o)
	if err != nil {
		return err
	}
	name := o.GetStreamIdentifier().GetStreamName()
	if id == "" {
		return r.stream.Send(notFound(name))
	}
	from, err := r.firstRevision(o)
	if err != nil {
		return err
	}
	read, step := r.server.log.ReadStream, domain.Revision(1)
	if r.backwards {
		read, step = r.server.log.ReadStreamBackward, -1
	}
	for {
		page, err := read(ctx, id, from, r.page())
		if errors.Is(err, domain.ErrNotFound) {
			return r.stream.Send(notFound(name))
		}
		if err != nil || len(page) == 0 {
			return err
		}
		for i := range page {
			if more, err := r.send(&page[i]); !more {
				return err
			}
		}
		if from = page[len(page)-1].Revision + step; from < 0 {
			return nil
		}
	}
}

// firstRevision is where a read of a stream starts, inclusive.
func (r *reading) firstRevision(o *streams.ReadReq_Options_StreamOptions) (domain.Revision, error) {
	switch v := o.GetRevisionOption().(type) {
	case *streams.ReadReq_Options_StreamOptions_Revision:
		return domain.Revision(min(v.Revision, math.MaxInt64)), nil
	case *streams.ReadReq_Options_StreamOptions_Start:
		return 0, nil
	case *streams.ReadReq_Options_StreamOptions_End:
		return math.MaxInt64, nil // forwards that is beyond the head: nothing
	}
	return 0, refuse(codes.InvalidArgument, "options.stream.revision_option: is missing")
}

func (r *reading) readAll(ctx context.Context, o *streams.ReadReq_Options_AllOptions) error {
	head, err := r.server.log.Head(ctx)
	if err != nil {
		return err
	}
	var from domain.Position
	switch v := o.GetAllOption().(type) {
	case *streams.ReadReq_Options_AllOptions_Position:
		from = domain.Position(v.Position.GetCommitPosition())
	case *streams.ReadReq_Options_AllOptions_Start:
	case *streams.ReadReq_Options_AllOptions_End:
		from = head + 1
	default:
		return refuse(codes.InvalidArgument, "options.all.all_option: is missing")
	}
	if r.backwards {
		return r.allBackwards(ctx, min(from, head+1))
	}
	return r.allForwards(ctx, from)
}

// allForwards sends what is at position from and after it.
func (r *reading) allForwards(ctx context.Context, from domain.Position) error {
	after := max(from, 1) - 1
	for {
		page, err := r.server.log.ReadAll(ctx, after, r.allPage())
		if err != nil || len(page) == 0 {
			return err
		}
		for i := range page {
			if !r.filter.matches(&page[i], r.encoder.names) {
				continue
			}
			if more, err := r.send(&page[i]); !more {
				return err
			}
		}
		after = page[len(page)-1].Position
	}
}

// allPage is how many events of $all to look at next: with a filter as many as there are in a page.
func (r *reading) allPage() int {
	if r.filter != nil {
		return readPage
	}
	return r.page()
}

// allBackwards sends what is before position until, newest first. The log reads forwards only, so
// it is read in windows of positions from the end; where positions have gaps a window holds less.
func (r *reading) allBackwards(ctx context.Context, until domain.Position) error {
	for until > 1 {
		after := max(until-1, domain.Position(r.allPage())) - domain.Position(r.allPage())
		window, err := r.window(ctx, after, until)
		if err != nil {
			return err
		}
		for i := len(window) - 1; i >= 0; i-- {
			if !r.filter.matches(&window[i], r.encoder.names) {
				continue
			}
			if more, err := r.send(&window[i]); !more {
				return err
			}
		}
		until = after + 1
	}
	return nil
}

// window returns the events after one position and before another.
func (r *reading) window(ctx context.Context, after, before domain.Position) ([]domain.Recorded, error) {
	var window []domain.Recorded
	for after+1 < before {
		page, err := r.server.log.ReadAll(ctx, after, int(before-after-1))
		if err != nil || len(page) == 0 {
			return window, err
		}
		for i := range page {
			if page[i].Position >= before {
				return window, nil
			}
			window = append(window, page[i])
		}
		after = page[len(page)-1].Position
	}
	return window, nil
}
