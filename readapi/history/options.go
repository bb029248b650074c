package history

import (
	"cmp"
	"time"
)

// Defaults of Options.
const (
	FreshWaitDefault       = 2 * time.Second
	ReadTimeoutDefault     = 10 * time.Second
	FoldTimeoutDefault     = 10 * time.Second
	ListsMaxDefault        = 16
	FoldsMaxDefault        = 16
	GateWaitDefault        = time.Second
	WaitersMaxDefault      = 1000
	InlineBytesMaxDefault  = 256 << 10
	ResultsBytesMaxDefault = 4 << 20
	PageBytesMaxDefault    = 4 << 20
)

// Options bound what reading may cost. The zero value means the defaults.
type Options struct {
	// FreshWait is how long a list waits for its view to reach what this node has seen (default 2s,
	// contract D22; below 0: not at all).
	FreshWait time.Duration
	// ReadTimeout bounds one query of a list (default 10s). Beyond it 504.
	ReadTimeout time.Duration
	// FoldTimeout bounds one read by id (default 10s). Beyond it 504.
	FoldTimeout time.Duration
	// ListsMax is how many lists query the views at once (default 16). Others wait for their turn up to
	// GateWait (default 1s), then get 429.
	ListsMax int
	// FoldsMax is how many reads by id fold a stream at once (default 16); beyond it as ListsMax.
	FoldsMax int
	GateWait time.Duration
	// WaitersMax is how many lists wait for their view at once (default 1,000); one more is answered
	// as if its wait were over.
	WaitersMax int
	// InlineBytesMax is the largest blob shown in an answer; above it stands a link (default 256 KiB).
	InlineBytesMax int
	// ResultsBytesMax bounds the outputs and the errors' details in one execution; those beyond are
	// links (default 4 MiB).
	ResultsBytesMax int
	// PageBytesMax ends a page early, with a cursor, once its items take that much (default 4 MiB).
	PageBytesMax int
}

func (o Options) withDefaults() Options {
	o.FreshWait = cmp.Or(o.FreshWait, FreshWaitDefault)
	o.ReadTimeout = cmp.Or(o.ReadTimeout, ReadTimeoutDefault)
	o.FoldTimeout = cmp.Or(o.FoldTimeout, FoldTimeoutDefault)
	o.ListsMax = cmp.Or(o.ListsMax, ListsMaxDefault)
	o.FoldsMax = cmp.Or(o.FoldsMax, FoldsMaxDefault)
	o.GateWait = cmp.Or(o.GateWait, GateWaitDefault)
	o.WaitersMax = cmp.Or(o.WaitersMax, WaitersMaxDefault)
	o.InlineBytesMax = cmp.Or(o.InlineBytesMax, InlineBytesMaxDefault)
	o.ResultsBytesMax = cmp.Or(o.ResultsBytesMax, ResultsBytesMaxDefault)
	o.PageBytesMax = cmp.Or(o.PageBytesMax, PageBytesMaxDefault)
	return o
}
