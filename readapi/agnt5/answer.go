package agnt5

import (
	"time"

	"quipu/readapi/object"
)

// AppendPong answers a ping. It is no event.
func AppendPong(dst []byte, now time.Time) []byte {
	return appendAnswer(dst, TypePong, now, func(*object.Builder) {})
}

// AppendRefusal says why a message was not followed (contract D13). It is no event.
func AppendRefusal(dst []byte, now time.Time, r *Refusal) []byte {
	return appendAnswer(dst, TypeError, now, func(o *object.Builder) {
		o.Str("code", r.Code)
		o.Str("message", r.Message)
		for _, f := range []struct{ key, value string }{
			{"connection_id", r.ConnectionID}, {"idempotency_key", r.IdempotencyKey}, {"execution_id", shown(r.ExecutionID)},
		} {
			if f.value != "" {
				o.Str(f.key, f.value)
			}
		}
		if r.Dropped > 0 {
			o.Int("dropped", int64(r.Dropped))
		}
		if len(r.Faults) == 0 {
			return
		}
		o.Key("errors")
		o.B = append(o.B, '[')
		for _, f := range r.Faults {
			o.Item()
			o.B = append(o.B, '{')
			o.Str("field", f.Field)
			o.Str("message", f.Message)
			o.Close()
		}
		o.B = append(o.B, ']')
	})
}

func shown(executionID string) string {
	if executionID == "" {
		return ""
	}
	return IDPrefix + executionID
}

func appendAnswer(dst []byte, typ string, now time.Time, details func(*object.Builder)) []byte {
	o := object.New(dst)
	o.Str("type", typ)
	o.Open("data")
	o.Time("timestamp", now)
	o.Open("details")
	details(o)
	o.Close()
	o.Str("execution_id", "")
	o.Close()
	return o.Done()
}
