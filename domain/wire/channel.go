package wire

import (
	"quipu/domain"
	"quipu/domain/channel"
)

// ChannelMessage is the stored type of channel.Message.
const ChannelMessage = "channel.message.v1"

// EncodeChannelMessage gives the stored type and bytes.
func EncodeChannelMessage(m channel.Message) (typ string, data []byte) {
	o := newObject(nil)
	o.str("channel", m.Channel)
	o.value("payload", m.Payload)
	secrets(o, m.Secrets)
	return ChannelMessage, o.done()
}

// DecodeChannelMessage reads what EncodeChannelMessage wrote.
// Errors: ErrCorrupt; its Code is UNKNOWN_EVENT if this build does not know the type.
func DecodeChannelMessage(typ string, data []byte) (channel.Message, error) {
	if typ != ChannelMessage {
		return channel.Message{}, domain.E(domain.KindCorrupt, "decode event", typ, "is not a channel event this version knows").WithCode("UNKNOWN_EVENT")
	}
	var r reader
	r.reset(data)
	m := channel.Message{Payload: domain.Value{JSON: null}}
	for r.Object(); r.Next(); {
		switch string(r.Key()) {
		case "channel":
			m.Channel = r.Text()
		case "payload":
			m.Payload = r.value()
		case "secrets":
			m.Secrets = r.secrets()
		default:
			r.Unknown()
		}
	}
	if err := r.done("decode event", typ); err != nil {
		return channel.Message{}, err
	}
	return m, nil
}
