package commands

import (
	"context"

	"quipu/domain"
)

// Log is the write store: the truth everything else is derived from.
//
// One conformance suite (commands/logtest) states this contract in tests and runs over every
// adapter. All methods are safe for concurrent use. After Close every method fails with
// ErrUnavailable. Source: design "The log"; ADR 0002.
type Log interface {
	// ID identifies this log. It is fixed while the log is open; a copy or a restored backup
	// has another. Positions of different logs do not compare.
	ID() domain.LogID

	// Append adds events to the end of stream, durably, and only then returns.
	//
	// Shape: events holds 1..domain.AppendEventsMax items of together at most
	// domain.AppendBytesMax bytes, in read-back order; all are stored or none. The slice and its
	// bytes are not kept after return. expected is the revision of the stream's last event,
	// domain.NoStream if it must not exist.
	// Errors: ErrInvalid for a bad stream id, size or count (nothing written);
	// ErrConflict if the stream is not at expected (nothing written) unless the events right after
	// expected carry exactly the ids given here: then the earlier append is answered again, so that
	// a repeat after an unknown outcome is exactly once;
	// ErrIndeterminate if the events may or may not be stored (repeat the same bytes at the same
	// revision); ErrUnavailable if they certainly are not.
	// ctx done before the append was handed over yields ErrCanceled or ErrDeadline (nothing
	// written); later ErrIndeterminate.
	// Concurrency: of N callers with equal stream and expected, exactly one succeeds; a caller
	// that loses never fails another's append.
	Append(ctx context.Context, stream domain.StreamID, expected domain.Revision, events []domain.Pending) (Appended, error)

	// ReadStream returns the events of stream from revision `from` on, in order.
	//
	// Shape: at most max events (max >= 1) and, beyond the first, at most ReadBytesMax bytes; an
	// empty page means that from lies beyond the head. A from below 0 reads from 0.
	// Errors: ErrNotFound if the stream has no events; ErrCorrupt, with the place, if stored bytes
	// cannot be read: never a shorter page instead.
	ReadStream(ctx context.Context, stream domain.StreamID, from domain.Revision, max int) ([]domain.Recorded, error)

	// ReadStreamBackward returns events of stream from revision `from` down to 0, newest first.
	// A from beyond the head reads from the head; domain.NoStream (-1) gives an empty page.
	// Bounds and errors as ReadStream.
	ReadStreamBackward(ctx context.Context, stream domain.StreamID, from domain.Revision, max int) ([]domain.Recorded, error)

	// ReadAll returns what was recorded after position `after` (exclusive) in global order.
	// Bounds as ReadStream. An empty page means that after is at or beyond the head.
	ReadAll(ctx context.Context, after domain.Position, max int) ([]domain.Recorded, error)

	// Head returns the position of the newest event, 0 for an empty log.
	Head(ctx context.Context) (domain.Position, error)

	// Subscribe follows the log after position `after` (exclusive): history first, then live.
	// Only events of streams whose id starts with prefix are delivered; "" means all.
	// A reader that falls behind is served from history at its own pace and never holds up an
	// append or another reader. Errors: ErrInvalid if after lies beyond the head.
	Subscribe(ctx context.Context, after domain.Position, prefix string) (Subscription, error)

	// Close waits for running appends, releases the log and returns. A second Close does nothing.
	Close() error
}

// ReadBytesMax bounds the data and metadata bytes of one page; one event larger than this is
// still returned, alone.
const ReadBytesMax = 4 << 20

// Appended says where an append ended up.
type Appended struct {
	Revision domain.Revision // of the last event appended
	Position domain.Position // of the last event appended
}

// Subscription is a resumable reading of the log. It belongs to one goroutine; Close may be called
// from any.
type Subscription interface {
	// Next waits for the next batch, in global order, without gap or duplicate.
	// Errors: ErrCanceled/ErrDeadline when ctx ends (the subscription stays usable, nothing is
	// skipped); ErrUnavailable after Close of it or its log; ErrCorrupt with the place.
	Next(ctx context.Context) (Batch, error)
	// Close releases the subscription and wakes a waiting Next. Idempotent.
	Close() error
}

// Batch is one step of a subscription.
type Batch struct {
	// Events are the matching events, possibly none. Shared: never written to.
	Events []domain.Recorded
	// Position is how far the log was considered; resume after it. It is at least the position of
	// the last event, and grows past events that the prefix left out.
	Position domain.Position
	// CaughtUp says that Position was the head when the batch was made.
	CaughtUp bool
}
