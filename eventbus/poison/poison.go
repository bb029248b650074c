// Package poison states how events that a target would not take are kept, so that later ones go on.
//
// An entry names an event of the log and says why it was given up; the event itself stays in the log.
// Nothing of a list is lost or removed but by Remove, so that every event was either taken or can be
// seen here and sent again.
package poison

import (
	"context"
	"strings"
	"time"
	"unicode/utf8"

	"quipu/domain"
)

// The bounds of a list.
const (
	// EntriesMax is how many entries one target may have. Beyond it Add refuses, and whoever delivers
	// waits: nothing is dropped.
	EntriesMax = 1000
	// ReasonBytesMax bounds the text of a reason; the rest is cut off.
	ReasonBytesMax = 512
	// TargetBytesMax is the longest name of a target.
	TargetBytesMax = 128
)

// Entry is one event that a target did not take.
type Entry struct {
	Target   string // see CheckTarget
	Position domain.Position
	Stream   domain.StreamID
	Revision domain.Revision
	EventID  string
	Type     string
	Attempts int    // made so far, those of replays included
	Reason   string // of the last failure; holds no secret
	At       time.Time
}

// List keeps the entries of all targets. It is durable: what Add acknowledged outlives the process.
// All methods are safe for concurrent use, by several processes where they share the list.
//
// Errors of all: ErrUnavailable while the list cannot be reached; ErrCorrupt for an entry that cannot be
// read.
type List interface {
	// Add puts an entry on its target's list, in the place of one of the same position.
	// Errors: ErrExhausted with code POISON_LIST_FULL if the target has EntriesMax others; ErrInvalid for
	// a bad target.
	Add(ctx context.Context, e Entry) error
	// Entries returns up to max entries of target after a position (exclusive), by position.
	Entries(ctx context.Context, target string, after domain.Position, max int) ([]Entry, error)
	// Remove takes an entry away; one that is not there is no error.
	Remove(ctx context.Context, target string, at domain.Position) error
	// Count is how many entries a target has.
	Count(ctx context.Context, target string) (int, error)
}

// CheckTarget reports why s cannot name a target: 1..TargetBytesMax lower-case letters, digits, dots,
// dashes and underscores, beginning with a letter or digit. Such a name is a file name, too.
// Errors: ErrInvalid naming the field target.
func CheckTarget(s string) error {
	ok := s != "" && len(s) <= TargetBytesMax && s[0] != '.' && s[0] != '-' && s[0] != '_'
	for i := 0; ok && i < len(s); i++ {
		c := s[i]
		ok = c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || strings.IndexByte(".-_", c) >= 0
	}
	if !ok {
		return domain.E(domain.KindInvalid, "poison list", "", "must have 1 to 128 of a-z, 0-9, dot, dash and underscore, and begin with a letter or digit").WithField("target")
	}
	return nil
}

// Clip cuts a reason to ReasonBytesMax, never within a character.
func Clip(reason string) string {
	reason = strings.ToValidUTF8(reason, "\uFFFD")
	if len(reason) <= ReasonBytesMax {
		return reason
	}
	end := ReasonBytesMax - len("…")
	for end > 0 && !utf8.RuneStart(reason[end]) {
		end--
	}
	return reason[:end] + "…"
}

// Full refuses an entry beyond EntriesMax.
func Full(target string) error {
	return domain.E(domain.KindExhausted, "give up an event of", target,
		"its poison list is full; mend the receiver and replay, or discard entries").WithCode("POISON_LIST_FULL")
}
