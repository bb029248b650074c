package run

import (
	"strings"
	"unicode/utf8"

	"quipu/domain"
	"quipu/domain/rawjson"
)

// What a decision may take. The largest single step (a pure task with the most gates and the largest
// input and output) and the end of the run fit together, so a step that does not fit beside others
// always fits alone: a run never stands still because its next append would be too large.
const (
	// endEventsMax and endBytesMax are kept for the events that end a run.
	endEventsMax = 8
	endBytesMax  = 96 << 10
	// stepBytesMax is up to where further steps are taken.
	stepBytesMax = domain.DecisionBytesMax - endBytesMax
	// valueBytesMax is the most that an input or output takes in an event, its holes included. The
	// JSON itself is at most PayloadInlineBytesMax; beyond that only holes can exceed this.
	valueBytesMax = 160 << 10
	// detailBytesMax bounds the details of calls and errors, which may stand in three events at once.
	detailBytesMax = 80 << 10
	// secretsBytesMax bounds the ciphertexts that one result brings along.
	secretsBytesMax = 128 << 10
	// blobBytesMax is how much one decision hands out as blobs before it takes no further step.
	blobBytesMax = 8 << 20
	// eventBytesFixed covers an event's metadata, field names, ids and instants
	// (TestEventSize_IsNeverTooSmall).
	eventBytesFixed = 1400
	gateBytes       = 32

	errorWordBytesMax = 256
	messageBytesMax   = 4 << 10
	reasonBytesMax    = 4 << 10
)

// eventSize is at least what e takes in an append (domain.EventBytes).
func eventSize(e Event) int {
	n := eventBytesFixed
	switch e := e.(type) {
	case Started:
		n += textSize(e.RunID, e.Source, e.FlowName, e.RunName, e.WorkflowID, e.Endpoint, e.BodySHA256) +
			textSize(e.ConnectionID, e.RetryOf) + valueSize(e.Definition) + valueSize(e.Input) + valueSize(e.Metadata) + valueSize(e.Reused) + secretsSize(e.Secrets)
	case Abandoned:
		n += textSize(e.RunID)
	case TaskStarted:
		n += textSize(e.Task, e.Node, e.Function) + valueSize(e.Input)
	case TaskAttemptStarted:
		n += textSize(e.Task, e.Node)
	case TaskCompleted:
		n += textSize(e.Task) + valueSize(e.Output) + gateBytes*len(e.Gates) + secretsSize(e.Secrets)
	case TaskFailed:
		n += textSize(e.Task) + errorSize(e.Error) + valueSize(e.Partial) + secretsSize(e.Secrets)
	case TaskRetryScheduled:
		n += textSize(e.Task) + errorSize(e.Error) + secretsSize(e.Secrets)
	case TimerSet:
		n += textSize(e.Task)
	case TaskSkipped:
		n += textSize(e.Task)
	case ApprovalRequested:
		n += textSize(e.Task) + valueSize(e.Request)
	case ApprovalDecided:
		n += textSize(e.Task, e.Approver, e.Comment)
	case EventAwaited:
		n += textSize(e.Task, e.Channel)
	case EventReceived:
		n += textSize(e.Task, e.Channel, e.SignalID, e.MessageID)
	case SignalReceived:
		n += textSize(e.SignalID, e.Name) + valueSize(e.Payload) + secretsSize(e.Secrets)
	case Paused:
		n += textSize(e.Reason)
	case Resumed:
		n += textSize(e.Reason)
	case TaskReused:
		n += textSize(e.Task)
	case CallStarted:
		n += textSize(e.Task, e.Function)
	case CallCompleted:
		n += textSize(e.Task, e.Function) + valueSize(e.Details)
	case CallFailed:
		n += textSize(e.Task, e.Function) + errorSize(e.Error) + valueSize(e.Details)
	case Completed:
		n += valueSize(e.Results)
	case Failed:
		n += textSize(e.Task) + errorSize(e.Error) + valueSize(e.Results)
	case Cancelled:
		n += textSize(e.Reason) + valueSize(e.Results)
	}
	return n
}

// textSize is at least what the texts take as JSON strings, quotes aside.
func textSize(texts ...string) int {
	n := 0
	for _, s := range texts {
		n += len(s)
		for i := range len(s) {
			switch c := s[i]; {
			case c < 0x20:
				n += 5
			case c == '"' || c == '\\':
				n++
			}
		}
	}
	return n
}

func valueSize(v domain.Value) int {
	n := len(v.JSON)
	for _, h := range v.Holes {
		n += 64 + len(h.Blob) + textSize(h.At, h.Sealed, h.FP)
	}
	return n
}

func errorSize(e ErrorInfo) int { return textSize(e.Type, e.Code, e.Message) + valueSize(e.Details) }

func secretsSize(list []Secret) int {
	n := 0
	for _, s := range list {
		n += 80 + len(s.Ciphertext) + len(s.Blob) + textSize(s.ID, s.FP)
	}
	return n
}

// clip cuts s to at most max bytes as a JSON string, at a rune, and makes it valid UTF-8.
func clip(s string, max int) string {
	if len(s) <= max && textSize(s) <= max && utf8.ValidString(s) {
		return s
	}
	if len(s) > max {
		s = s[:max]
	}
	s = strings.ToValidUTF8(s, "\ufffd")
	n := 0
	for i, r := range s {
		if n += utf8.RuneLen(r); r < 0x20 || r == '"' || r == '\\' {
			n += textSize(s[i:i+1]) - 1
		}
		if n > max {
			return s[:i]
		}
	}
	return s
}

// tidy cuts the white space around a value and turns "nothing" into null, so that the state after a
// decision equals the state read back.
func tidy(v domain.Value) domain.Value {
	v.JSON = rawjson.Trim(v.JSON)
	if len(v.JSON) == 0 {
		v.JSON = []byte("null")
	}
	return v
}

// small makes an error fit to be stored several times: short texts, small details.
func (d *decider) small(e ErrorInfo) ErrorInfo {
	return ErrorInfo{
		Type: clip(e.Type, errorWordBytesMax), Code: clip(e.Code, errorWordBytesMax), Message: clip(e.Message, messageBytesMax),
		Details: d.detail(e.Details),
	}
}

// detail is v as it may stand beside a call or an error; absent if it is too large even as a blob.
func (d *decider) detail(v domain.Value) domain.Value {
	if v.Absent() {
		return v
	}
	if v = d.inline(v); valueSize(v) > detailBytesMax {
		return domain.Value{}
	}
	return v
}
