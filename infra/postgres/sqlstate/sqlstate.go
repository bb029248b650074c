// Package sqlstate tells what the errors of a Postgres server mean to a caller: the one place that knows
// its codes.
package sqlstate

import (
	"context"
	"errors"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"

	"quipu/domain"
)

// Codes that adapters look for.
const (
	Division     = "22012" // what a guard raises
	NoTable      = "42P01"
	NoSchema     = "3F000"
	Serialize    = "40001"
	Deadlock     = "40P01"
	Canceled     = "57014"
	LockNotFound = "55P03"
	Overlap      = "42P17" // of partitions
	TableExists  = "42P07"
	DiskFull     = "53100"
	Ending       = "57P" // the class of a server that shuts down or starts up
)

// kinds gives the kind for a SQLSTATE or its class; the longest match counts. What the server's
// owner can mend is unavailable, so that callers try again: they then work without a restart.
var kinds = map[string]domain.Kind{
	"08":     domain.KindUnavailable,   // connection
	"22":     domain.KindUnprocessable, // the value
	"23":     domain.KindCorrupt,       // rows contradict each other
	"25":     domain.KindUnavailable,   // read-only: a standby, or set so while it is mended
	"28":     domain.KindUnavailable,   // authentication
	"3D":     domain.KindUnavailable,   // no such database
	NoSchema: domain.KindConflict,      // dropped
	NoTable:  domain.KindConflict,      // likewise
	"40":     domain.KindUnavailable,   // rolled back in favour of others
	"42501":  domain.KindUnavailable,   // privileges
	"53":     domain.KindUnavailable,   // out of connections, memory, disk
	"54":     domain.KindUnprocessable, // too large for an index or a row
	"55":     domain.KindUnavailable,   // locked
	Canceled: domain.KindDeadline,      // statement timeout, or our cancelling
	Ending:   domain.KindUnavailable,   // shut down, starting up
	"58":     domain.KindUnavailable,   // the server's disk or system
	"F0":     domain.KindUnavailable,   // its configuration
	"XX001":  domain.KindCorrupt,       // its data
	"XX002":  domain.KindCorrupt,       // its indexes
}

// Kind is the kind of a SQLSTATE; internal if the statement itself was wrong.
func Kind(state string) domain.Kind {
	for n := len(state); n >= 2; n-- {
		if kind, ok := kinds[state[:n]]; ok {
			return kind
		}
	}
	return domain.KindInternal
}

// Of is the SQLSTATE in err, "" if the server did not refuse.
func Of(err error) string {
	var refused *pgconn.PgError
	if errors.As(err, &refused) {
		return refused.Code
	}
	return ""
}

// Gone reports whether a table or its schema is not there (any more).
func Gone(state string) bool { return state == NoTable || state == NoSchema }

// Cut reports whether the connection was lost, while the caller still waits: what only reads, or means
// the same when done twice, may be tried again, on another one. Connections of a pool die unseen when
// their server is restarted.
func Cut(ctx context.Context, err error) bool {
	return err != nil && ctx.Err() == nil && Of(err) == "" && domain.KindOf(err) == domain.KindInternal
}

// Translate turns what pgx says into an error of ours. ctx is the caller's: when it ended, that is why.
// An error of ours stays as it is.
func Translate(ctx context.Context, op, subject string, err error) error {
	if err == nil {
		return nil
	}
	var ours *domain.Error
	if errors.As(err, &ours) {
		return err
	}
	state := Of(err)
	switch kind := Kind(state); {
	case ctx.Err() != nil && (state == "" || state == Canceled):
		if errors.Is(ctx.Err(), context.DeadlineExceeded) {
			return domain.Wrap(domain.KindDeadline, op, subject, Plain(err))
		}
		return domain.Wrap(domain.KindCanceled, op, subject, Plain(err))
	case state == "":
		return domain.Wrap(domain.KindUnavailable, op, subject, Plain(err))
	default:
		return domain.Wrap(kind, op, subject, Plain(err))
	}
}

// Plain leaves out what a server's message may quote of a row.
func Plain(err error) error {
	var refused *pgconn.PgError
	if !errors.As(err, &refused) {
		return err
	}
	message := refused.Message
	if strings.HasPrefix(refused.Code, "22") {
		message = "the database refuses a value"
	}
	return &serverError{state: refused.Code, message: message, cause: err}
}

// serverError is what the server said, without its details: they quote rows.
type serverError struct {
	state, message string
	cause          error
}

func (e *serverError) Error() string { return e.message + " (SQLSTATE " + e.state + ")" }
func (e *serverError) Unwrap() error { return e.cause }
