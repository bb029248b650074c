package proctest

import (
	"context"
	"testing"
	"time"
)

// pollEvery is how often a condition is looked at.
const pollEvery = 5 * time.Millisecond

// Eventually waits until ok, looking again and again; after limit the test fails, saying what it
// waited for.
func Eventually(t testing.TB, limit time.Duration, what string, ok func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	if !Until(ctx, ok) {
		t.Fatalf("after %s still not: %s", limit, what)
	}
}

// Until waits until ok or the end of ctx, and reports which came first.
func Until(ctx context.Context, ok func() bool) bool {
	ticker := time.NewTicker(pollEvery)
	defer ticker.Stop()
	for !ok() {
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return false
		}
	}
	return true
}

// Pause waits for d, or less if ctx ends; false then. It is for moments that are meant to be
// random, not for waiting until something has happened.
func Pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
