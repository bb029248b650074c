package kurrentport

import (
	"context"
	"errors"
	"math"

	"github.com/EventStore/EventStore-Client-Go/v4/protos/streams"
	"google.golang.org/grpc/codes"

	"quipu/domain"
)

// followStream sends what a stream holds from the revision after the given one, and then what it is
// given, until ctx ends.
func (f *following) followStream(ctx context.Context, o *streams.ReadReq_Options_StreamOptions) error {
	id, err := f.readable(o)
	if err != nil {
		return err
	}
	if id == "" {
		return refuse(codes.Unimplemented, "stream metadata is not kept: there is nothing to subscribe to")
	}
	next, err := f.firstToFollow(ctx, id, o)
	if err != nil {
		return err
	}
	if err := f.confirm(); err != nil {
		return err
	}
	watched := &f.server.watchers
	one, leave, err := watched.add(ctx, id)
	if err != nil {
		return err
	}
	defer leave()
	for {
		if next, err = f.sendStream(ctx, id, next); err != nil {
			return err
		}
		if !f.live {
			f.live = true
			if err := f.stream.Send(caughtUp()); err != nil {
				return err
			}
		}
		select {
		case <-one.wake:
			if err := watched.failed(one); err != nil {
				return err
			}
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// firstToFollow is the revision that a subscription to a stream begins with.
func (f *following) firstToFollow(ctx context.Context, id domain.StreamID, o *streams.ReadReq_Options_StreamOptions) (domain.Revision, error) {
	switch v := o.GetRevisionOption().(type) {
	case *streams.ReadReq_Options_StreamOptions_Revision:
		if v.Revision >= math.MaxInt64 {
			return 0, refuse(codes.InvalidArgument, "options.stream.revision: is too large")
		}
		return domain.Revision(v.Revision) + 1, nil
	case *streams.ReadReq_Options_StreamOptions_Start:
		return 0, nil
	case *streams.ReadReq_Options_StreamOptions_End:
		last, _, err := f.server.head(ctx, id)
		return last + 1, err
	}
	return 0, refuse(codes.InvalidArgument, "options.stream.revision_option: is missing")
}

// sendStream sends what the stream has from revision next on, and returns the one after. A reader that
// is more than a page behind counts as catching up.
func (f *following) sendStream(ctx context.Context, id domain.StreamID, next domain.Revision) (domain.Revision, error) {
	for {
		page, err := f.log.ReadStream(ctx, id, next, readPage)
		if errors.Is(err, domain.ErrNotFound) {
			return next, nil
		}
		if err != nil || len(page) == 0 {
			return next, err
		}
		f.live = f.live && len(page) < readPage
		for i := range page {
			if err := f.stream.Send(f.encoder.response(&page[i])); err != nil {
				return next, err
			}
		}
		next = page[len(page)-1].Revision + 1
	}
}
