package eventbus

import (
	"context"
	"time"

	"quipu/domain"
)

// Log is what the hub and its readers need of the log, beside following it.
type Log interface {
	// Head returns the position of the newest event, 0 for an empty log.
	Head(ctx context.Context) (domain.Position, error)
	// ReadAll returns events after a position (exclusive) in global order: at most max, fewer if they
	// are large, none only at the end.
	ReadAll(ctx context.Context, after domain.Position, max int) ([]domain.Recorded, error)
	// ReadStream returns events of stream from revision `from` on, in order: at most max, none if
	// from lies beyond the head. Errors: ErrNotFound if the stream has no events.
	ReadStream(ctx context.Context, stream domain.StreamID, from domain.Revision, max int) ([]domain.Recorded, error)
}

// Source is one subscription to the log. It belongs to one goroutine; Close may come from any.
type Source interface {
	// Next waits for the next batch, in global order, without gap or duplicate. Resume after
	// position; caughtUp says that position was the head.
	Next(ctx context.Context) (events []domain.Recorded, position domain.Position, caughtUp bool, err error)
	Close() error
}

// OpenFunc subscribes to the log after a position (exclusive), to streams whose id starts with prefix.
type OpenFunc func(ctx context.Context, after domain.Position, prefix string) (Source, error)

// Clock tells the time and wakes up. Tests give a virtual one.
type Clock interface {
	Now() time.Time
	// AfterFunc calls f once, in a goroutine of its own or the clock's, after d; stop prevents it.
	AfterFunc(d time.Duration, f func()) (stop func() bool)
}

// Hooks observe the hub, for metrics and logs. Each may be nil. They are called on the hot path
// and must not block.
type Hooks struct {
	// Published is told how many events a batch held and how far the log was considered.
	Published func(events int, position domain.Position)
	// Lagged is told of each follower whose queue overflowed.
	Lagged func()
	// Disconnected is told why the subscription to the log ended, and when it will be opened again.
	Disconnected func(err error, retryIn time.Duration)
	// Connected is told the position after which the log is followed.
	Connected func(after domain.Position)
	// Panicked is told of a panic in the loop; the loop goes on.
	Panicked func(value any, stack []byte)
}
