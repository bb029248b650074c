package readapi

import (
	"crypto/rand"
	"slices"
	"sync"
	"time"

	"quipu/domain"
	"quipu/domain/name"
)

// loopBreaker ends the endless loop of LAO's published sample client, which reconnects without an
// offset after its own close and would be shown the finished run again and again (S0-33, S0-35,
// contract D3). A browser carries a random cookie. When the terminal frame was delivered on its
// socket and the client closed without a code (1005; a reload sends 1001), one token is kept for
// cookie and name; one connect without offset between breakerAfter and breakerUntil later uses it up
// and gets no replay. Best effort: in memory, per node, bounded.
//
// Two things that real browsers do, and internal/browsertest shows: several tabs that follow one run
// close and come back at the same moment, so tokens of a key are counted; and a page opens several
// sockets before the first answer has set the cookie, so visitors without one are given the same for
// a moment, or all but the last would come back under another cookie than their token's.
type loopBreaker struct {
	mu       sync.Mutex
	tokens   map[breakerKey][]time.Time // when each was kept, oldest first
	kept     int                        // tokens in all
	visitors map[string]visit
}

type breakerKey struct {
	cookie string
	name   domain.StreamID
}

// visit is the cookie that a visitor without one was given.
type visit struct {
	cookie string
	at     time.Time
}

const (
	breakerCookie = "quipu_ws"
	// The class comes back two seconds after its close, and browsers let a hidden page's timers wait
	// for up to a second more. Whoever comes earlier or later is a reload or another tab, and is shown
	// the run.
	breakerAfter    = 1900 * time.Millisecond
	breakerUntil    = 5 * time.Second
	breakerMax      = 10_000 // tokens; beyond it none is kept, and the replay is shown again
	breakerTabsMax  = 64     // tokens of one key, likewise
	visitFor        = 5 * time.Second
	visitorsMax     = 10_000 // beyond it each socket gets a cookie of its own
	visitorBytesMax = 512    // of what tells visitors apart; what is longer is cut
	cookieBytesMax  = 64
	breakerSweepMax = 64 // entries looked at when one is added
)

func newLoopBreaker() *loopBreaker {
	return &loopBreaker{tokens: map[breakerKey][]time.Time{}, visitors: map[string]visit{}}
}

// admit notes the request's cookie, uses up a token it has, and returns a cookie to set, if any.
// visitor is what is known of who asks without a cookie; neither string is kept.
func (b *loopBreaker) admit(r *request, cookie, visitor string, now time.Time) (set string) {
	if cookie == "" || len(cookie) > cookieBytesMax {
		r.token = b.welcome(visitor, now)
		return r.token
	}
	r.token = string([]byte(cookie)) // the request's buffer is reused
	if r.cursor != cursorNone || r.executionID != "" {
		return ""
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	key := breakerKey{cookie: r.token, name: name.Stream(r.flow, r.run)}
	tokens := b.tokens[key]
	// The youngest that is due: an older one may be of a tab that is gone, and will pass by itself.
	for i, at := range slices.Backward(tokens) {
		if age := now.Sub(at); age >= breakerAfter && age <= breakerUntil {
			r.fresh = true
			b.set(key, slices.Delete(tokens, i, i+1))
			break
		}
	}
	return ""
}

// welcome is the cookie for a visitor without one.
func (b *loopBreaker) welcome(visitor string, now time.Time) string {
	visitor = string([]byte(visitor[:min(len(visitor), visitorBytesMax)]))
	b.mu.Lock()
	defer b.mu.Unlock()
	if v, ok := b.visitors[visitor]; ok && now.Sub(v.at) <= visitFor {
		return v.cookie
	}
	looked := 0
	for who, v := range b.visitors {
		if now.Sub(v.at) > visitFor {
			delete(b.visitors, who)
		}
		if looked++; looked == breakerSweepMax {
			break
		}
	}
	v := visit{cookie: rand.Text(), at: now}
	if len(b.visitors) < visitorsMax {
		b.visitors[visitor] = v
	}
	return v.cookie
}

// keep leaves a token for the socket's cookie.
func (b *loopBreaker) keep(r *request, now time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	looked := 0
	for key, tokens := range b.tokens {
		b.set(key, slices.DeleteFunc(tokens, func(at time.Time) bool { return now.Sub(at) > breakerUntil }))
		if looked++; looked == breakerSweepMax {
			break
		}
	}
	key := breakerKey{cookie: r.token, name: name.Stream(r.flow, r.run)}
	if tokens := b.tokens[key]; b.kept < breakerMax && len(tokens) < breakerTabsMax {
		b.set(key, append(tokens, now))
	}
}

// set stores the tokens of a key, which were its own before. The caller holds mu.
func (b *loopBreaker) set(key breakerKey, tokens []time.Time) {
	b.kept += len(tokens) - len(b.tokens[key])
	if len(tokens) == 0 {
		delete(b.tokens, key)
		return
	}
	b.tokens[key] = tokens
}
