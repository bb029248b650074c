package postgres

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/stretchr/testify/require"

	"quipu/domain"
)

func TestTranslate_EachStateHasAKind(t *testing.T) {
	for state, kind := range map[string]domain.Kind{
		"08006": domain.KindUnavailable,   // connection failure
		"08P01": domain.KindUnavailable,   // protocol violation, as poolers say it
		"22001": domain.KindUnprocessable, // too long
		"22021": domain.KindUnprocessable, // not in the encoding
		"22P02": domain.KindUnprocessable, // not of the type
		"23505": domain.KindCorrupt,       // a new row is there already
		"25006": domain.KindUnavailable,   // read-only
		"25P02": domain.KindUnavailable,   // transaction failed before
		"28P01": domain.KindUnavailable,   // password
		"3D000": domain.KindUnavailable,   // database
		"3F000": domain.KindConflict,      // schema of a dropped generation
		"42P01": domain.KindConflict,      // table of one
		"40001": domain.KindUnavailable,   // serialization, after retries
		"40P01": domain.KindUnavailable,   // deadlock, after retries
		"42501": domain.KindUnavailable,   // privilege
		"42601": domain.KindInternal,      // syntax: our bug
		"53100": domain.KindUnavailable,   // disk full
		"53200": domain.KindUnavailable,   // memory
		"53300": domain.KindUnavailable,   // connections
		"54000": domain.KindUnprocessable, // too large for an index
		"55P03": domain.KindUnavailable,   // locked
		"57014": domain.KindDeadline,      // statement timeout
		"57P01": domain.KindUnavailable,   // shut down
		"57P03": domain.KindUnavailable,   // starting
		"58030": domain.KindUnavailable,   // I/O
		"XX000": domain.KindInternal,
		"XX001": domain.KindCorrupt, // data
		"XX002": domain.KindCorrupt, // index
	} {
		err := translate(t.Context(), "read", "views", fmt.Errorf("around: %w", &pgconn.PgError{Code: state, Message: "m", Detail: "Key (id)=(secret)"}))
		require.Equal(t, kind, domain.KindOf(err), state)
		require.NotContains(t, err.Error(), "secret")
	}
}

func TestTranslate_TheCallersContextComesFirst(t *testing.T) {
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	late, cancel := context.WithTimeout(t.Context(), 0)
	defer cancel()
	lost := errors.New("connection reset")
	stopped := &pgconn.PgError{Code: stateCanceled}
	for _, err := range []error{lost, stopped} {
		require.ErrorIs(t, translate(ended, "read", "views", err), domain.ErrCanceled)
		require.ErrorIs(t, translate(late, "read", "views", err), domain.ErrDeadline)
	}
	require.ErrorIs(t, translate(t.Context(), "read", "views", lost), domain.ErrUnavailable)
	require.ErrorIs(t, translate(ended, "read", "views", &pgconn.PgError{Code: "XX001"}), domain.ErrCorrupt, "worth saying all the same")
	require.NoError(t, translate(ended, "read", "views", nil))
	conflict := gone("read")
	require.Equal(t, conflict, translate(ended, "read", "views", conflict))
	require.NotContains(t, translate(t.Context(), "read", "views", &pgconn.PgError{Code: "22P02", Message: `invalid "secret"`}).Error(), "secret")
}

func TestUnsure(t *testing.T) {
	require.True(t, unsure(errors.New("unexpected EOF")))
	require.True(t, unsure(&pgconn.PgError{Severity: "FATAL", Code: "57P01"}))
	require.False(t, unsure(&pgconn.PgError{Severity: "ERROR", Code: "53100"}))
}
