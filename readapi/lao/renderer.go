package lao

import (
	"context"
	"strconv"

	"quipu/domain"
)

// Dialect names this dialect among others, as the key of shared rendered events.
const Dialect = "lao"

// Payloads shows values to clients.
type Payloads interface {
	// Render returns v as JSON with its holes filled: secrets by their mask, blobs by their
	// content, or by a link if the whole would be larger than inlineMax bytes.
	// executionID names the run v belongs to.
	Render(ctx context.Context, executionID string, v domain.Value, inlineMax int) ([]byte, error)
}

// Log is where results are read from.
type Log interface {
	ReadStream(ctx context.Context, stream domain.StreamID, from domain.Revision, max int) ([]domain.Recorded, error)
}

// FrameInlineBytesMaxDefault bounds the payload bytes of one frame.
const FrameInlineBytesMaxDefault = 256 << 10

// Options of a Renderer. The zero value means the defaults.
type Options struct {
	// LogID is shown as `log` in every frame.
	LogID domain.LogID
	// FrameInlineBytesMax is the largest value, and the largest output or partial_results as a
	// whole, that stands in a frame; above it stands a link. Default 256 KiB.
	FrameInlineBytesMax int
	// Link gives the JSON object shown in place of results that are too large.
	// Default: {"link":"/api/executions/<id>","tasks":<count>}.
	Link func(executionID string, tasks int) []byte
}

// Renderer makes frames. It has no state; safe for concurrent use.
type Renderer struct {
	log      Log
	payloads Payloads
	options  Options
}

// New makes a Renderer. It panics without a log or payloads.
func New(log Log, payloads Payloads, options Options) *Renderer {
	if log == nil || payloads == nil {
		panic("lao: New needs a log and payloads")
	}
	if options.FrameInlineBytesMax == 0 {
		options.FrameInlineBytesMax = FrameInlineBytesMaxDefault
	}
	if options.Link == nil {
		options.Link = defaultLink
	}
	return &Renderer{log: log, payloads: payloads, options: options}
}

func defaultLink(executionID string, tasks int) []byte {
	o := begin(nil)
	o.Str("link", "/api/executions/"+executionID)
	o.Int("tasks", int64(tasks))
	return o.Done()
}

// Run is what frames say about the run beside its events.
type Run struct {
	ID       string // without "exec_"
	FlowName string
	RunName  string
}

// Frame is one rendered event without its prev.
type Frame struct {
	Type string // event_type
	Task string // task_name of a task's event, else ""
	Ends bool   // the run has ended with this event
	body []byte // up to the place of prev's number
}

// AppendTo appends the frame's JSON with prev, the offset of the event sent before.
func (f *Frame) AppendTo(dst []byte, prev domain.Revision) []byte {
	dst = append(dst, f.body...)
	dst = strconv.AppendInt(dst, int64(prev), 10)
	return append(dst, '}')
}

// Len is the number of bytes that AppendTo appends.
func (f *Frame) Len(prev domain.Revision) int {
	n := len(f.body) + 2 // one digit and the brace
	if prev < 0 {
		n++
		prev = -prev
	}
	for ; prev > 9; prev /= 10 {
		n++
	}
	return n
}
