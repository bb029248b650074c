package readapi

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

var breakerT0 = time.Date(2026, 11, 22, 7, 0, 0, 0, time.UTC)

// asks is a connect without offset that carries cookie; it reports whether it is shown nothing.
func asks(b *loopBreaker, cookie, run string, at time.Duration) bool {
	r := &request{flow: "flow", run: run}
	b.admit(r, cookie, "", breakerT0.Add(at))
	return r.fresh
}

// ends is the close, without a code, of a socket that was shown the end of a run.
func ends(b *loopBreaker, cookie, run string, at time.Duration) {
	b.keep(&request{flow: "flow", run: run, token: cookie}, breakerT0.Add(at))
}

// Only a connect that comes when the class would come is taken for it: reloads and other tabs see the
// run, and do not cost the class its token.
func TestD3_LoopBreaker_WhenTheClassComesBack(t *testing.T) {
	for _, c := range []struct {
		after time.Duration
		shown bool
	}{{0, true}, {time.Second, true}, {1899 * time.Millisecond, true}, {1900 * time.Millisecond, false}, {2 * time.Second, false}, {5 * time.Second, false}, {5001 * time.Millisecond, true}} {
		b := newLoopBreaker()
		ends(b, "c", "run", 0)
		require.Equal(t, c.shown, !asks(b, "c", "run", c.after), c.after)
	}
	b := newLoopBreaker()
	ends(b, "c", "run", 0)
	require.False(t, asks(b, "c", "run", time.Second), "another tab")
	require.False(t, asks(b, "c", "other", 2*time.Second), "another run")
	require.False(t, asks(b, "d", "run", 2*time.Second), "another browser")
	require.True(t, asks(b, "c", "run", 2*time.Second))
	require.False(t, asks(b, "c", "run", 2*time.Second), "once")
}

// Tabs that saw one run end come back together; each uses up a token of its own, the youngest first, so
// that what a closed tab left behind passes by itself.
func TestD3_LoopBreaker_CountsTabs(t *testing.T) {
	b := newLoopBreaker()
	ends(b, "c", "run", 0)
	ends(b, "c", "run", 0)
	require.True(t, asks(b, "c", "run", 2*time.Second))
	require.True(t, asks(b, "c", "run", 2*time.Second))
	require.False(t, asks(b, "c", "run", 2*time.Second))

	ends(b, "c", "run", 10*time.Second)                   // then reloaded, before it came back
	ends(b, "c", "run", 11*time.Second)                   // by the page anew
	require.True(t, asks(b, "c", "run", 13*time.Second))  // which comes back
	require.False(t, asks(b, "c", "run", 16*time.Second)) // a reload: the old page's token is too old
	require.Len(t, b.tokens, 1)
	ends(b, "d", "run", 20*time.Second)
	require.Equal(t, 1, b.kept, "what is too old goes when others come")
}

// A page that opens several sockets before it has a cookie gets the same for all.
func TestD3_LoopBreaker_OneCookieForAVisitor(t *testing.T) {
	b := newLoopBreaker()
	welcome := func(visitor string, at time.Duration) string {
		return b.admit(&request{flow: "flow", run: "run"}, "", visitor, breakerT0.Add(at))
	}
	first := welcome("here chrome", 0)
	require.NotEmpty(t, first)
	require.Equal(t, first, welcome("here chrome", 5*time.Second))
	require.NotEqual(t, first, welcome("here firefox", 0))
	require.NotEqual(t, first, welcome("here chrome", 5001*time.Millisecond))
	require.NotEmpty(t, welcome(strings.Repeat("x", 1<<16), 0))
}

// Nothing of it grows without end.
func TestD3_LoopBreaker_Bounds(t *testing.T) {
	b := newLoopBreaker()
	for i := range breakerMax + 100 {
		ends(b, "c", fmt.Sprint("run", i), 0)
		b.welcome(fmt.Sprint("visitor", i), breakerT0)
	}
	require.Equal(t, breakerMax, b.kept)
	require.Len(t, b.tokens, breakerMax)
	require.Len(t, b.visitors, visitorsMax)
	require.NotEmpty(t, b.welcome("one more", breakerT0))
	later := breakerT0.Add(time.Minute)
	for i := range breakerMax {
		b.keep(&request{flow: "flow", run: fmt.Sprint("later", i), token: "c"}, later)
		b.welcome(fmt.Sprint("later", i), later)
	}
	require.Equal(t, breakerMax, b.kept)
	require.True(t, asks(b, "c", "later9999", time.Minute+2*time.Second), "room again once the old have passed")

	b = newLoopBreaker()
	for range breakerTabsMax + 10 {
		ends(b, "c", "run", 0)
	}
	require.Equal(t, breakerTabsMax, b.kept)
}
