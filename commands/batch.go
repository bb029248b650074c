package commands

import (
	"context"

	"quipu/domain"
)

// Write is one append among several.
type Write struct {
	Stream   domain.StreamID
	Expected domain.Revision
	Events   []domain.Pending
}

// Batches is what a log may offer beside Log to whoever fills it alone, such as a copy: many appends at
// the price of one, in a given order.
type Batches interface {
	// AppendBatch carries out writes in their order, durably, all or none; nothing comes between them.
	// The result is that of the last one.
	//
	// Shape: as many items, and as many bytes counted by domain.AppendBytes, as BatchBounds says, each
	// as for Log.Append; a stream may have several, each expected behind the one before.
	// Errors: as Log.Append, for the whole; a repeat is not recognised and is ErrConflict.
	AppendBatch(ctx context.Context, writes []Write) (Appended, error)
	// BatchBounds are the most writes, and the most bytes of them, that one batch may hold.
	BatchBounds() (writes, bytes int)
}
