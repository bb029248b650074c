package readapi

import (
	"context"
	"time"

	"quipu/domain"
)

// Log is what live sockets read of the log.
type Log interface {
	// ID identifies the log; positions and cursors of another do not compare.
	ID() domain.LogID
	// ReadStream returns events of stream from revision `from` on, in order: at most max, none if
	// from lies beyond the head. Errors: ErrNotFound if the stream has no events.
	ReadStream(ctx context.Context, stream domain.StreamID, from domain.Revision, max int) ([]domain.Recorded, error)
	// ReadStreamBackward is the same downwards from `from`, newest first.
	ReadStreamBackward(ctx context.Context, stream domain.StreamID, from domain.Revision, max int) ([]domain.Recorded, error)
}

// Event is one recorded event as all its readers share it. It is an alias of an interface literal:
// whoever declares the same literal has the same type, without an import.
type Event = interface {
	// Recorded is the event. It is shared: never write to it.
	Recorded() *domain.Recorded
	// Rendered returns what render gave for dialect, calling it once among all readers.
	Rendered(dialect string, render func() (any, error)) (any, error)
	// Live reports whether many readers share the event.
	Live() bool
}

// Reader yields the events of one stream in exact order, history then live.
type Reader interface {
	// Poll returns what can be had without waiting for events; none means that notify will be
	// called when there is more. After an error it may be called again and nothing is skipped.
	Poll(ctx context.Context) ([]Event, error)
	// Position is the revision that comes next.
	Position() domain.Revision
	// Refresh makes the next Poll look at the log.
	Refresh()
	// Ephemeral returns what was published beside the events since the last call; notify is called
	// for it too.
	Ephemeral() []any
	Close()
}

// ReaderFunc opens a Reader of stream from revision from on. notify must not block.
type ReaderFunc func(stream domain.StreamID, from domain.Revision, notify func()) Reader

// Clock tells the time and wakes up. Tests give a virtual one.
type Clock interface {
	Now() time.Time
	// AfterFunc calls f once after d; stop prevents it.
	AfterFunc(d time.Duration, f func()) (stop func() bool)
}
