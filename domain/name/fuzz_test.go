package name_test

import (
	"errors"
	"testing"

	"quipu/domain"
	"quipu/domain/name"
)

// Whatever two pairs of names are: equal streams mean equal pairs, each stream may be appended to, and a
// refusal says which name.
func FuzzStream(f *testing.F) {
	f.Add("a", "bc", "ab", "c")
	f.Add("", "", "\x00", "")
	f.Add("workflows", "r", "e\u0301", "\u00e9")
	f.Fuzz(func(t *testing.T, flow, run, flow2, run2 string) {
		one, other := name.Stream(flow, run), name.Stream(flow2, run2)
		if (one == other) != (flow == flow2 && run == run2) {
			t.Fatalf("%q/%q and %q/%q: %s, %s", flow, run, flow2, run2, one, other)
		}
		if err := one.Check(); err != nil {
			t.Fatal(err)
		}
		var e *domain.Error
		if err := name.Check(flow, run); err != nil && (!errors.As(err, &e) || e.Field != "flow_name" && e.Field != "run_name") {
			t.Fatalf("%q/%q: %v", flow, run, err)
		}
	})
}
