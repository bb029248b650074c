package history

import (
	"math"
	"testing"
)

// What comes back from a client as a cursor is read, or refused, and never misread.
func FuzzParseCursor(f *testing.F) {
	c := cursor{list: listEvents, ascending: true, filters: hashFilters("a", ""), key: 7, asOf: 1 << 40, log: "0190a0b0-0000-7000-8000-000000000001"}
	f.Add(c.String())
	f.Add(cursor{list: listExecutions}.String())
	for _, s := range []string{"", "AQEB", "=", "AAAA====", "\x00", "éé", c.String()[1:], c.String() + "A"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got, ok := parseCursor(s)
		if ok && got.String() != s {
			t.Fatalf("%q is read as %+v, which is %q", s, got, got.String())
		}
	})
}

// Whatever was signed is read back whole.
func TestCursor_RoundTrip(t *testing.T) {
	for _, c := range []cursor{
		{list: listExecutions, log: "l"},
		{list: listEndpoints, ascending: true, filters: hashFilters("x"), key: math.MaxUint64, asOf: math.MaxUint64, log: "with-hyphens-and-é"},
	} {
		got, ok := parseCursor(c.String())
		if !ok || got != c {
			t.Fatalf("%+v is read as %+v, %v", c, got, ok)
		}
	}
	if hashFilters("a", "b") == hashFilters("ab", "") || hashFilters("a") == hashFilters("a", "") {
		t.Fatal("filters run into each other")
	}
}

// A stray `at` never reaches the log as anything but an offset or an instant.
func FuzzParseUntil(f *testing.F) {
	for _, s := range []string{"", "0", "7", "-1", "2025-09-02T09:42:05.043Z", "9223372036854775807", "99999999999999999999", "T", "1.5"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		u, err := parseUntil(s)
		if err == nil && (u.offset < 0 || u.offset != whole.offset && !u.at.IsZero()) {
			t.Fatalf("%q gives %+v", s, u)
		}
	})
}
