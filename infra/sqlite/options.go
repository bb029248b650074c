package sqlite

import (
	"context"
	"errors"
	"fmt"
	"time"

	"quipu/domain"
)

// EventLog is the log, as far as event lists read it.
type EventLog interface {
	// ReadStream returns at most max events of a stream from a revision on, oldest first, and at
	// least one if there is one. Errors: ErrNotFound if the stream does not exist.
	ReadStream(ctx context.Context, stream domain.StreamID, from domain.Revision, max int) ([]domain.Recorded, error)
}

// Options are the settings of Views. The zero value means the defaults.
type Options struct {
	// ReadersMax is how many queries read at once; further ones wait, until their deadline. Default
	// 4, 1..64.
	ReadersMax int
	// SpanPositions is the width of the ranges of positions for which times are kept; a log whose
	// positions are sparse wants wider ones. Default 1,024, at least 2. New generations take it.
	SpanPositions int64
	// CacheBytes is the page cache of the writing connection; each reading one has a quarter.
	// Default 16 MiB, 1 MiB..1 GiB.
	CacheBytes int64
	// WALBytes is how long the write-ahead log grows before its pages are moved into the file.
	// Default 16 MiB, 1 MiB..1 GiB.
	WALBytes int64
	// ReadOnly looks at what another process keeps and changes no row, pointer or file of it. Current
	// then fails with ErrNotFound where it would make a generation; what changes views is ErrRefused.
	ReadOnly bool
	// BusyTimeout is how long a commit waits for another process. Default 5 s.
	BusyTimeout time.Duration
}

func (o Options) withDefaults() Options {
	if o.ReadersMax == 0 {
		o.ReadersMax = 4
	}
	if o.SpanPositions == 0 {
		o.SpanPositions = 1024
	}
	if o.CacheBytes == 0 {
		o.CacheBytes = 16 << 20
	}
	if o.WALBytes == 0 {
		o.WALBytes = 16 << 20
	}
	if o.BusyTimeout == 0 {
		o.BusyTimeout = 5 * time.Second
	}
	return o
}

// Validate names every setting that is out of bounds. Errors: ErrInvalid.
func (o Options) Validate() error {
	o = o.withDefaults()
	var all []error
	check := func(field string, ok bool, text string) {
		if !ok {
			all = append(all, domain.E(domain.KindInvalid, "views", "", text).WithField(field))
		}
	}
	check("ReadersMax", o.ReadersMax >= 1 && o.ReadersMax <= 64, fmt.Sprintf("is %d, must be 1..64", o.ReadersMax))
	check("SpanPositions", o.SpanPositions >= 2, fmt.Sprintf("is %d, must be at least 2", o.SpanPositions))
	for field, n := range map[string]int64{"CacheBytes": o.CacheBytes, "WALBytes": o.WALBytes} {
		check(field, n >= 1<<20 && n <= 1<<30, fmt.Sprintf("is %d, must be 1 MiB..1 GiB", n))
	}
	check("BusyTimeout", o.BusyTimeout > 0, "must be positive")
	return errors.Join(all...)
}
