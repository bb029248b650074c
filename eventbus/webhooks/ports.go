package webhooks

import (
	"context"
	"log/slog"
	"net/http"
	"time"

	"quipu/domain"
	"quipu/eventbus"
	"quipu/eventbus/poison"
)

// Log is what couriers read.
type Log interface {
	// Head returns the position of the newest event, 0 for an empty log.
	Head(ctx context.Context) (domain.Position, error)
	// ReadAll returns events after a position (exclusive) in global order: at most max, none only at
	// the end.
	ReadAll(ctx context.Context, after domain.Position, max int) ([]domain.Recorded, error)
	// ReadStream returns events of stream from a revision on: at most max.
	ReadStream(ctx context.Context, stream domain.StreamID, from domain.Revision, max int) ([]domain.Recorded, error)
}

// Clock tells the time and wakes up.
type Clock interface {
	Now() time.Time
	// AfterFunc calls f once, in a goroutine of its own or the clock's, after d; stop prevents it.
	AfterFunc(d time.Duration, f func()) (stop func() bool)
}

// Deps are the collaborators of a Sender. All but Owns, WorkflowOf (needed by targets with Workflows),
// Logger and Hooks are required.
type Deps struct {
	Log         Log
	Checkpoints eventbus.Checkpoints
	Poison      poison.List
	Clock       Clock
	// Client makes the requests; it decides which addresses may be reached. Its redirects are not
	// followed.
	Client *http.Client
	// Render gives the body of an event: a CloudEvent as JSON, without secrets.
	Render func(ctx context.Context, e *domain.Recorded) ([]byte, error)
	// WorkflowOf is the id of the workflow that e belongs to, "" for none.
	WorkflowOf func(ctx context.Context, e *domain.Recorded) (string, error)
	// Owns reports whether this process is to deliver for id now, and closes changed when that should
	// be asked again. Nil: always.
	Owns   func(id string) (mine bool, changed <-chan struct{})
	Random func() float64 // in [0,1), for jitter
	Logger *slog.Logger
	Hooks  Hooks
}

// Hooks observe, for metrics. Each may be nil; none may block.
type Hooks struct {
	// Attempted is told of each request: outcome is taken, failed or gone.
	Attempted func(target, outcome string, took time.Duration)
	// GaveUp is told of each event put on the poison list.
	GaveUp func(target string)
	// Reached is told how far a target has come, each time its checkpoint moved.
	Reached func(target string, at domain.Position)
	// Ailing is told what is wrong with a target, "" when all is well again.
	Ailing func(target, what string)
}
