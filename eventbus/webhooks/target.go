package webhooks

import (
	"fmt"
	"net/url"
	"slices"
	"strings"

	"quipu/domain"
	"quipu/eventbus/poison"
)

// TargetsMax is how many webhooks one server has.
const TargetsMax = 100

// Key signs. No way of printing gives it away.
type Key []byte

// String masks the key.
func (Key) String() string { return "***" }

// Format masks every verb.
func (k Key) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(k.String())) }

// Target is one receiver.
type Target struct {
	Name string // see CheckName
	// URL is posted to. It may hold a token, so it is never printed: Place is.
	URL *url.URL
	// Keys sign each delivery, all of them: while a receiver moves from one to the next, both hold.
	Keys []Key
	// Types are the events that are posted: a stored type with its version ("run.completed.v1") or
	// without ("run.completed"), or the start of one and a star ("run.*").
	// None means all.
	Types []string
	// Workflows are the ids of workflows whose events, and whose runs' events, are posted. None means all.
	Workflows []string
	// FromStart posts what the log holds already; otherwise a new target begins with what is recorded
	// after it was first seen. It counts until there is a checkpoint.
	FromStart bool
}

// CheckName reports why a name cannot be a webhook's: what poison.CheckTarget asks for, and no more than
// 64 bytes. Errors: ErrInvalid.
func CheckName(name string) error {
	if err := poison.CheckTarget(name); err != nil || len(name) > 64 {
		return domain.E(domain.KindInvalid, "", "", "must have 1 to 64 of a-z, 0-9, dot, dash and underscore, and begin with a letter or digit").WithField("name")
	}
	return nil
}

// Place is the scheme and host, which may be shown.
func (t *Target) Place() string { return t.URL.Scheme + "://" + t.URL.Host }

// id names the target in checkpoints and poison lists.
func (t *Target) id() string { return "webhooks." + t.Name }

// owned is what the process that delivers is the owner of.
func (t *Target) owned() string { return "relay:webhooks:" + t.Name }

// Streams whose events are posted. Others are either bookkeeping of Quipu's (names, endpoints with the
// digests of their keys) or not Quipu's at all.
var streamPrefixes = []string{"run-", "workflow-", "channel-"}

// wantsType tells by stream and type alone.
func (t *Target) wantsType(e *domain.Recorded) bool {
	if !slices.ContainsFunc(streamPrefixes, func(p string) bool { return strings.HasPrefix(string(e.Stream), p) }) {
		return false
	}
	return len(t.Types) == 0 || slices.ContainsFunc(t.Types, func(want string) bool { return typeMatches(want, e.Type) })
}

func typeMatches(want, have string) bool {
	if start, star := strings.CutSuffix(want, "*"); star {
		return strings.HasPrefix(have, start)
	}
	rest, ok := strings.CutPrefix(have, want)
	return ok && (rest == "" || strings.HasPrefix(rest, ".v"))
}
