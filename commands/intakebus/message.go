package intakebus

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"strconv"
	"strings"

	"quipu/domain"
	"quipu/domain/rawjson"
	"quipu/domain/wire"
)

// The bounds of a message.
const (
	// MessageBytesMax is the largest message.
	MessageBytesMax = 4 << 20
	// IDBytesMax is the longest id, and the longest source, of a message.
	IDBytesMax = 255
)

// TypePrefix begins the type of a CloudEvent that is a command; the command's name follows.
const TypePrefix = "quipu.command."

// HeaderID is the header in which NATS carries a message's id.
const HeaderID = "Nats-Msg-Id"

// headerTrace carries a W3C trace context.
const headerTrace = "traceparent"

// message is what both forms say: a CloudEvent whose type is TypePrefix and the command and whose data are
// its members, or the members themselves beside "command", with the id in the header.
type message struct {
	id, source string
	command    string
	body       []byte // a JSON object; of a bare message the whole of it
	trace      string
}

func refuse(kind domain.Kind, code, field, text string) error {
	return domain.E(kind, "", "", text).WithField(field).WithCode(code)
}

// read takes a message apart. Errors: ErrInvalid, ErrUnprocessable.
func read(id string, header map[string]string, body []byte) (message, error) {
	m := message{id: id, trace: wire.Traceparent(get(header, headerTrace))}
	if err := checkJSON(body); err != nil {
		return m, err
	}
	m.body = body
	if _, event := rawjson.Get(body, "/specversion"); event {
		if err := m.event(body); err != nil {
			return m, err
		}
	} else {
		var err error
		if m.command, err = text(body, "command"); err != nil {
			return m, err
		}
		if m.command == "" {
			return m, refuse(domain.KindUnprocessable, "INVALID_MESSAGE", "/command", "is missing; name one of: "+names)
		}
	}
	for _, s := range []struct{ field, value string }{{"id", m.id}, {"source", m.source}} {
		if len(s.value) > IDBytesMax || !printable(s.value) {
			return m, refuse(domain.KindInvalid, "INVALID_ID", s.field, "must have 1 to 255 printable ASCII characters")
		}
	}
	if m.id == "" {
		return m, refuse(domain.KindInvalid, "ID_MISSING", "id", "is missing; give the header "+HeaderID+", or send a CloudEvent, so that a message that comes twice counts once")
	}
	return m, nil
}

// event reads a CloudEvent of structured mode.
func (m *message) event(body []byte) error {
	fields := map[string]*string{"id": &m.id, "source": &m.source, "type": &m.command}
	for _, name := range []string{"specversion", "id", "source", "type"} {
		value, err := text(body, name)
		switch {
		case err != nil:
			return err
		case value == "":
			return refuse(domain.KindUnprocessable, "INVALID_MESSAGE", "/"+name, "is missing; a CloudEvent has it")
		case name == "specversion" && !strings.HasPrefix(value, "1."):
			return refuse(domain.KindUnprocessable, "INVALID_MESSAGE", "/specversion", "is not 1.0")
		}
		if to := fields[name]; to != nil {
			*to = value
		}
	}
	command, ok := strings.CutPrefix(m.command, TypePrefix)
	if !ok {
		return refuse(domain.KindInvalid, "COMMAND_UNKNOWN", "/type", "does not begin with "+TypePrefix)
	}
	m.command = command
	if trace, err := text(body, headerTrace); err == nil && trace != "" {
		m.trace = wire.Traceparent(trace)
	}
	data, given := rawjson.Get(body, "/data")
	if !given || rawjson.KindOf(data) != rawjson.Object {
		return refuse(domain.KindUnprocessable, "INVALID_MESSAGE", "/data", "must be an object")
	}
	m.body = rawjson.Trim(data)
	return nil
}

func checkJSON(body []byte) error {
	bad := func(text string) error { return refuse(domain.KindInvalid, "INVALID_JSON", "body", text) }
	switch {
	case len(body) > MessageBytesMax:
		return bad("has " + strconv.Itoa(len(body)) + " bytes, at most " + strconv.Itoa(MessageBytesMax) + " are taken")
	case len(rawjson.Trim(body)) == 0:
		return bad("is empty; send a JSON object")
	case bytes.HasPrefix(body, []byte("\xef\xbb\xbf")):
		return bad("begins with a byte order mark; send plain UTF-8 without one")
	}
	err := rawjson.Check(body, domain.JSONDepthMax)
	if syntax, ok := errors.AsType[*rawjson.SyntaxError](err); ok {
		return bad("is not acceptable JSON at byte " + strconv.Itoa(syntax.Offset) + ": " + syntax.Reason)
	}
	if err == nil && rawjson.KindOf(body) != rawjson.Object {
		return bad("must be a JSON object")
	}
	return err
}

// text is a string member of an object, "" if it is missing or null. Errors: ErrUnprocessable.
func text(object []byte, member string) (string, error) {
	raw, given := rawjson.Get(object, "/"+member)
	switch {
	case !given || rawjson.KindOf(raw) == rawjson.Null:
		return "", nil
	case rawjson.KindOf(raw) != rawjson.String:
		return "", refuse(domain.KindUnprocessable, "INVALID_MESSAGE", "/"+member, "must be a string")
	}
	return rawjson.Unquote(rawjson.Trim(raw)), nil
}

func get(header map[string]string, name string) string {
	if v, ok := header[name]; ok {
		return v
	}
	for k, v := range header {
		if strings.EqualFold(k, name) {
			return v
		}
	}
	return ""
}

func printable(s string) bool {
	for i := range len(s) {
		if s[i] < 0x20 || s[i] > 0x7e {
			return false
		}
	}
	return true
}

// key is 64 hex digits that stand for a message wherever and however often it comes.
func key(source, id string) string {
	sum := sha256.Sum256([]byte("bus\x00" + source + "\x00" + id))
	return hex.EncodeToString(sum[:])
}

// RunID is the id of the run that a message starts: it derives from the message's source ("" if it is no
// CloudEvent) and id, so that whoever sends it knows the run's id beforehand.
func RunID(source, id string) string {
	return domain.UUIDv8(sha256.Sum256([]byte("idempotency\x00" + key(source, id)))).String()
}
