package readapi

import "time"

// The rule for slow readers: a reader is never dropped while it takes at least 1 KiB a second.
const (
	slowBytesPerSecond = 1 << 10
	slowStart          = 30 * time.Second // a reader that takes nothing at all lasts this long
	slowMax            = 90 * time.Second
)

// credit is how much longer a stalled write may go on. Time spent waiting uses it up, bytes taken
// earn it back. TCP hands over room in lumps of up to a socket buffer, so a window of 30 s would
// drop readers that are fast enough on average; earning by bytes does not.
type credit struct {
	left  time.Duration
	since time.Time
}

// begin marks the start of a write at now.
func (c *credit) begin(now time.Time) { c.since = now }

// took counts n bytes taken up to now, and reports whether the credit still holds.
func (c *credit) took(n int, now time.Time) bool {
	c.left -= now.Sub(c.since)
	c.since = now
	c.left = min(c.left+time.Duration(n)*(time.Second/slowBytesPerSecond), slowMax)
	return c.left > 0
}

// rest gives the full credit again: the reader has everything there was.
func (c *credit) rest() { c.left = max(c.left, slowStart) }
