package name_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"quipu/domain"
	"quipu/domain/name"
)

// Golden: a changed hash would make every stored name unknown. Computed apart from this code.
func TestStream_Golden(t *testing.T) {
	require.Equal(t, domain.StreamID("name-1c9cd1ab07cde2a1aa6ec099d4de8e6f"), name.Stream("Customer_Support_Pipeline", "ticket_78453"))
	require.Equal(t, "lao-9c78253b28f4685e", name.WorkflowID("Customer_Support_Pipeline"))
}

// The lengths keep ("ab", "c") and ("a", "bc") apart.
func TestStream_PairsDoNotCollide(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.StringOf(rapid.RuneFrom([]rune("ab-/\u00e9")))
		a, b, c, d := text.Draw(t, "a"), text.Draw(t, "b"), text.Draw(t, "c"), text.Draw(t, "d")
		if same := a == c && b == d; same != (name.Stream(a, b) == name.Stream(c, d)) {
			t.Fatalf("%q %q and %q %q", a, b, c, d)
		}
		if err := name.Stream(a, b).Check(); err != nil {
			t.Fatal(err)
		}
	})
}

func TestCheck(t *testing.T) {
	for _, ok := range []string{"a", "My Flow", "run/1", "\u00e9", "Workflows", strings.Repeat("n", domain.NameBytesMax)} {
		require.NoError(t, name.Check(ok, "run"))
		require.NoError(t, name.Check("flow", ok))
	}
	require.NoError(t, name.Check("flow", name.Reserved), "only flow names clash with the route")
	for _, c := range []struct {
		flow, run, field, code string
		kind                   error
	}{
		{"", "r", "flow_name", "INVALID_NAME", domain.ErrUnprocessable},
		{"f", "", "run_name", "INVALID_NAME", domain.ErrUnprocessable},
		{"f\n", "r", "flow_name", "INVALID_NAME", domain.ErrUnprocessable},
		{"f", "\xff", "run_name", "INVALID_NAME", domain.ErrUnprocessable},
		{strings.Repeat("n", domain.NameBytesMax+1), "r", "flow_name", "INVALID_NAME", domain.ErrUnprocessable},
		{name.Reserved, "r", "flow_name", "RESERVED_NAME", domain.ErrInvalid},
	} {
		err := name.Check(c.flow, c.run)
		require.ErrorIs(t, err, c.kind)
		var e *domain.Error
		require.True(t, errors.As(err, &e))
		require.Equal(t, []string{c.field, c.code}, []string{e.Field, e.Code})
	}
}
