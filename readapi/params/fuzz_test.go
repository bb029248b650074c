package params_test

import (
	"testing"
	"time"

	"quipu/readapi/params"
)

// What is read as an instant can be written in RFC 3339 and is then read as the same instant.
func FuzzInstant(f *testing.F) {
	for _, s := range []string{"", "0", "1756806125.043", "253402300799.999999999", "253402300800", "2025-09-02T09:42:05.043Z", "0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59-00:01", "2025-09-02T09:42:05 02:00", ".5", "1.", "-1", "٣"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		at, fault := params.Instant(s)
		if fault != "" {
			return
		}
		written := at.Format(time.RFC3339Nano)
		again, fault := params.Instant(written)
		if fault != "" || !again.Equal(at) {
			t.Fatalf("%q is %s, which is %s (%s)", s, written, again, fault)
		}
		if ceil := params.Ceil(at); ceil.Before(at) || ceil.Sub(at) >= time.Millisecond {
			t.Fatalf("the ceiling of %s is %s", at, ceil)
		}
	})
}
