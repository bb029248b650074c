package sqlite

import (
	"context"
	"errors"
	"os"
	"testing"

	"github.com/stretchr/testify/require"
	lib "modernc.org/sqlite/lib"

	"quipu/domain"
)

func TestOutcomes(t *testing.T) {
	for code, kind := range map[int]domain.Kind{
		lib.SQLITE_BUSY:                  domain.KindUnavailable,
		lib.SQLITE_BUSY_SNAPSHOT:         domain.KindUnavailable,
		lib.SQLITE_LOCKED:                domain.KindUnavailable,
		lib.SQLITE_NOMEM:                 domain.KindUnavailable,
		lib.SQLITE_IOERR:                 domain.KindUnavailable,
		lib.SQLITE_IOERR_FSYNC:           domain.KindUnavailable,
		lib.SQLITE_IOERR_WRITE:           domain.KindUnavailable,
		lib.SQLITE_FULL:                  domain.KindUnavailable,
		lib.SQLITE_CANTOPEN:              domain.KindUnavailable,
		lib.SQLITE_READONLY:              domain.KindUnavailable,
		lib.SQLITE_READONLY_DIRECTORY:    domain.KindUnavailable,
		lib.SQLITE_PERM:                  domain.KindUnavailable,
		lib.SQLITE_PROTOCOL:              domain.KindUnavailable,
		lib.SQLITE_CORRUPT:               domain.KindCorrupt,
		lib.SQLITE_CORRUPT_INDEX:         domain.KindCorrupt,
		lib.SQLITE_NOTADB:                domain.KindCorrupt,
		lib.SQLITE_TOOBIG:                domain.KindUnprocessable,
		lib.SQLITE_CONSTRAINT:            domain.KindUnprocessable,
		lib.SQLITE_CONSTRAINT_DATATYPE:   domain.KindUnprocessable,
		lib.SQLITE_CONSTRAINT_PRIMARYKEY: domain.KindUnprocessable,
		lib.SQLITE_MISMATCH:              domain.KindUnprocessable,
		lib.SQLITE_ERROR:                 domain.KindInternal,
		lib.SQLITE_MISUSE:                domain.KindInternal,
		lib.SQLITE_SCHEMA:                domain.KindInternal,
	} {
		require.Equal(t, kind, outcomes[code&0xff].kind, "code %d", code)
	}
	require.Equal(t, "DISK_FULL", outcomes[lib.SQLITE_FULL].code)
}

func TestTranslate(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	late, stop := context.WithTimeout(t.Context(), 0)
	defer stop()
	require.NoError(t, translate(ctx, "op", nil))
	require.ErrorIs(t, translate(ctx, "op", os.ErrClosed), os.ErrClosed)
	require.Equal(t, domain.KindInternal, domain.KindOf(translate(ctx, "op", os.ErrClosed)))
	require.ErrorIs(t, translate(ctx, "op", context.DeadlineExceeded), domain.ErrDeadline)
	require.ErrorIs(t, translate(ctx, "op", context.Canceled), domain.ErrCanceled)
	require.ErrorIs(t, translate(late, "op", errors.New("interrupted")), domain.ErrDeadline)
	cancel()
	require.ErrorIs(t, translate(ctx, "op", errors.New("interrupted")), domain.ErrCanceled)
	known := domain.E(domain.KindNotFound, "a", "b", "c")
	require.Equal(t, error(known), translate(ctx, "op", known), "what has a kind keeps it")
}
