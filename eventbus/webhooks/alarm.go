package webhooks

import "time"

// alarm is a timer of a Clock. It belongs to one goroutine; rung is ready once it rang.
type alarm struct {
	clock Clock
	rung  chan struct{}
	isSet bool
	undo  func() bool
}

func newAlarm(c Clock) *alarm { return &alarm{clock: c, rung: make(chan struct{}, 1)} }

// set lets it ring after d, unless it is set already.
func (a *alarm) set(d time.Duration) {
	if a.isSet {
		return
	}
	a.isSet = true
	a.undo = a.clock.AfterFunc(d, func() { a.rung <- struct{}{} })
}

// clear is for after it rang.
func (a *alarm) clear() { a.isSet = false }

func (a *alarm) stop() {
	if a.isSet {
		a.undo()
	}
}
