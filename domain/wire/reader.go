package wire

import (
	"errors"
	"fmt"
	"time"

	"quipu/domain"
	"quipu/domain/rawjson"
	"quipu/domain/run"
)

// nestingMax is how deep a stored event may nest. What comes in is bounded far lower, by
// domain.JSONDepthMax; this one keeps damaged bytes from eating the stack.
const nestingMax = 10_000

// reader reads the fields of stored events. Values share the memory of the event's bytes, which
// nobody ever writes to.
//
// A fault names the field and the place. What encoding/json would let pass and nobody ever wrote is a
// fault too: a key in another spelling or twice, null for anything but a payload, a text that is not
// UTF-8. Fields that are absent are zero; a payload is then null.
type reader struct{ rawjson.Reader }

func (r *reader) reset(data []byte) { r.Reset(data, nestingMax) }

// done ends a reading: nil, or ErrCorrupt about what was to be read.
func (r *reader) done(op, subject string) error {
	err := r.End()
	if err == nil {
		return nil
	}
	var syntax *rawjson.SyntaxError
	if !errors.As(err, &syntax) {
		return domain.Wrap(domain.KindCorrupt, op, subject, err)
	}
	message := fmt.Sprintf("%s at byte %d", syntax.Reason, syntax.Offset)
	return domain.E(domain.KindCorrupt, op, subject, message).WithField(syntax.Pointer)
}

func (r *reader) instant() time.Time {
	content := r.Content()
	at, ok := parseInstant(content)
	if !ok {
		r.Fail("expected an instant such as " + domain.TimeLayout)
		return time.Time{}
	}
	return at
}

// parseInstant reads domain.TimeLayout. What it does not recognise at a glance, such as the end of
// February, is left to the time package: it is some four times slower.
func parseInstant(b []byte) (time.Time, bool) {
	if len(b) == len(domain.TimeLayout) && b[4] == '-' && b[7] == '-' && b[10] == 'T' && b[13] == ':' && b[16] == ':' && b[19] == '.' && b[23] == 'Z' {
		bad := false
		number := func(from, to int) (n int) {
			for _, c := range b[from:to] {
				bad = bad || c < '0' || c > '9'
				n = n*10 + int(c-'0')
			}
			return n
		}
		year, month, day := number(0, 4), number(5, 7), number(8, 10)
		hour, minute, second, ms := number(11, 13), number(14, 16), number(17, 19), number(20, 23)
		if !bad && month >= 1 && month <= 12 && day >= 1 && day <= shortest[month] && hour < 24 && minute < 60 && second < 60 {
			return time.Date(year, time.Month(month), day, hour, minute, second, ms*int(time.Millisecond), time.UTC), true
		}
	}
	at, err := time.Parse(domain.TimeLayout, string(b))
	return at, err == nil
}

// shortest is how many days each month has in every year.
var shortest = [...]int{0, 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31}

func (r *reader) duration() time.Duration {
	d, err := time.ParseDuration(r.Text())
	if err != nil {
		r.Fail("expected a duration such as 1.5s")
		return 0
	}
	return d
}

var null = []byte("null")

func (r *reader) value() domain.Value {
	v := domain.Value{JSON: null}
	for r.Object(); r.Next(); {
		switch string(r.Key()) {
		case "json":
			v.JSON = r.Raw()
		case "holes":
			for r.Array(); r.Item(); {
				v.Holes = append(v.Holes, r.hole())
			}
		default:
			r.Unknown()
		}
	}
	return v
}

func (r *reader) hole() (h domain.Hole) {
	for r.Object(); r.Next(); {
		switch string(r.Key()) {
		case "at":
			h.At = r.Text()
		case "sealed":
			h.Sealed = r.Text()
		case "fp":
			h.FP = r.Text()
		case "blob":
			h.Blob = r.Text()
		case "bytes":
			h.Bytes = r.Int64()
		default:
			r.Unknown()
		}
	}
	return h
}

func (r *reader) secrets() (out []domain.Secret) {
	for r.Array(); r.Item(); {
		var s domain.Secret
		for r.Object(); r.Next(); {
			switch string(r.Key()) {
			case "id":
				s.ID = r.Text()
			case "fp":
				s.FP = r.Text()
			case "ciphertext":
				s.Ciphertext = r.Text()
			case "blob":
				s.Blob = r.Text()
			case "bytes":
				s.Bytes = r.Int64()
			default:
				r.Unknown()
			}
		}
		out = append(out, s)
	}
	return out
}

func (r *reader) errorInfo() (e run.ErrorInfo) {
	for r.Object(); r.Next(); {
		switch string(r.Key()) {
		case "type":
			e.Type = r.Text()
		case "code":
			e.Code = r.Text()
		case "message":
			e.Message = r.Text()
		case "details":
			e.Details = r.value()
		default:
			r.Unknown()
		}
	}
	return e
}

func (r *reader) gates() (out []run.GateResult) {
	for r.Array(); r.Item(); {
		var g run.GateResult
		for r.Object(); r.Next(); {
			switch string(r.Key()) {
			case "edge":
				g.Edge = r.Int()
			case "holds":
				g.Holds = r.Bool()
			default:
				r.Unknown()
			}
		}
		out = append(out, g)
	}
	return out
}
