package kurrentport

import (
	"encoding/binary"
	"fmt"
	"strconv"
	"strings"

	"github.com/EventStore/EventStore-Client-Go/v4/protos/shared"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/streams"
	"github.com/google/uuid"
	"google.golang.org/grpc/codes"

	"quipu/domain"
)

const (
	keyType        = "type"
	keyContentType = "content-type"
	keyCreated     = "created"

	typeJSON  = "application/json"
	typeOctet = "application/octet-stream"
)

// parseID reads either form of a UUID. Errors: a status INVALID_ARGUMENT.
func parseID(id *shared.UUID, field string) (domain.EventID, error) {
	var out domain.EventID
	switch v := id.GetValue().(type) {
	case *shared.UUID_Structured_:
		binary.BigEndian.PutUint64(out[:8], uint64(v.Structured.GetMostSignificantBits()))
		binary.BigEndian.PutUint64(out[8:], uint64(v.Structured.GetLeastSignificantBits()))
	case *shared.UUID_String_:
		parsed, err := uuid.Parse(v.String_)
		if err != nil {
			return out, refuse(codes.InvalidArgument, field+": is not a UUID")
		}
		out = domain.EventID(parsed)
	}
	if out == (domain.EventID{}) {
		return out, refuse(codes.InvalidArgument, field+": is missing or all zeros")
	}
	return out, nil
}

func structured(id domain.EventID) *shared.UUID {
	return &shared.UUID{Value: &shared.UUID_Structured_{Structured: &shared.UUID_Structured{
		MostSignificantBits:  int64(binary.BigEndian.Uint64(id[:8])),
		LeastSignificantBits: int64(binary.BigEndian.Uint64(id[8:])),
	}}}
}

// parseEvent reads one proposed event. Errors: a status INVALID_ARGUMENT that names it.
func parseEvent(i int, id *shared.UUID, metadata map[string]string, custom, data []byte) (proposed, error) {
	field := func(name string) string { return "event " + strconv.Itoa(i) + ": " + name }
	parsed, err := parseID(id, field("id"))
	if err != nil {
		return proposed{}, err
	}
	typ, content := metadata[keyType], metadata[keyContentType]
	for _, required := range []struct{ key, value string }{{keyType, typ}, {keyContentType, content}} {
		if required.value == "" {
			return proposed{}, refuseWith(codes.InvalidArgument, field("metadata has no "+required.key),
				exceptionMissingMetadata, trailerRequired, keyType+","+keyContentType)
		}
	}
	if len(typ) > domain.EventTypeBytesMax {
		return proposed{}, refuse(codes.InvalidArgument,
			field(fmt.Sprintf("type has %d bytes, at most %d are kept", len(typ), domain.EventTypeBytesMax)))
	}
	return proposed{id: parsed, typ: typ, json: content == typeJSON, custom: custom, data: data}, nil
}

// encoder renders events in the way that one reader asked for.
type encoder struct {
	names     names
	stringIDs bool
}

// response renders e as the content of a read or a subscription.
func (n encoder) response(e *domain.Recorded) *streams.ReadResp {
	json, created, custom := unseal(e)
	content := typeOctet
	if json {
		content = typeJSON
	}
	id := structured(e.ID)
	if n.stringIDs {
		id = &shared.UUID{Value: &shared.UUID_String_{String_: e.ID.String()}}
	}
	return &streams.ReadResp{Content: &streams.ReadResp_Event{Event: &streams.ReadResp_ReadEvent{
		Event: &streams.ReadResp_ReadEvent_RecordedEvent{
			Id:               id,
			StreamIdentifier: &shared.StreamIdentifier{StreamName: []byte(n.names.wire(e.Stream))},
			StreamRevision:   uint64(e.Revision),
			PreparePosition:  uint64(e.Position),
			CommitPosition:   uint64(e.Position),
			Metadata: map[string]string{
				keyType: strings.ToValidUTF8(e.Type, "\uFFFD"), keyCreated: strconv.FormatInt(created, 10), keyContentType: content,
			},
			CustomMetadata: custom,
			Data:           e.Data,
		},
		Position: &streams.ReadResp_ReadEvent_CommitPosition{CommitPosition: uint64(e.Position)},
	}}}
}

func notFound(name []byte) *streams.ReadResp {
	return &streams.ReadResp{Content: &streams.ReadResp_StreamNotFound_{StreamNotFound: &streams.ReadResp_StreamNotFound{
		StreamIdentifier: &shared.StreamIdentifier{StreamName: name},
	}}}
}

func confirmation(id string) *streams.ReadResp {
	return &streams.ReadResp{Content: &streams.ReadResp_Confirmation{
		Confirmation: &streams.ReadResp_SubscriptionConfirmation{SubscriptionId: id},
	}}
}

func checkpoint(p domain.Position) *streams.ReadResp {
	return &streams.ReadResp{Content: &streams.ReadResp_Checkpoint_{
		Checkpoint: &streams.ReadResp_Checkpoint{CommitPosition: uint64(p), PreparePosition: uint64(p)},
	}}
}

func caughtUp() *streams.ReadResp {
	return &streams.ReadResp{Content: &streams.ReadResp_CaughtUp_{CaughtUp: &streams.ReadResp_CaughtUp{}}}
}
