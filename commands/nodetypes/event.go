package nodetypes

import (
	"context"
	"encoding/json"
	"time"

	"quipu/commands/node"
	"quipu/domain"
)

// Publisher records messages of channels.
type Publisher interface {
	// PublishMessage returns the message's id once it is durable. Equal keys are one message.
	PublishMessage(ctx context.Context, channel string, payload json.RawMessage, key string) (messageID string, err error)
}

// event publishes a message on a channel, or waits for one (contract C.3). A channel needs no creation.
//
// Publish sends config.payload, or without one what the task before it gave. Subscribe waits for the
// first message recorded after it began to, or for a signal of that name to its run, which may have come
// before: for ever, or for config.timeout_seconds, after which the task fails with code EVENT_TIMEOUT.
// Output: {operation, channel, message_id}, and of subscribe the message.
func event(d Deps) node.Type {
	return node.Type{
		Name:        "event",
		Title:       "Event",
		Category:    "Integration",
		Description: "Publishes a message on a channel, or waits for one. Channels outlive restarts.",
		Kind:        node.Effect,
		Config: json.RawMessage(`{
  "$schema": "https://json-schema.org/draft/2020-12/schema",
  "type": "object",
  "properties": {
    "name": {"type": "string"},
    "operation": {"enum": ["publish", "subscribe"], "default": "publish"},
    "channel": {"type": "string", "minLength": 1, "maxLength": 512},
    "payload": {"description": "What publish sends; what the task before it gave without one."},
    "timeout_seconds": {"type": "number", "exclusiveMinimum": 0, "description": "How long subscribe waits, at most 315360000 (10 years); for ever without it."}
  },
  "required": ["channel"]
}`),
		Output: json.RawMessage(`{
  "$schema": "https://json-schema.org/draft/2020-12/schema",
  "type": "object",
  "properties": {
    "operation": {"enum": ["publish", "subscribe"]},
    "channel": {"type": "string"},
    "message_id": {"type": "string"},
    "message": {"description": "What came; of subscribe."}
  },
  "required": ["operation", "channel", "message_id"]
}`),
		Examples: []node.Example{
			{
				Title:  "Tell others that an order is paid",
				Params: json.RawMessage(`{"config":{"name":"paid","operation":"publish","channel":"orders/paid","payload":{"order":17}}}`),
				Output: json.RawMessage(`{"operation":"publish","channel":"orders/paid","message_id":"0"}`),
			},
			{
				Title:  "Wait an hour for a payment",
				Params: json.RawMessage(`{"config":{"name":"wait","operation":"subscribe","channel":"orders/paid","timeout_seconds":3600}}`),
				Output: json.RawMessage(`{"operation":"subscribe","channel":"orders/paid","message_id":"0","message":{"order":17}}`),
			},
		},
		Timeout: 10 * time.Second,
		Check: func(params json.RawMessage) []node.Fault {
			r := reader{params: params}
			r.event(time.Time{})
			return r.faults
		},
		// A template in the place of the operation would be known too late: it reads as publish.
		WaitFor: func(params json.RawMessage) bool { return field(params, "/config/operation") == opSubscribe },
		Await: func(call node.Call, at time.Time) (node.Awaiting, error) {
			r := reader{params: call.Params, resolved: true}
			_, w := r.event(at)
			if len(r.faults) > 0 {
				return node.Awaiting{}, configFailure(r.faults[0])
			}
			return w, nil
		},
		Run: d.publish,
	}
}

// The operations of an event.
const (
	opPublish   = "publish"
	opSubscribe = "subscribe"
)

func (r *reader) event(at time.Time) (operation string, w node.Awaiting) {
	operation = r.choice("/config/operation", opPublish, opSubscribe)
	name, ok := r.text("/config/channel")
	switch {
	case !ok && r.resolved, !r.has("/config/channel"):
		r.fault("/config/channel", "is required: name the channel")
	case ok && (name == "" || len(name) > domain.NameBytesMax):
		r.fault("/config/channel", "must have 1 to %d bytes", domain.NameBytesMax)
	}
	return operation, node.Awaiting{Channel: name, Due: r.waitEnds("/config/timeout_seconds", at)}
}

func (d Deps) publish(ctx context.Context, call node.Call) (node.Reply, error) {
	r := reader{params: call.Params, resolved: true}
	_, w := r.event(time.Time{})
	if len(r.faults) > 0 {
		return node.Reply{}, configFailure(r.faults[0])
	}
	if d.Channels == nil {
		return node.Reply{}, node.Failf("ConfigError", "NO_CHANNELS", false, "this server has no channels")
	}
	payload, ok := r.value("/config/payload")
	if !ok {
		payload = json.RawMessage("null")
		for _, u := range call.Upstream {
			if !u.Skipped {
				payload = u.Output
				break
			}
		}
	}
	id, err := d.Channels.PublishMessage(ctx, w.Channel, payload, call.Key)
	if err != nil {
		return node.Reply{}, err
	}
	var o domain.Object
	o.Add("operation", domain.Text(opPublish))
	o.Add("channel", domain.Text(w.Channel))
	o.Add("message_id", domain.Text(id))
	return node.Reply{Output: o.Value().JSON}, nil
}
