package agnt5

import (
	"context"
	"net/url"
	"strconv"

	"quipu/domain"
	"quipu/readapi/object"
	"quipu/readapi/results"
)

// Payloads shows values to clients.
type Payloads interface {
	// Render returns v as JSON with its holes filled: secrets by their mask, blobs by their content,
	// or by a link if the whole would be larger than inlineMax bytes. executionID names the run v
	// belongs to.
	Render(ctx context.Context, executionID string, v domain.Value, inlineMax int) ([]byte, error)
}

// FrameInlineBytesMaxDefault bounds the payload bytes of one frame.
const FrameInlineBytesMaxDefault = 256 << 10

// FrameOptions of a Renderer. The zero value means the defaults.
type FrameOptions struct {
	// LogID is shown as `log` in every frame.
	LogID domain.LogID
	// FrameInlineBytesMax is the largest value, and the largest output of a workflow as a whole, that
	// stands in a frame; above it stands a link. Default 256 KiB.
	FrameInlineBytesMax int
	// Link gives the JSON object shown in place of outputs that are too large.
	// Default: {"href":"/api/executions/<id>","tasks":<count>}.
	Link func(executionID string, tasks int) []byte
}

// Renderer makes frames. It has no state; safe for concurrent use.
type Renderer struct {
	log      results.Log
	payloads Payloads
	options  FrameOptions
}

// NewRenderer makes a Renderer. It panics without a log or payloads.
func NewRenderer(log results.Log, payloads Payloads, options FrameOptions) *Renderer {
	if log == nil || payloads == nil {
		panic("agnt5: NewRenderer needs a log and payloads")
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
	o := object.New(nil)
	o.Str("href", "/api/executions/"+url.PathEscape(executionID))
	o.Int("tasks", int64(tasks))
	return o.Done()
}

// Frame is one rendered event: one part, or two.
type Frame struct {
	Task  string // of a task's event, else ""
	Ends  bool   // the run has ended with this event
	Parts []Part
}

// Part is one frame without its prev.
type Part struct {
	Type string
	body []byte // up to the place of prev's number
}

// AppendTo appends the part's JSON with prev, the offset of the event of this execution that was sent
// before.
func (p *Part) AppendTo(dst []byte, prev domain.Revision) []byte {
	dst = append(dst, p.body...)
	dst = strconv.AppendInt(dst, int64(prev), 10)
	return append(dst, '}', '}')
}

// Len is the number of bytes that AppendTo appends.
func (p *Part) Len(prev domain.Revision) int {
	n := len(p.body) + 3 // one digit and the braces
	if prev < 0 {
		n++
		prev = -prev
	}
	for ; prev > 9; prev /= 10 {
		n++
	}
	return n
}
