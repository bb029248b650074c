package orchestrator

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"time"

	"quipu/domain"
	"quipu/domain/rawjson"
	"quipu/domain/wire"
	"quipu/readapi/object"
)

// Payloads shows values to clients.
type Payloads interface {
	// Render returns v as JSON with its holes filled: secrets by their mask, blobs by their
	// content, or by a link if one is larger than inlineMax bytes. executionID names the run v
	// belongs to. What it returns is not written to.
	Render(ctx context.Context, executionID string, v domain.Value, inlineMax int) ([]byte, error)
}

// InlineBytesMaxDefault bounds the payload bytes of one event.
const InlineBytesMaxDefault = 64 << 10

// Options of a Renderer. The zero value means the defaults.
type Options struct {
	// LogID is the log that positions belong to.
	LogID domain.LogID
	// InlineBytesMax is the largest blob shown in an event; above it stands a link. Default 64 KiB.
	InlineBytesMax int
}

// Renderer renders events. It has no state; safe for concurrent use.
type Renderer struct {
	payloads Payloads
	options  Options
}

// New makes a Renderer. It panics without payloads.
func New(payloads Payloads, options Options) *Renderer {
	if payloads == nil {
		panic("orchestrator: New needs payloads")
	}
	if options.InlineBytesMax == 0 {
		options.InlineBytesMax = InlineBytesMaxDefault
	}
	return &Renderer{payloads: payloads, options: options}
}

// Event is an event and what is known of it from elsewhere.
type Event struct {
	*domain.Recorded
	ExecutionID string // of the run it is of, "" if of none
	WorkflowID  string // of that run, or of the stored workflow it is about; "" if none
	// NodeType is the type of the task it is about, which most events do not say; "" if not known.
	NodeType string
}

// Append appends the frame of e: {event_type, data, timestamp, offset, position, id}. What cannot be
// decoded gives a frame, too: of its own name without fields if a newer version wrote it, else of
// type Unreadable.
// Errors: those of Payloads that may pass; what is missing or damaged for good shows as
// {"unreadable":true}.
func (n *Renderer) Append(ctx context.Context, dst []byte, e Event) ([]byte, error) {
	return n.append(ctx, dst, e, false)
}

// AppendAudited appends the frame with one more member, `audit`: what the event's hash covers and who
// caused it.
func (n *Renderer) AppendAudited(ctx context.Context, dst []byte, e Event) ([]byte, error) {
	return n.append(ctx, dst, e, true)
}

func (n *Renderer) append(ctx context.Context, dst []byte, e Event, audited bool) ([]byte, error) {
	at, metaErr := wire.DecodeAt(e.Metadata)
	if metaErr == nil {
		metaErr = rawjson.Check(e.Metadata, domain.JSONDepthMax)
	}
	decoded, err := decode(e.Recorded)
	name := Name(e.Type)
	if !unknown(err) && (metaErr != nil || err != nil) {
		name = Unreadable
	}
	f := &frame{Builder: object.New(dst), renderer: n, ctx: ctx, event: e, at: at}
	f.Str("event_type", name)
	f.Open("data")
	f.common()
	switch {
	case name == Unreadable:
		f.Str("stored_type", e.Type)
	case err == nil:
		f.details(decoded)
	}
	f.Close()
	f.Seconds("timestamp", f.at)
	f.Int("offset", int64(e.Revision))
	f.Position("position", n.options.LogID, e.Position)
	f.Str("id", e.ID.String())
	if audited {
		f.audit(metaErr == nil)
	}
	if f.err != nil {
		return nil, f.err
	}
	return f.Done(), nil
}

// frame is one rendering; the first error sticks.
type frame struct {
	*object.Builder
	renderer *Renderer
	ctx      context.Context // of one call of Append; this value does not outlive it
	event    Event
	at       time.Time
	err      error
}

// common writes what the data of every event begins with.
func (f *frame) common() {
	f.StrOrNull("workflow_id", f.event.WorkflowID)
	f.StrOrNull("execution_id", f.event.ExecutionID)
	f.Time("timestamp", f.at)
}

// auditFields are the keys of metadata that are shown, under their names here. The instant is shown
// elsewhere.
var auditFields = []struct{ stored, shown string }{
	{"actor", "actor"},
	{"command_id", "command_id"},
	{"$correlationId", "correlation_id"},
	{"$causationId", "causation_id"},
	{"traceparent", "traceparent"},
	{"prev", "prev_hash"},
	{"data_sha256", "data_sha256"},
}

// audit writes who and what caused the event, and its place in the chain of hashes. The metadata's own
// bytes are passed on: decoding them would take most of the time of a frame.
func (f *frame) audit(readable bool) {
	f.Open("audit")
	f.Str("stream", string(f.event.Stream))
	f.Str("type", f.event.Type)
	f.Str("hash", f.event.Hash().String())
	if readable {
		members := rawjson.Members(f.event.Metadata)
		for _, field := range auditFields {
			i := slices.IndexFunc(members, func(m rawjson.Member) bool { return m.Key == field.stored })
			if i < 0 {
				f.Null(field.shown)
				continue
			}
			f.Raw(field.shown, members[i].Value)
		}
	}
	f.Close()
}

// value writes v, or absent if there is none.
func (f *frame) value(k string, v domain.Value, absent string) {
	f.Key(k)
	if v.Absent() || f.err != nil {
		f.B = append(f.B, absent...)
		return
	}
	b, err := f.renderer.payloads.Render(f.ctx, f.event.ExecutionID, v, f.renderer.options.InlineBytesMax)
	if errors.Is(err, domain.ErrCorrupt) || errors.Is(err, domain.ErrNotFound) {
		b, err = []byte(`{"unreadable":true}`), nil
	}
	if err != nil {
		f.err, b = err, []byte(absent)
	}
	f.B = append(f.B, b...)
}

// link writes where the whole can be read.
func (f *frame) link(k, href string) {
	f.Open(k)
	f.Str("href", href)
	f.Close()
}

func (f *frame) version(k string, v int) {
	if v == 0 {
		f.Null(k)
		return
	}
	f.Key(k)
	f.B = strconv.AppendInt(f.B, int64(v), 10)
}

func unknown(err error) bool {
	var e *domain.Error
	return errors.As(err, &e) && e.Code == "UNKNOWN_EVENT"
}
