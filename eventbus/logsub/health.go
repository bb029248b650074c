package logsub

import "sync/atomic"

// What of a subscription has failed and has not worked since, as bits.
const (
	failedRead uint32 = 1 << iota // the log, or the loading of the checkpoint
	failedSave
)

// health tells when all that had failed works again. Its methods may be called from any goroutine.
type health struct {
	failed atomic.Uint32
	well   func()
}

func (h *health) fail(what uint32) { h.failed.Or(what) }

// mend says that something works; it costs nothing while it did before.
func (h *health) mend(what uint32) {
	if h.failed.Load()&what == 0 {
		return
	}
	if before := h.failed.And(^what); before&what != 0 && before&^what == 0 && h.well != nil {
		h.well()
	}
}
