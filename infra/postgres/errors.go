package postgres

import (
	"context"

	"quipu/domain"
	"quipu/infra/postgres/sqlstate"
)

// Conditions that callers within the package look for.
const (
	stateDivision     = sqlstate.Division // what a guard raises: the checkpoint is elsewhere
	stateSerialize    = sqlstate.Serialize
	stateDeadlock     = sqlstate.Deadlock
	stateCanceled     = sqlstate.Canceled
	stateLockNotFound = sqlstate.LockNotFound
	stateOverlap      = sqlstate.Overlap
	stateTableExists  = sqlstate.TableExists
)

// sqlState is the SQLSTATE in err, "" if the server did not refuse.
func sqlState(err error) string { return sqlstate.Of(err) }

// cut reports whether the connection was lost, while the caller still waits: what only reads may be
// tried again.
func cut(ctx context.Context, err error) bool { return sqlstate.Cut(ctx, err) }

// goneState is that of a generation which was dropped, or of a new database.
func goneState(state string) bool { return sqlstate.Gone(state) }

// translate turns what pgx says into an error of ours. ctx is the caller's: when it ended, that is why.
func translate(ctx context.Context, op, subject string, err error) error {
	if goneState(sqlState(err)) && domain.KindOf(err) == domain.KindInternal {
		return gone(op)
	}
	return sqlstate.Translate(ctx, op, subject, err)
}

// plain leaves out what a server's message may quote of a row.
func plain(err error) error { return sqlstate.Plain(err) }

func gone(op string) error {
	return domain.E(domain.KindConflict, op, "views", "the generation was dropped or replaced")
}

func newer(op string) error {
	return domain.E(domain.KindRefused, op, "views",
		"were written by a newer version of the program; start that one, or set another schema").WithCode("VIEWS_NEWER")
}
