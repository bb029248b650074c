package domain_test

import (
	"errors"
	"strings"
	"testing"

	"quipu/domain"
)

// A cursor that a client sends is the one that was rendered, up to the case of its digits, or is refused by name.
func FuzzParseCursor(f *testing.F) {
	for _, s := range []string{"", "-", "644bdb7e-a5f6-4f73-9fd3-067000e8c6c3-000000000000002a", "l-ffffffffffffffff", "l-FFFFFFFFFFFFFFFF", "-0000000000000000", "l-+00000000000002a", "l-0x0000000000002a", "é-00000000000_002a"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		log, at, err := domain.ParseCursor(s)
		if err != nil {
			var e *domain.Error
			if !errors.As(err, &e) || e.Kind != domain.KindInvalid || e.Field == "" && e.Op == "" {
				t.Fatalf("%q: %#v", s, err)
			}
			return
		}
		if again := at.Cursor(log); !strings.EqualFold(again, s) {
			t.Fatalf("%q is read as %q", s, again)
		}
	})
}
