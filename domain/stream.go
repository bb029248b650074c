package domain

import (
	"fmt"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// StreamID names the ordered events of one aggregate: "run-<id>", "name-<hash>".
// It never contains a configured store prefix; adapters add and remove that.
type StreamID string

// Check reports why s cannot be a stream id: 1..StreamIDBytesMax bytes of valid UTF-8 without
// control characters.
func (s StreamID) Check() error {
	switch {
	case s == "":
		return E(KindInvalid, "stream id", "", "is empty")
	case len(s) > StreamIDBytesMax:
		return E(KindInvalid, "stream id", "", fmt.Sprintf("has %d bytes, at most %d are allowed", len(s), StreamIDBytesMax))
	case !utf8.ValidString(string(s)):
		return E(KindInvalid, "stream id", "", "is not valid UTF-8")
	case strings.ContainsFunc(string(s), unicode.IsControl):
		return E(KindInvalid, "stream id", "", "contains a control character")
	}
	return nil
}

// ExternalPrefix begins the ids of streams that are not Quipu's own: users keep them in the same log
// through its KurrentDB port. Everything of Quipu leaves them alone, as it does on a KurrentDB that it
// shares with others.
const ExternalPrefix = "ext-"

// External reports whether s is not Quipu's own.
func (s StreamID) External() bool { return strings.HasPrefix(string(s), ExternalPrefix) }

// Revision is the 0-based index of an event in its stream. It is what clients call offset.
type Revision int64

// NoStream is the expected revision of a stream that must not exist yet, and the head revision
// of a stream without events.
const NoStream Revision = -1

// Position is the place of an event in the global order of one log. It only grows; 0 is before
// the first event. Reading after a position is exclusive. Gaps are allowed.
type Position uint64

// LogID identifies one log; positions of different logs do not compare.
type LogID string

// Cursor renders p for clients: "<log id>-<16 hex digits>".
func (p Position) Cursor(log LogID) string {
	return string(log) + "-" + fmt.Sprintf("%016x", uint64(p))
}

// ParseCursor reads what Cursor rendered. Errors: ErrInvalid.
func ParseCursor(s string) (LogID, Position, error) {
	i := strings.LastIndexByte(s, '-')
	if i <= 0 || len(s)-i-1 != 16 {
		return "", 0, E(KindInvalid, "position", "", "is not of the form <log id>-<16 hex digits>")
	}
	n, err := strconv.ParseUint(s[i+1:], 16, 64)
	if err != nil {
		return "", 0, E(KindInvalid, "position", "", "is not of the form <log id>-<16 hex digits>")
	}
	return LogID(s[:i]), Position(n), nil
}
