package readapi

import (
	"context"
	"encoding/json"
	"errors"
	"sync/atomic"
	"time"

	"quipu/readapi/object"
)

// laoInbound is what a client's messages leave to be answered. Few answers of each kind wait: a
// client that does not read them cannot make us hoard them.
type laoInbound struct {
	pongs   atomic.Int32 // JSON pings to answer
	refused atomic.Bool  // something was not a JSON object
}

// pongsMax bounds the JSON pongs that wait.
const pongsMax = 16

// answers appends what is to be said to the client's messages. None carries one of LAO's six event
// types (S0-31).
func (i *laoInbound) answers(now time.Time, dst []byte) []byte {
	for range i.pongs.Swap(0) {
		b := append(make([]byte, 0, 80), `{"type":"pong","event_type":"pong","timestamp":`...)
		b = object.AppendSeconds(b, now.UnixMilli())
		dst = appendFrame(dst, opText, append(b, '}'))
	}
	if i.refused.Swap(false) {
		b := append(make([]byte, 0, 160), `{"type":"error","event_type":"error","code":"INVALID_MESSAGE","message":"messages are JSON objects such as {\"type\":\"ping\"}","timestamp":`...)
		b = object.AppendSeconds(b, now.UnixMilli())
		dst = appendFrame(dst, opText, append(b, '}'))
	}
	return dst
}

// Message implements Session. It answers {"type":"ping"}, ignores every other JSON object, and
// refuses the rest.
func (s *laoSession) Message(_ context.Context, _ time.Time, message []byte) {
	var m struct {
		Type string `json:"type"`
	}
	var wrongType *json.UnmarshalTypeError
	switch err := json.Unmarshal(message, &m); {
	case err == nil && m.Type == "ping":
		if s.inbound.pongs.Load() < pongsMax {
			s.inbound.pongs.Add(1)
		}
	case err == nil, errors.As(err, &wrongType) && wrongType.Field != "":
		return
	default:
		s.inbound.refused.Store(true)
	}
	s.notify()
}

// Limited implements Session: LAO has no message for it.
func (s *laoSession) Limited(time.Time) {}
