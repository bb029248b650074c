package eventbus

import (
	"context"
	"fmt"
	"strings"

	"quipu/domain"
)

// Checkpoints keeps, by name, how far consumers of the log have come: everything up to the position,
// itself included, is done and need not be seen again. An adapter is made for one log; what it finds of
// another is an error, since positions of different logs do not compare. One suite
// (eventbus/checkpointstest) runs over every adapter. All methods are safe for concurrent use.
type Checkpoints interface {
	// Load returns the position saved under name, 0 if there is none.
	// Errors: ErrInvalid for a bad name; ErrConflict with code LOG_CHANGED if it is of another log;
	// ErrCorrupt; ErrUnavailable.
	Load(ctx context.Context, name string) (domain.Position, error)

	// Save moves the checkpoint of name from one position to a later one, durably: of several who move
	// it from the same position to different ones, one succeeds. from is what Load or the last
	// Save said, 0 for none yet. A repeat of a Save that succeeded succeeds again.
	// Errors: ErrInvalid for a bad name or to < from (nothing saved); ErrConflict if the checkpoint
	// is neither at from nor at to: somebody else moved it, load it again; with code LOG_CHANGED if it
	// is of another log; ErrCorrupt; ErrUnavailable or ErrIndeterminate: repeat the same Save.
	Save(ctx context.Context, name string, from, to domain.Position) error
}

// CheckpointNameBytesMax is the longest name of a checkpoint.
const CheckpointNameBytesMax = 128

// CodeLogChanged is the code of an error that says that a checkpoint is of another log.
const CodeLogChanged = "LOG_CHANGED"

// CheckCheckpoint reports why a Save, or a Load with to equal to from, cannot be. Adapters call it first.
// Errors: ErrInvalid.
func CheckCheckpoint(name string, from, to domain.Position) error {
	bad := func(message string) error { return domain.E(domain.KindInvalid, "checkpoint", "", message) }
	switch {
	case name == "" || len(name) > CheckpointNameBytesMax:
		return bad(fmt.Sprintf("the name has %d bytes, 1..%d are allowed", len(name), CheckpointNameBytesMax))
	case strings.Trim(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.:/") != "":
		return bad(fmt.Sprintf("the name %q may hold letters, digits and - _ . : / only", name))
	case to < from:
		return bad(fmt.Sprintf("%s cannot go back from %d to %d", name, from, to))
	}
	return nil
}

// CheckpointOfLog is nil if a checkpoint that is of log found is one of log want. Errors: ErrConflict
// with code LOG_CHANGED.
func CheckpointOfLog(name string, found, want domain.LogID) error {
	if found == want {
		return nil
	}
	return domain.E(domain.KindConflict, "checkpoint", name,
		fmt.Sprintf("is of log %s and the log here is %s; if that is meant, remove this checkpoint: all events are then handed on once more, with the same ids", found, want)).
		WithCode(CodeLogChanged)
}

// CheckpointMoved is the ErrConflict of a Save that found the checkpoint somewhere else.
func CheckpointMoved(name string, from, found domain.Position) error {
	return domain.E(domain.KindConflict, "checkpoint", name, fmt.Sprintf("is at %d, not at %d: somebody else moved it", found, from))
}
