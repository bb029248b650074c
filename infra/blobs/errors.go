package blobs

import (
	"context"
	"errors"
	"syscall"

	"quipu/domain"
)

// failure translates what the file system says: nothing was promised yet, so the same call may be
// tried again.
func failure(op, subject string, err error) error {
	e := domain.Wrap(domain.KindUnavailable, op, subject, err)
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		e.Code, e.Message = "DISK_FULL", "the disk is full"
	}
	return e
}

func contextError(ctx context.Context, op, subject string) error {
	switch err := ctx.Err(); {
	case err == nil:
		return nil
	case errors.Is(err, context.DeadlineExceeded):
		return domain.Wrap(domain.KindDeadline, op, subject, err)
	default:
		return domain.Wrap(domain.KindCanceled, op, subject, err)
	}
}
