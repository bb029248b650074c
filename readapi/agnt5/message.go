package agnt5

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"

	"quipu/domain"
	"quipu/domain/rawjson"
)

// Bounds of what a message says.
const (
	// ConnectionIDBytesMax bounds connection_id, IdempotencyKeyBytesMax metadata.idempotency_key,
	// ExecutionIDBytesMax execution_id; ours are far shorter.
	ConnectionIDBytesMax   = 128
	IdempotencyKeyBytesMax = 255
	ExecutionIDBytesMax    = 128
	// ReasonBytesMax bounds the reason of a cancellation.
	ReasonBytesMax = 1024
	// offsetMax is the largest whole number that every JSON reader keeps exact.
	offsetMax = 1 << 53
)

// Kind is what a message asks for.
type Kind uint8

// The kinds of messages.
const (
	Start  Kind = iota // {"name", "parameters", "metadata", "connection_id"}
	Resume             // {"type":"resume", "connection_id"?, "execution_id"?, "from"? or "after"?}
	Cancel             // {"type":"cancel", "execution_id", "reason"?}
	Ping               // {"type":"ping"}
)

// Message is a message that a client sent. It shares no memory with the bytes it was read from.
type Message struct {
	Kind           Kind
	Name           string // of the workflow
	Parameters     []byte // checked JSON object as written
	Metadata       []byte // checked JSON object as written, nil if there is none
	ConnectionID   string // "" if the message has none
	IdempotencyKey string // metadata.idempotency_key, "" if there is none
	ExecutionID    string // without "exec_"
	Cursor         Cursor // of a resume
	Reason         string // of a cancellation
}

// Cursor says from where an execution is shown: after the parts of the event at Offset that the
// client has.
type Cursor struct {
	Offset domain.Revision // first wanted
	Part   int             // of that event: parts up to this one are not sent again; 0 sends all
}

// Fault is what is wrong with one field.
type Fault struct{ Field, Message string }

// Refusal is why a message was not followed, as its client is told. It quotes no values.
type Refusal struct {
	Code    string
	Message string
	Faults  []Fault
	// What tells the client which of its messages is meant, as far as that could be read.
	ConnectionID, IdempotencyKey, ExecutionID string
	Dropped                                   int // messages that were not looked at since the last such frame
}

// Error renders code and message.
func (r *Refusal) Error() string { return r.Code + ": " + r.Message }

// Codes of refusals.
const (
	CodeInvalidMessage = "INVALID_MESSAGE" // no JSON object, or a field at fault
	CodeUnknownType    = "UNKNOWN_TYPE"
	CodeRateLimited    = "RATE_LIMITED"
	CodeOverloaded     = "OVERLOADED"
)

// Parse reads a message of at most 64 KiB. Whatever is wrong with its fields is reported together,
// with the refusal's identifying fields filled in as far as they could be read. Members that it does
// not know are passed over.
func Parse(b []byte) (Message, *Refusal) {
	if err := rawjson.Check(b, domain.JSONDepthMax); err != nil {
		var syntax *rawjson.SyntaxError
		reason, at := "is not JSON", ""
		if errors.As(err, &syntax) {
			reason, at = fmt.Sprintf("is not JSON: byte %d: %s", syntax.Offset, syntax.Reason), syntax.Pointer
		}
		return Message{}, invalid([]Fault{{at, reason}})
	}
	if rawjson.KindOf(rawjson.Trim(b)) != rawjson.Object {
		return Message{}, invalid([]Fault{{"", `is not an object; send {"name": "<workflow>", "parameters": {…}}`}})
	}
	p := parser{fields: map[string][]byte{}}
	for _, m := range rawjson.Members(b) {
		p.fields[m.Key] = m.Value
	}
	var m Message
	switch p.kind() {
	case "start":
		m = p.start()
	case "resume":
		m = p.resume()
	case "cancel":
		m = p.cancel()
	case "ping":
		m = Message{Kind: Ping}
	default:
		return m, &Refusal{
			Code: CodeUnknownType, Message: "the type is none of start, resume, cancel and ping; a message without a type starts an execution",
			Faults: []Fault{{"/type", "names no kind of message"}},
		}
	}
	if len(p.faults) == 0 {
		return m, nil
	}
	r := invalid(p.faults)
	r.ConnectionID, r.IdempotencyKey = m.ConnectionID, m.IdempotencyKey
	return m, r
}

func invalid(faults []Fault) *Refusal {
	f := faults[0]
	message := "the message " + f.Message
	if f.Field != "" {
		message = f.Field + " " + f.Message
	}
	if len(faults) > 1 {
		message += fmt.Sprintf(" (and %d more, see errors)", len(faults)-1)
	}
	return &Refusal{Code: CodeInvalidMessage, Message: message, Faults: faults}
}

// parser takes the fields of one message; faults collect.
type parser struct {
	fields map[string][]byte
	faults []Fault
}

func (p *parser) fault(field, format string, args ...any) {
	p.faults = append(p.faults, Fault{field, fmt.Sprintf(format, args...)})
}

// given returns a field that is there and not null.
func (p *parser) given(field string) ([]byte, bool) {
	b, ok := p.fields[field]
	return b, ok && rawjson.KindOf(b) != rawjson.Null
}

// kind is what the message asks for; "" if its type is no string.
func (p *parser) kind() string {
	b, ok := p.given("type")
	if !ok {
		return "start"
	}
	if rawjson.KindOf(b) != rawjson.String {
		return ""
	}
	return rawjson.Unquote(b)
}

func (p *parser) start() Message {
	m := Message{Kind: Start, Parameters: []byte("{}")}
	if b, ok := p.given("name"); !ok {
		p.fault("/name", "is missing; write the name of a workflow")
	} else {
		m.Name = p.text("/name", b, domain.NameBytesMax)
	}
	if b := p.object("parameters"); b != nil {
		m.Parameters = b
	}
	m.ConnectionID = p.optional("connection_id", ConnectionIDBytesMax)
	if m.Metadata = p.object("metadata"); m.Metadata != nil {
		if key, ok := rawjson.Get(m.Metadata, "/idempotency_key"); ok && rawjson.KindOf(key) != rawjson.Null {
			m.IdempotencyKey = p.text("/metadata/idempotency_key", key, IdempotencyKeyBytesMax)
		}
	}
	return m
}

func (p *parser) resume() Message {
	m := Message{Kind: Resume, ConnectionID: p.optional("connection_id", ConnectionIDBytesMax), ExecutionID: p.execution()}
	_, connection := p.given("connection_id")
	_, execution := p.given("execution_id")
	if !connection && !execution {
		p.fault("/connection_id", "is missing; write the connection_id of the executions to go on with, or the execution_id of one")
	}
	from, hasFrom := p.given("from")
	after, hasAfter := p.given("after")
	switch {
	case hasFrom && hasAfter:
		p.fault("/after", "stands beside from; give one of them")
	case hasFrom:
		n, err := strconv.ParseInt(string(from), 10, 64)
		if err != nil || n < 0 || n >= offsetMax {
			p.fault("/from", "is not an offset; write a whole number from 0")
		}
		m.Cursor.Offset = domain.Revision(n)
	case hasAfter:
		var ok bool
		if m.Cursor, ok = parseAfter(after); !ok {
			p.fault("/after", `is not an offset; write a whole number from -1, or "<offset>:<part>"`)
		}
	}
	return m
}

// parseAfter reads n or "n" as all of the event at n, and "n:part" as its parts up to that one.
func parseAfter(b []byte) (Cursor, bool) {
	text := string(b)
	if rawjson.KindOf(b) == rawjson.String {
		text = rawjson.Unquote(b)
	}
	number, part, has := strings.Cut(text, ":")
	n, err := strconv.ParseInt(number, 10, 64)
	if err != nil || n < -1 || n >= offsetMax {
		return Cursor{}, false
	}
	if !has {
		return Cursor{Offset: domain.Revision(n) + 1}, true
	}
	k, err := strconv.Atoi(part)
	if err != nil || k < 1 || n < 0 {
		return Cursor{}, false
	}
	return Cursor{Offset: domain.Revision(n), Part: k}, true
}

func (p *parser) cancel() Message {
	m := Message{Kind: Cancel, ExecutionID: p.execution(), Reason: p.optional("reason", ReasonBytesMax)}
	if _, ok := p.given("execution_id"); !ok {
		p.fault("/execution_id", "is missing; write the execution_id of the frames")
	}
	return m
}

func (p *parser) execution() string {
	b, ok := p.given("execution_id")
	if !ok {
		return ""
	}
	id := strings.TrimPrefix(p.text("/execution_id", b, ExecutionIDBytesMax), IDPrefix)
	if id == "" && len(p.faults) == 0 {
		p.fault("/execution_id", "is empty; write the execution_id of the frames")
	}
	return id
}

func (p *parser) optional(field string, bytesMax int) string {
	b, ok := p.given(field)
	if !ok {
		return ""
	}
	return p.text("/"+field, b, bytesMax)
}

// text reads a string of 1..bytesMax bytes without control characters.
func (p *parser) text(field string, b []byte, bytesMax int) string {
	if rawjson.KindOf(b) != rawjson.String {
		p.fault(field, "is not a string")
		return ""
	}
	s := rawjson.Unquote(b)
	switch {
	case s == "":
		p.fault(field, "is empty")
	case len(s) > bytesMax:
		p.fault(field, "has %d bytes; at most %d are taken", len(s), bytesMax)
	case !utf8.ValidString(s) || strings.ContainsFunc(s, control):
		p.fault(field, "has a control character")
	default:
		return s
	}
	return ""
}

func control(r rune) bool { return r < 0x20 || r >= 0x7f && r < 0xa0 || r == utf8.RuneError }

// object copies a field that must be an object if it is there.
func (p *parser) object(field string) []byte {
	b, ok := p.given(field)
	if !ok {
		return nil
	}
	if rawjson.KindOf(b) != rawjson.Object {
		p.fault("/"+field, "is not an object")
		return nil
	}
	return append([]byte(nil), b...)
}
