package nats

import (
	"context"
	"errors"

	natsgo "github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"quipu/domain"
)

// translate turns what the client says into what the caller may do.
func translate(op, subject string, err error) error {
	if err == nil {
		return nil
	}
	if _, ok := errors.AsType[*domain.Error](err); ok {
		return err
	}
	kind := domain.KindUnavailable
	switch {
	case errors.Is(err, natsgo.ErrMaxPayload), errors.Is(err, natsgo.ErrBadSubject), errors.Is(err, natsgo.ErrInvalidMsg):
		kind = domain.KindInvalid
	case errors.Is(err, natsgo.ErrTimeout), errors.Is(err, context.DeadlineExceeded):
		kind = domain.KindIndeterminate
	case errors.Is(err, context.Canceled):
		kind = domain.KindCanceled
	}
	return domain.Wrap(kind, op, subject, Plain(err))
}

// streamGone reports whether a publish failed because no stream listens.
func streamGone(err error) bool {
	return errors.Is(err, natsgo.ErrNoStreamResponse) || errors.Is(err, natsgo.ErrNoResponders) ||
		errors.Is(err, jetstream.ErrStreamNotFound)
}
