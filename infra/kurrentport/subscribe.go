package kurrentport

import (
	"context"

	"github.com/EventStore/EventStore-Client-Go/v4/protos/streams"
	"google.golang.org/grpc/codes"

	"quipu/commands"
	"quipu/domain"
)

// fallsBehind is how many events behind the head a subscription that was live counts as catching up
// again; it is then told when it is live once more.
const fallsBehind = 4096

// following is one subscription: history first, then live, at its reader's pace. Nothing is kept
// for it: what it has not taken yet is read from the log.
type following struct {
	*reading
	log commands.Log

	live bool // the reader was told that it has caught up
	// Of $all:
	considered domain.Position // up to here everything was sent or left out
	told       domain.Position // of the last checkpoint
}

func (r *reading) subscribe(o *streams.ReadReq_Options) error {
	ctx, end, err := r.server.begin(r.stream.Context())
	if err != nil {
		return err
	}
	defer end()
	r.server.opts.Hooks.Subscribed(1)
	defer r.server.opts.Hooks.Subscribed(-1)
	f := following{reading: r, log: r.server.log}
	switch v := o.GetStreamOption().(type) {
	case *streams.ReadReq_Options_Stream:
		err = f.followStream(ctx, v.Stream)
	case *streams.ReadReq_Options_All:
		err = f.followAll(ctx, v.All)
	default:
		return errNoTarget
	}
	if err != nil && r.server.stopping(ctx) {
		return refuse(codes.Unavailable, errStopping.Error())
	}
	return err
}

func (f *following) confirm() error {
	return f.stream.Send(confirmation(f.server.opts.NewID()))
}

// followAll sends what is after a position.
func (f *following) followAll(ctx context.Context, o *streams.ReadReq_Options_AllOptions) error {
	head, err := f.log.Head(ctx)
	if err != nil {
		return err
	}
	var after domain.Position
	switch v := o.GetAllOption().(type) {
	case *streams.ReadReq_Options_AllOptions_Position:
		after = domain.Position(v.Position.GetCommitPosition())
	case *streams.ReadReq_Options_AllOptions_Start:
	case *streams.ReadReq_Options_AllOptions_End:
		after = head
	default:
		return refuse(codes.InvalidArgument, "options.all.all_option: is missing")
	}
	if after > head {
		// Waiting for it could leave out all that another log records until then.
		return refuse(codes.InvalidArgument, "options.all.position: lies beyond the end of this log: was it exchanged for another?")
	}
	if err := f.confirm(); err != nil {
		return err
	}
	return f.follow(ctx, after, f.filter.logPrefix(f.encoder.names))
}

// follow sends what passes after a position, for as long as ctx lasts.
func (f *following) follow(ctx context.Context, after domain.Position, prefix string) error {
	sub, err := f.log.Subscribe(ctx, after, prefix)
	if err != nil {
		return err
	}
	defer func() { _ = sub.Close() }() // releases memory only
	f.considered, f.told = after, after
	head, err := f.log.Head(ctx)
	if err != nil {
		return err
	}
	if after >= head {
		if err := f.goLive(); err != nil {
			return err
		}
	}
	for {
		batch, err := sub.Next(ctx)
		if err != nil {
			return err
		}
		if err := f.sendAll(batch.Events); err != nil {
			return err
		}
		f.considered = batch.Position
		if err := f.checkpoint(); err != nil {
			return err
		}
		if err := f.pace(ctx, batch.CaughtUp); err != nil {
			return err
		}
	}
}

// pace tells the reader when it turns live.
func (f *following) pace(ctx context.Context, caughtUp bool) error {
	if caughtUp && !f.live {
		return f.goLive()
	}
	if caughtUp || !f.live {
		return nil
	}
	head, err := f.log.Head(ctx)
	f.live = head < f.considered+fallsBehind
	return err
}

func (f *following) goLive() error {
	f.live = true
	if f.filter != nil && f.considered > f.told {
		f.told = f.considered
		if err := f.stream.Send(checkpoint(f.considered)); err != nil {
			return err
		}
	}
	return f.stream.Send(caughtUp())
}

// sendAll sends those of events that pass.
func (f *following) sendAll(events []domain.Recorded) error {
	for i := range events {
		e := &events[i]
		if !f.filter.matches(e, f.encoder.names) {
			continue
		}
		if err := f.stream.Send(f.encoder.response(e)); err != nil {
			return err
		}
		f.considered = e.Position
		if err := f.checkpoint(); err != nil {
			return err
		}
	}
	return nil
}

// checkpoint tells how far the log was considered if that is far enough from the last time.
func (f *following) checkpoint() error {
	if f.filter == nil || uint64(f.considered-f.told) < f.filter.every {
		return nil
	}
	f.told = f.considered
	return f.stream.Send(checkpoint(f.considered))
}
