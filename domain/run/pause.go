package run

import (
	"fmt"
	"strings"

	"quipu/domain"
)

// asked names what a client asked for with a command; "" for those that a run sends itself, which come
// too late without anybody's fault.
func asked(c Command) string {
	switch c.(type) {
	case Cancel:
		return "cancel run"
	case Pause:
		return "pause run"
	case Resume:
		return "resume run"
	case Signal:
		return "signal run"
	case DecideApproval:
		return "decide approval"
	}
	return ""
}

// reason checks a client's reason.
func (d *decider) reason(op, s string) (string, error) {
	if textSize(s) > reasonBytesMax {
		return "", domain.E(domain.KindUnprocessable, op, d.state.RunID, fmt.Sprintf(
			"is longer than %d bytes; give a shorter reason", reasonBytesMax)).WithField("reason").WithCode("REASON_TOO_LONG")
	}
	return strings.ToValidUTF8(s, "\ufffd"), nil
}

// pause stops what has not begun. A run that is paused already stays so, without an event.
func (d *decider) pause(c Pause) error {
	reason, err := d.reason("pause run", c.Reason)
	if err == nil && !d.state.Paused {
		d.emit(Fact{Event: Paused{Reason: reason}})
	}
	return err
}

// resume goes on. A run that is not paused goes on anyway, without an event.
func (d *decider) resume(c Resume) error {
	reason, err := d.reason("resume run", c.Reason)
	if err == nil && d.state.Paused {
		d.emit(Fact{Event: Resumed{Reason: reason}})
		if !c.Hold {
			d.advance()
		}
	}
	return err
}
