package postgres

import (
	"errors"
	"fmt"
	"regexp"
	"time"
)

// Options of the views in Postgres. The zero value is the documented default.
type Options struct {
	// Schema is the registry's; generations are schemas named after it. Several instances can share a
	// database with different ones. Default "quipu_views"; lower-case letters, digits and _, at most 40.
	Schema string

	// ReadersMax bounds the connections that queries use; further queries wait. Default 8. Commits have
	// two connections of their own and housekeeping another two, so that queries cannot starve them.
	ReadersMax int

	// ConnectTimeout bounds each attempt to connect. Default 5 s.
	ConnectTimeout time.Duration
	// ReadTimeout bounds each query: the server ends it then, and it fails with ErrDeadline. It also
	// bounds the wait for a free connection. Default 5 s.
	ReadTimeout time.Duration
	// CommitTimeout bounds a commit; one that takes longer fails with ErrIndeterminate. Default 60 s.
	CommitTimeout time.Duration

	// Notify tells other processes of each commit; see Views.Listen. Default: nobody else reads.
	Notify bool
	// DirectURL names the same database past any pooler in transaction mode, for Listen. Default: the URL
	// of Open.
	DirectURL string

	// CopyEventsMin is from how many events on a commit uses COPY: more round trips, less work for each
	// row. Default 256.
	CopyEventsMin int
	// PartitionWidth is how many positions a partition of the events covers. Default 8,388,608. Where
	// positions have gaps, partitions are made wider, so that they hold about as many events. It counts
	// for generations made afterwards.
	PartitionWidth int64
}

// Bounds of Options.
const (
	ReadersMaxMax     = 500
	CopyEventsMinMin  = 1
	PartitionWidthMin = 1024
	PartitionWidthMax = 1 << 40
)

var schemaName = regexp.MustCompile(`^[a-z_][a-z0-9_]{0,39}$`)

func (o Options) withDefaults() Options {
	if o.Schema == "" {
		o.Schema = "quipu_views"
	}
	if o.ReadersMax == 0 {
		o.ReadersMax = 8
	}
	if o.ConnectTimeout == 0 {
		o.ConnectTimeout = 5 * time.Second
	}
	if o.ReadTimeout == 0 {
		o.ReadTimeout = 5 * time.Second
	}
	if o.CommitTimeout == 0 {
		o.CommitTimeout = 60 * time.Second
	}
	if o.CopyEventsMin == 0 {
		o.CopyEventsMin = 256
	}
	if o.PartitionWidth == 0 {
		o.PartitionWidth = 8 << 20
	}
	return o
}

// Validate reports every field that is out of bounds, by name.
func (o Options) Validate() error {
	o = o.withDefaults()
	var all []error
	check := func(ok bool, format string, args ...any) {
		if !ok {
			all = append(all, fmt.Errorf(format, args...))
		}
	}
	check(schemaName.MatchString(o.Schema), "Schema %.60q: 1 to 40 lower-case letters, digits and _ are allowed, the first no digit", o.Schema)
	check(o.ReadersMax >= 1 && o.ReadersMax <= ReadersMaxMax, "ReadersMax %d: 1 to %d are allowed", o.ReadersMax, ReadersMaxMax)
	check(o.ConnectTimeout > 0, "ConnectTimeout %v: must be positive", o.ConnectTimeout)
	check(o.ReadTimeout >= time.Millisecond, "ReadTimeout %v: at least 1ms", o.ReadTimeout)
	check(o.CommitTimeout >= time.Millisecond, "CommitTimeout %v: at least 1ms", o.CommitTimeout)
	check(o.CopyEventsMin >= CopyEventsMinMin, "CopyEventsMin %d: at least %d", o.CopyEventsMin, CopyEventsMinMin)
	check(o.PartitionWidth >= PartitionWidthMin && o.PartitionWidth <= PartitionWidthMax,
		"PartitionWidth %d: %d to %d are allowed", o.PartitionWidth, PartitionWidthMin, int64(PartitionWidthMax))
	return errors.Join(all...)
}
