package checkpoints

import (
	"context"
	"errors"

	"github.com/jackc/pgx/v5/pgconn"

	"quipu/domain"
)

// missing reports whether the table, or its schema, is not there (any more).
func missing(err error) bool {
	e, ok := errors.AsType[*pgconn.PgError](err)
	return ok && (e.Code == "42P01" || e.Code == "3F000")
}

// translate turns what the database says into what the caller may do: everything here may be repeated,
// since a Save that succeeded succeeds again.
func translate(ctx context.Context, op, name string, err error) error {
	if _, ok := errors.AsType[*domain.Error](err); ok {
		return err
	}
	kind := domain.KindUnavailable
	e, fromServer := errors.AsType[*pgconn.PgError](err)
	switch {
	case fromServer:
		// Without the statement and its values.
		err = errors.New(e.Message + " (SQLSTATE " + e.Code + ")")
	case pgconn.SafeToRetry(err):
	case ctx.Err() != nil, !errors.As(err, new(*pgconn.ConnectError)):
		kind = domain.KindIndeterminate
	}
	if c, ok := errors.AsType[*pgconn.ConnectError](err); ok {
		err = errors.New("connect: " + c.Unwrap().Error()) // its own text holds user and database
	}
	return domain.Wrap(kind, op, name, err)
}
