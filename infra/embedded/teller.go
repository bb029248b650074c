package embedded

import "time"

// tellFailedEvery is how often a line tells that nothing can be written: on a full disk every append fails.
const tellFailedEvery = time.Second

// teller writes lines about batches that could not be written. It belongs to the flusher.
type teller struct {
	until  time.Time
	untold int // since the last line
}

// failed tells of each write that may have happened, since it ends the log, and once a second of those that
// did not happen.
func (t *teller) failed(l *Log, err error, undone bool) {
	now := l.opts.Clock()
	if undone && now.Before(t.until) {
		t.untold++
		return
	}
	l.logger.Error("a batch could not be written", "error", err, "nothing_written", undone, "more_since_last_line", t.untold)
	t.until, t.untold = now.Add(tellFailedEvery), 0
}
