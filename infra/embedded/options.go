package embedded

import (
	"fmt"
	"log/slog"
	"time"

	"quipu/domain"
	"quipu/infra/embedded/vfs"
)

// Bounds and defaults of Options.
const (
	SegmentBytesMin     = 4 << 10
	SegmentBytesMax     = 1 << 30
	SegmentBytesDefault = 64 << 20

	BatchAppendsDefault = 1024
	BatchBytesDefault   = 4 << 20

	RecentEventsDefault = 32 << 10
	RecentBytesDefault  = 16 << 20
)

// Options of Open. The zero value means the defaults.
type Options struct {
	// SegmentBytes is the size segments are prepared with; the first ones of a new log are smaller
	// (4 MiB, 16 MiB) so that an empty log opens at once. A batch never spans two segments.
	// Default 64 MiB, SegmentBytesMin..SegmentBytesMax.
	SegmentBytes int64
	// BatchAppendsMax is the most appends one group commit holds. Together with BatchBytesMax it is
	// also the bound of the queue: while one commit is being flushed another fills up to it, and
	// whoever comes after that waits, until its ctx is done. Default 1024.
	BatchAppendsMax int
	// BatchBytesMax is the most bytes of a group commit; one append larger than this goes alone.
	// Default 4 MiB.
	BatchBytesMax int
	// RecentEventsMax and RecentBytesMax bound what is kept in memory of the newest commits, for
	// subscribers that follow and for reads of what was just written. Default 32,768 events, 16 MiB.
	RecentEventsMax int
	RecentBytesMax  int
	// Flushed, if set, is told of every batch that became durable: how many appends, events and
	// bytes it held and how long its write and sync took. It is called by the writer: keep it short.
	Flushed func(appends, events, bytes int, took time.Duration)
	// Logger is told about cut tails, rebuilt indexes and failures. Default: discard.
	Logger *slog.Logger
	// Clock gives the log's own record time. Default time.Now.
	Clock func() time.Time
	// FS is the file access. Default vfs.OS.
	FS vfs.FS
}

func (o Options) withDefaults() Options {
	def := func(p *int, v int) {
		if *p == 0 {
			*p = v
		}
	}
	if o.SegmentBytes == 0 {
		o.SegmentBytes = SegmentBytesDefault
	}
	def(&o.BatchAppendsMax, BatchAppendsDefault)
	def(&o.BatchBytesMax, BatchBytesDefault)
	def(&o.RecentEventsMax, RecentEventsDefault)
	def(&o.RecentBytesMax, RecentBytesDefault)
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Clock == nil {
		o.Clock = time.Now
	}
	if o.FS == nil {
		o.FS = vfs.OS{}
	}
	return o
}

// Validate reports every option out of bounds. Errors: ErrInvalid.
func (o Options) Validate() error {
	var problems []string
	if o.SegmentBytes != 0 && (o.SegmentBytes < SegmentBytesMin || o.SegmentBytes > SegmentBytesMax) {
		problems = append(problems, fmt.Sprintf("SegmentBytes %d is not in %d..%d", o.SegmentBytes, int64(SegmentBytesMin), int64(SegmentBytesMax)))
	}
	for _, c := range []struct {
		name  string
		value int
	}{
		{"BatchAppendsMax", o.BatchAppendsMax}, {"BatchBytesMax", o.BatchBytesMax},
		{"RecentEventsMax", o.RecentEventsMax}, {"RecentBytesMax", o.RecentBytesMax},
	} {
		if c.value < 0 || c.value > 1<<30 {
			problems = append(problems, fmt.Sprintf("%s %d is not in 0..%d", c.name, c.value, 1<<30))
		}
	}
	if len(problems) == 0 {
		return nil
	}
	return domain.E(domain.KindInvalid, "open", "log", fmt.Sprint(problems))
}
