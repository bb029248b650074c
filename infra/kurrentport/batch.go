package kurrentport

import (
	"context"
	"errors"
	"io"
	"sync"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/protos/shared"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/streams"
	"google.golang.org/grpc/codes"

	"quipu/domain"
)

// Bounds of one call of BatchAppend.
const (
	// BatchInFlightMax is how many of its appends are carried out at once; beyond it the call is not
	// read on, so that the client waits.
	BatchInFlightMax = 256
	// BatchOpenMax is how many appends of a call may have begun without their final message.
	BatchOpenMax = 256
	// BatchOpenBytesMax is how many bytes those may hold together.
	BatchOpenBytesMax = 16 << 20
)

// batch is one call of BatchAppend: many appends over one stream of messages, each answered when it
// is done, by its correlation id. Appends to one stream are carried out in the order they came in,
// those to different streams side by side.
type batch struct {
	server *Server
	stream streams.Streams_BatchAppendServer
	role   role

	open      map[domain.EventID]*gathering
	openBytes int

	slots chan struct{}
	wait  sync.WaitGroup

	sending sync.Mutex

	mu    sync.Mutex
	tails map[domain.StreamID]chan struct{} // closed when the newest append of a stream is done
}

// gathering is an append whose events still come in.
type gathering struct {
	to       target
	options  *streams.BatchAppendReq_Options
	deadline time.Time // zero: none
	collector
}

// BatchAppend implements the protocol.
func (s *Server) BatchAppend(stream streams.Streams_BatchAppendServer) error {
	role, err := s.auth.role(stream.Context())
	if err != nil {
		return s.fail(stream, err)
	}
	ctx, end, err := s.begin(stream.Context())
	if err != nil {
		return err
	}
	defer end()
	b := batch{
		server: s, stream: stream, role: role, open: map[domain.EventID]*gathering{},
		slots: make(chan struct{}, BatchInFlightMax), tails: map[domain.StreamID]chan struct{}{},
	}
	err = b.receive(ctx)
	b.wait.Wait()
	if s.stopping(ctx) {
		return refuse(codes.Unavailable, errStopping.Error())
	}
	return s.statusOf(ctx, err)
}

// receive takes messages until the client has sent its last.
func (b *batch) receive(ctx context.Context) error {
	messages := make(chan *streams.BatchAppendReq)
	failed := make(chan error, 1)
	// Recv returns once BatchAppend has, so that waiting for it there would never end.
	go func() {
		for {
			m, err := b.stream.Recv()
			if err != nil {
				failed <- err
				return
			}
			select {
			case messages <- m:
			case <-ctx.Done():
				return
			}
		}
	}()
	for {
		select {
		case m := <-messages:
			if err := b.message(ctx, m); err != nil {
				return err
			}
		case err := <-failed:
			if errors.Is(err, io.EOF) {
				return nil
			}
			return err
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// message takes one message. An error ends the call; what is wrong with one append is answered.
func (b *batch) message(ctx context.Context, m *streams.BatchAppendReq) error {
	id, err := parseID(m.GetCorrelationId(), "correlation_id")
	if err != nil {
		return b.answer(m.GetCorrelationId(), m.GetOptions(), batchError(err))
	}
	g := b.open[id]
	if g == nil && m.GetOptions() != nil {
		if g, err = b.begin(m.GetOptions()); err != nil {
			return b.answer(m.GetCorrelationId(), m.GetOptions(), batchError(err))
		}
		b.open[id] = g
	}
	if g == nil {
		return nil // the rest of an append that has been refused
	}
	before := g.bytes
	err = g.addAll(m.GetProposedMessages())
	b.openBytes += g.bytes - before
	if err == nil && b.openBytes > BatchOpenBytesMax {
		err = refuse(codes.ResourceExhausted, "too many bytes are sent without their final message")
	}
	if err != nil || m.GetIsFinal() {
		delete(b.open, id)
		b.openBytes -= g.bytes
	}
	switch {
	case err != nil:
		return b.answer(m.GetCorrelationId(), g.options, batchError(err))
	case m.GetIsFinal():
		return b.carryOut(ctx, m.GetCorrelationId(), g)
	}
	return nil
}

// begin checks the options of an append. Errors: a status.
func (b *batch) begin(o *streams.BatchAppendReq_Options) (*gathering, error) {
	if len(b.open) >= BatchOpenMax {
		return nil, refuse(codes.ResourceExhausted, "too many appends are begun without their final message")
	}
	if o.GetStreamIdentifier() == nil {
		return nil, refuse(codes.InvalidArgument, "options.stream_identifier: is missing")
	}
	expected, err := batchExpected(o)
	if err != nil {
		return nil, err
	}
	to, err := b.server.target(b.role, o.GetStreamIdentifier(), expected)
	if err != nil {
		return nil, err
	}
	g := &gathering{to: to, options: o, collector: collector{bytesMax: b.server.opts.AppendBytesMax}}
	switch v := o.GetDeadlineOption().(type) {
	case *streams.BatchAppendReq_Options_Deadline:
		g.deadline = b.server.opts.Clock().Add(v.Deadline.AsDuration())
	case *streams.BatchAppendReq_Options_Deadline_21_10_0:
		g.deadline = v.Deadline_21_10_0.AsTime()
	}
	if !g.deadline.IsZero() && !g.deadline.After(b.server.opts.Clock()) {
		return nil, errBatchDeadline
	}
	return g, nil
}

func (g *gathering) addAll(messages []*streams.BatchAppendReq_ProposedMessage) error {
	for _, m := range messages {
		e, err := parseEvent(len(g.events), m.GetId(), m.GetMetadata(), m.GetCustomMetadata(), m.GetData())
		if err != nil {
			return err
		}
		if err := g.add(e); err != nil {
			return err
		}
	}
	return nil
}

// carryOut appends on a goroutine of its own once there is a slot, after the stream's append before.
func (b *batch) carryOut(ctx context.Context, correlation *shared.UUID, g *gathering) error {
	select {
	case b.slots <- struct{}{}:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	done := make(chan struct{})
	b.mu.Lock()
	before := b.tails[g.to.id]
	b.tails[g.to.id] = done
	b.mu.Unlock()
	b.wait.Go(func() {
		defer func() { <-b.slots }()
		defer b.leave(g.to.id, done)
		o, err := b.guarded(ctx, g, before)
		// An error of sending means that the client is gone, which receive finds too.
		_ = b.answer(correlation, g.options, batchResult(o, err, g.to.expected))
	})
	return nil
}

// guarded is append on a goroutine that nothing else guards against panics.
func (b *batch) guarded(ctx context.Context, g *gathering, before <-chan struct{}) (_ outcome, err error) {
	defer func() {
		if r := recover(); r != nil {
			b.server.panicked("BatchAppend")
			err = errPanicked
		}
	}()
	return b.append(ctx, g, before)
}

func (b *batch) append(ctx context.Context, g *gathering, before <-chan struct{}) (outcome, error) {
	if !g.deadline.IsZero() {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, g.deadline.Sub(b.server.opts.Clock()))
		defer cancel()
	}
	if before != nil {
		select {
		case <-before:
		case <-ctx.Done():
			return outcome{}, errBatchDeadline
		}
	}
	o, err := b.server.append(ctx, g.to, g.events)
	return o, b.server.statusOf(ctx, err)
}

// leave lets the stream's next append go on.
func (b *batch) leave(id domain.StreamID, done chan struct{}) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.tails[id] == done {
		delete(b.tails, id)
	}
	close(done)
}

// answer sends the result of one append.
func (b *batch) answer(correlation *shared.UUID, o *streams.BatchAppendReq_Options, resp *streams.BatchAppendResp) error {
	resp.CorrelationId = correlation
	resp.StreamIdentifier = o.GetStreamIdentifier()
	echoExpected(resp, o)
	b.sending.Lock()
	defer b.sending.Unlock()
	return b.stream.Send(resp)
}
