package postgres

import (
	"context"
	"errors"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"

	"quipu/domain"
)

// Conditions that callers within the package look for.
const (
	stateDivision     = "22012" // what a guard raises: the checkpoint is elsewhere
	stateNoTable      = "42P01" // of a generation that was dropped, or a new database
	stateNoSchema     = "3F000"
	stateSerialize    = "40001"
	stateDeadlock     = "40P01"
	stateCanceled     = "57014"
	stateLockNotFound = "55P03"
	stateOverlap      = "42P17" // of partitions
	stateTableExists  = "42P07"
)

// sqlStates gives the kind for a SQLSTATE or its class; the longest match counts. What the server's
// owner can mend is unavailable, so that callers try again: they then work without a restart.
var sqlStates = map[string]domain.Kind{
	"08":          domain.KindUnavailable,   // connection
	"22":          domain.KindUnprocessable, // the value
	"23":          domain.KindCorrupt,       // rows contradict each other
	"25":          domain.KindUnavailable,   // read-only: a standby, or set so while it is mended
	"28":          domain.KindUnavailable,   // authentication
	"3D":          domain.KindUnavailable,   // no such database
	stateNoSchema: domain.KindConflict,      // the generation was dropped
	stateNoTable:  domain.KindConflict,      // likewise
	"40":          domain.KindUnavailable,   // rolled back in favour of others
	"42501":       domain.KindUnavailable,   // privileges
	"53":          domain.KindUnavailable,   // out of connections, memory, disk
	"54":          domain.KindUnprocessable, // too large for an index or a row
	"55":          domain.KindUnavailable,   // locked
	stateCanceled: domain.KindDeadline,      // statement timeout, or our cancelling
	"57P":         domain.KindUnavailable,   // shut down, starting up
	"58":          domain.KindUnavailable,   // the server's disk or system
	"F0":          domain.KindUnavailable,   // its configuration
	"XX001":       domain.KindCorrupt,       // its data
	"XX002":       domain.KindCorrupt,       // its indexes
}

// kindOf is the kind of a SQLSTATE; internal if the statement itself was wrong.
func kindOf(state string) domain.Kind {
	for n := len(state); n >= 2; n-- {
		if kind, ok := sqlStates[state[:n]]; ok {
			return kind
		}
	}
	return domain.KindInternal
}

// sqlState is the SQLSTATE in err, "" if the server did not refuse.
func sqlState(err error) string {
	var refused *pgconn.PgError
	if errors.As(err, &refused) {
		return refused.Code
	}
	return ""
}

// cut reports whether the connection was lost, while the caller still waits: what only reads may be
// tried again, on another one. Connections of a pool die unseen when their server is restarted.
func cut(ctx context.Context, err error) bool {
	return err != nil && ctx.Err() == nil && sqlState(err) == "" && domain.KindOf(err) == domain.KindInternal
}

func goneState(state string) bool { return state == stateNoTable || state == stateNoSchema }

// translate turns what pgx says into an error of ours. ctx is the caller's: when it ended, that is why.
func translate(ctx context.Context, op, subject string, err error) error {
	if err == nil {
		return nil
	}
	var ours *domain.Error
	if errors.As(err, &ours) {
		return err
	}
	state := sqlState(err)
	switch kind := kindOf(state); {
	case ctx.Err() != nil && (state == "" || state == stateCanceled):
		if errors.Is(ctx.Err(), context.DeadlineExceeded) {
			return domain.Wrap(domain.KindDeadline, op, subject, plain(err))
		}
		return domain.Wrap(domain.KindCanceled, op, subject, plain(err))
	case state == "":
		return domain.Wrap(domain.KindUnavailable, op, subject, plain(err))
	case goneState(state):
		return gone(op)
	default:
		return domain.Wrap(kind, op, subject, plain(err))
	}
}

// plain leaves out what a server's message may quote of a row.
func plain(err error) error {
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

func gone(op string) error {
	return domain.E(domain.KindConflict, op, "views", "the generation was dropped or replaced")
}

func newer(op string) error {
	return domain.E(domain.KindRefused, op, "views",
		"were written by a newer version of the program; start that one, or set another schema").WithCode("VIEWS_NEWER")
}
