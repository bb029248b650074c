package agnt5

import (
	"context"
	"errors"
	"time"

	"quipu/domain"
	"quipu/domain/wire"
	"quipu/readapi/object"
)

// Frame renders e, an event of the run with the id given (without "exec_"). It returns nil for an
// event that is not shown.
//
// Errors: those of the log and of Payloads that may pass; what is missing or damaged for good shows
// as {"unreadable":true}, outputs as a link. An event that cannot be decoded gives a frame with empty
// details: with its canonical name if a newer version wrote it, else of type Unreadable.
func (n *Renderer) Frame(ctx context.Context, executionID string, e *domain.Recorded) (*Frame, error) {
	names := NamesOf(e.Type)
	if names == nil {
		return nil, nil
	}
	f := &frame{Builder: object.Builder{B: append(make([]byte, 0, 256+len(e.Data)), '{')}, renderer: n, ctx: ctx, executionID: executionID, recorded: e}
	at, err := wire.DecodeAt(e.Metadata)
	if err != nil {
		names = []string{Unreadable}
	}
	f.at = at
	decoded, err := wire.DecodeRun(e.Type, e.Data)
	if err != nil && !unknown(err) {
		names = []string{Unreadable}
	}
	if names[0] == Unreadable {
		f.Str("stored_type", e.Type)
	} else if err == nil {
		f.details(decoded)
	}
	if f.err != nil {
		return nil, f.err
	}
	out := &Frame{Task: f.task, Ends: wire.EndsRun(e.Type), Parts: make([]Part, len(names))}
	for i, name := range names {
		out.Parts[i] = Part{Type: name, body: f.part(name, i, len(names))}
	}
	return out, nil
}

func unknown(err error) bool {
	var e *domain.Error
	return errors.As(err, &e) && e.Code == "UNKNOWN_EVENT"
}

// frame is one rendering of an event's details; the first error sticks.
type frame struct {
	object.Builder // details, without its last brace
	renderer       *Renderer
	ctx            context.Context // of one call of Frame; this value does not outlive it
	executionID    string
	recorded       *domain.Recorded
	at             time.Time
	task           string
	err            error
}

// part writes one frame up to prev's number. Parts of one event say the same: clients look at one of
// them.
func (f *frame) part(name string, i, parts int) []byte {
	o := object.New(make([]byte, 0, 320+len(f.B)))
	o.Str("type", name)
	o.Open("data")
	o.Time("timestamp", f.at)
	o.Raw("details", f.Done())
	o.Str("execution_id", IDPrefix+f.executionID)
	o.Int("offset", int64(f.recorded.Revision))
	o.Str("event_id", f.recorded.ID.String())
	o.Str("log", string(f.renderer.options.LogID))
	if parts > 1 {
		o.Int("part", int64(i+1))
		o.Int("parts", int64(parts))
	}
	o.Key("prev")
	return o.B
}

func (f *frame) timeOpt(k string, t time.Time) {
	if !t.IsZero() {
		f.Time(k, t)
	}
}
