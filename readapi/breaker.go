package readapi

import (
	"crypto/rand"
	"sync"
	"time"

	"quipu/domain"
	"quipu/domain/name"
)

// loopBreaker ends the endless loop of LAO's published sample client, which reconnects without an
// offset after its own close and would be shown the finished run again and again (S0-33, S0-35,
// contract D3). A browser carries a random cookie. When the terminal frame was delivered on its
// socket and the client closed without a code (1005; a reload sends 1001), one token is kept for
// cookie and name; one connect without offset between 1 s and 10 s later uses it up and gets no
// replay. Best effort: in memory, per node, bounded.
type loopBreaker struct {
	mu     sync.Mutex
	tokens map[breakerKey]time.Time
}

type breakerKey struct {
	cookie string
	name   domain.StreamID
}

const (
	breakerCookie   = "quipu_ws"
	breakerAfter    = time.Second
	breakerUntil    = 10 * time.Second
	breakerMax      = 10_000 // tokens; beyond it none is kept, and the replay is shown again
	cookieBytesMax  = 64
	breakerSweepMax = 64 // tokens looked at when one is added
)

func newLoopBreaker() *loopBreaker { return &loopBreaker{tokens: map[breakerKey]time.Time{}} }

// admit notes the request's cookie, uses up a token it has, and returns a cookie to set, if any.
func (b *loopBreaker) admit(r *request, cookie string, now time.Time) (set string) {
	if cookie == "" || len(cookie) > cookieBytesMax {
		r.token = rand.Text()
		return r.token
	}
	r.token = string([]byte(cookie)) // the request's buffer is reused
	if r.cursor != cursorNone || r.executionID != "" {
		return ""
	}
	key := breakerKey{cookie: r.token, name: name.Stream(r.flow, r.run)}
	b.mu.Lock()
	defer b.mu.Unlock()
	kept, ok := b.tokens[key]
	if !ok {
		return ""
	}
	delete(b.tokens, key)
	age := now.Sub(kept)
	r.fresh = age >= breakerAfter && age <= breakerUntil
	return ""
}

// keep leaves a token for the socket's cookie.
func (b *loopBreaker) keep(r *request, now time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	looked := 0
	for key, at := range b.tokens {
		if now.Sub(at) > breakerUntil {
			delete(b.tokens, key)
		}
		if looked++; looked == breakerSweepMax {
			break
		}
	}
	if len(b.tokens) < breakerMax {
		b.tokens[breakerKey{cookie: r.token, name: name.Stream(r.flow, r.run)}] = now
	}
}
