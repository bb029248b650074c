// Package clock is the only place with wall clock, randomness and new ids; the rest of the program
// is handed a System (or clocktest.Virtual) through small interfaces of its own.
package clock

import (
	"crypto/rand"
	mathrand "math/rand/v2"
	"time"

	"github.com/google/uuid"
)

// System is the clock of the machine. Its zero value is ready; it is safe for concurrent use.
type System struct{}

// Now returns the current time in UTC, for instants that are stored or shown.
//
// It has no monotonic reading: the time package drops it when a time is turned to UTC, and a local
// time would be printed wrong by domain.TimeLayout, which ends in a literal Z. For durations take
// the difference of two Monotonic readings.
func (System) Now() time.Time { return time.Now().UTC() }

// processStart is where Monotonic counts from; any fixed reading does.
var processStart = time.Now()

// Monotonic returns a reading that only grows, whatever happens to the wall clock. Readings of
// different processes do not compare.
func (System) Monotonic() time.Duration { return time.Since(processStart) }

// NewID returns a new UUIDv7 in lower case: 36 characters that sort by creation time to the
// millisecond, and strictly within one process.
func (System) NewID() string {
	// NewV7 fails only if the system's randomness does, which crypto/rand turns into a crash
	// since Go 1.24.
	return uuid.Must(uuid.NewV7()).String()
}

// Jitter returns a number in [0, 1), evenly spread, for delays only: it is guessable.
func (System) Jitter() float64 { return mathrand.Float64() }

// Secret fills b with bytes that nobody can guess, for keys.
func (System) Secret(b []byte) {
	_, _ = rand.Read(b) // never fails: it crashes the process instead
}

// AfterFunc calls f on a goroutine of its own once d has passed; d <= 0 means at once. stop
// reports whether it prevented the call; it does not wait for a call under way.
func (System) AfterFunc(d time.Duration, f func()) (stop func() bool) {
	return time.AfterFunc(d, f).Stop
}
