package params

import (
	"strconv"
	"strings"
	"time"
)

// epochSecondsMax is the last second of the year 9999, the largest that RFC 3339 can say.
const epochSecondsMax = 253402300799

const instantFault = "must be an instant: RFC 3339 such as 2025-09-02T09:42:05.043Z, or epoch seconds such as 1756806125.043"

// Instant reads an instant: RFC 3339, or epoch seconds with up to nine decimals. fault is empty if
// s is one.
func Instant(s string) (_ time.Time, fault string) {
	if t, ok := epoch(s); ok {
		return t, ""
	}
	// "+" in a query is a space unless it was encoded; only an offset can stand there.
	if i := strings.LastIndexByte(s, ' '); i >= len("2006-01-02T15:04:05") {
		s = s[:i] + "+" + s[i+1:]
	}
	t, err := time.Parse(time.RFC3339Nano, s)
	if err != nil || t.Year() < 1 || t.UTC().Year() > 9999 || t.UTC().Year() < 1 {
		return time.Time{}, instantFault
	}
	return t.UTC(), ""
}

func epoch(s string) (time.Time, bool) {
	whole, fraction, _ := strings.Cut(s, ".")
	if len(fraction) > 9 || strings.Trim(whole+fraction, "0123456789") != "" {
		return time.Time{}, false
	}
	seconds, err := strconv.ParseInt(whole, 10, 64)
	if err != nil || seconds > epochSecondsMax {
		return time.Time{}, false
	}
	nanos, err := strconv.ParseInt((fraction + "000000000")[:9], 10, 64)
	if err != nil {
		return time.Time{}, false
	}
	return time.Unix(seconds, nanos).UTC(), true
}

// Ceil is the first instant of stored precision that is not before t: comparing stored instants with
// it is comparing them with t.
func Ceil(t time.Time) time.Time {
	if c := t.Truncate(time.Millisecond); c.Before(t) {
		return c.Add(time.Millisecond)
	}
	return t
}
