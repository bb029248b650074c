package domain_test

import (
	"errors"
	"fmt"
	"io"
	"testing"

	"github.com/stretchr/testify/require"

	"quipu/domain"
)

var sentinels = map[domain.Kind]error{
	domain.KindInvalid: domain.ErrInvalid, domain.KindUnprocessable: domain.ErrUnprocessable, domain.KindNotFound: domain.ErrNotFound,
	domain.KindRefused: domain.ErrRefused, domain.KindConflict: domain.ErrConflict, domain.KindExhausted: domain.ErrExhausted,
	domain.KindUnavailable: domain.ErrUnavailable, domain.KindIndeterminate: domain.ErrIndeterminate, domain.KindCanceled: domain.ErrCanceled,
	domain.KindDeadline: domain.ErrDeadline, domain.KindCorrupt: domain.ErrCorrupt,
	domain.KindUnauthenticated: domain.ErrUnauthenticated, domain.KindForbidden: domain.ErrForbidden, domain.KindPrecondition: domain.ErrPrecondition,
}

func TestError_MatchesTheSentinelOfItsKindOnly(t *testing.T) {
	for kind := range sentinels {
		err := fmt.Errorf("outer: %w", domain.Wrap(kind, "op", "subject", io.EOF))
		for other, sentinel := range sentinels {
			require.Equal(t, kind == other, errors.Is(err, sentinel), "%s is %s", kind, other)
		}
		require.Equal(t, kind, domain.KindOf(err))
		require.Equal(t, kind, domain.KindOf(fmt.Errorf("bare: %w", sentinels[kind])))
		require.ErrorIs(t, err, io.EOF)
	}
	require.Equal(t, domain.KindInternal, domain.KindOf(io.EOF))
	require.Equal(t, "unknown", domain.Kind(99).String())
}

func TestError_Text(t *testing.T) {
	require.EqualError(t, domain.E(domain.KindInvalid, "append to", "run-1", "holds no event"), "append to run-1: holds no event")
	require.EqualError(t, domain.E(domain.KindInvalid, "", "", "is empty").WithField("/tasks"), "/tasks: is empty")
	require.EqualError(t, domain.Wrap(domain.KindCorrupt, "decode", "", io.EOF), "decode: EOF")
	require.EqualError(t, &domain.Error{Kind: domain.KindConflict}, "conflict")
}

// A sentinel of a package may be refined in many places at once.
func TestError_WithCopies(t *testing.T) {
	base := domain.E(domain.KindInvalid, "op", "s", "m")
	got := base.WithCode("C").WithField("f").WithDetails(map[string]any{"n": 1})
	require.Equal(t, domain.Error{Kind: domain.KindInvalid, Op: "op", Subject: "s", Message: "m"}, *base)
	require.Equal(t, []any{"C", "f", 1}, []any{got.Code, got.Field, got.Details["n"]})
}
