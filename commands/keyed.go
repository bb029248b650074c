package commands

import (
	"strings"

	"quipu/domain"
)

// keyed is what a command under a client's key led to.
type keyed struct {
	command  string // its id, which stands for the body too
	revision domain.Revision
	position domain.Position
}

// keyPrefix begins the ids of commands under clients' keys: "key:", the key in 64 hex digits, ":", the
// body's digest.
const keyPrefix = "key:"

// keyOf is the part of a command's id that stands for the client's key, "" if there is none.
func keyOf(commandID string) string {
	if !strings.HasPrefix(commandID, keyPrefix) {
		return ""
	}
	return commandID[:strings.LastIndexByte(commandID, ':')+1]
}

// rememberKey adds a command to those that a run holds. The last event of a command counts.
func rememberKey(to map[string]keyed, commandID string, r domain.Revision, p domain.Position) map[string]keyed {
	if to == nil {
		to = map[string]keyed{}
	}
	to[keyOf(commandID)] = keyed{command: commandID, revision: r, position: p}
	return to
}

// remember notes a command that was stored, if it has a key.
func (m *mailbox) remember(commandID string, r domain.Revision, p domain.Position) {
	if keyOf(commandID) != "" {
		m.keyed = rememberKey(m.keyed, commandID, r, p)
	}
}

// check refuses a command whose key stood for another one.
func (k *keyed) check(e *envelope, runID string) error {
	if k.command == e.cause.CommandID {
		return nil
	}
	return KeyReused("command run", runID)
}
