package nodetypes

import (
	"encoding/json"
	"time"

	"quipu/commands/node"
	"quipu/domain"
	"quipu/domain/rawjson"
)

// approval waits for somebody's decision (contract C.3): for ever, or for config.timeout_seconds, after
// which the task fails with code APPROVAL_TIMEOUT. Output: {action "approved" or "rejected", approver,
// comment, timestamp}.
//
// Edges with the source handle approve or reject say where the run goes on; where no edge has one, a
// rejection fails the run with code APPROVAL_REJECTED.
func approval() node.Type {
	return node.Type{
		Name:        "approval",
		Title:       "Approval",
		Category:    "Human-in-Loop",
		Description: "Waits until somebody approves or rejects. Edges from its handles approve and reject say where it goes on.",
		Kind:        node.Wait,
		Config: json.RawMessage(`{
  "$schema": "https://json-schema.org/draft/2020-12/schema",
  "type": "object",
  "properties": {
    "name": {"type": "string"},
    "description": {"type": "string", "description": "What is to be decided; message may stand in its place."},
    "message": {"type": "string", "description": "What is said to those who decide."},
    "title": {"type": "string"},
    "approvers": {"type": "array", "items": {"type": "string"}, "description": "Who is asked."},
    "approver_email": {"type": "string", "description": "Who is asked, if it is one."},
    "channels": {"type": "array", "items": {"type": "string"}, "description": "How they are asked; passed on as it is."},
    "timeout_seconds": {"type": "number", "exclusiveMinimum": 0, "description": "How long it waits, at most 315360000 (10 years); for ever without it."}
  }
}`),
		Output: json.RawMessage(approvalOutput),
		Examples: []node.Example{{
			Title:  "Ask before money leaves",
			Params: json.RawMessage(`{"config":{"name":"refund","description":"Refund 120 EUR to {{ input.customer }}?","approvers":["ops@example.org"],"timeout_seconds":86400}}`),
			Output: json.RawMessage(`{"action":"approved","approver":"ops@example.org","comment":null,"timestamp":"2026-01-02T03:04:05.678Z"}`),
		}},
		Check: func(params json.RawMessage) []node.Fault {
			r := reader{params: params}
			r.approval(time.Time{})
			return r.faults
		},
		Await: func(call node.Call, at time.Time) (node.Awaiting, error) {
			r := reader{params: call.Params, resolved: true}
			w := r.approval(at)
			if len(r.faults) > 0 {
				return node.Awaiting{}, configFailure(r.faults[0])
			}
			return w, nil
		},
	}
}

const approvalOutput = `{
  "$schema": "https://json-schema.org/draft/2020-12/schema",
  "type": "object",
  "properties": {
    "action": {"enum": ["approved", "rejected"]},
    "approver": {"type": ["string", "null"], "description": "Who decided, by the client's word."},
    "comment": {"type": ["string", "null"]},
    "timestamp": {"type": "string", "format": "date-time"}
  },
  "required": ["action", "approver", "comment", "timestamp"]
}`

// requestFields are shown to those who decide, in this order.
var requestFields = []string{"title", "description", "message", "approvers", "approver_email", "channels"}

func (r *reader) approval(at time.Time) node.Awaiting {
	if !r.has("/config/description") && !r.has("/config/message") {
		r.fault("/config/description", "is required: say what is to be decided")
	}
	for _, f := range []string{"description", "message", "title", "approver_email"} {
		r.text("/config/" + f)
	}
	var request domain.Object
	for _, f := range requestFields {
		if raw, ok := r.value("/config/" + f); ok {
			request.Add(f, domain.Raw(raw))
		}
	}
	return node.Awaiting{Request: request.Value().JSON, Due: r.waitEnds("/config/timeout_seconds", at)}
}

// waitEnds is when a wait that begins at the given instant has lasted too long; zero for never.
func (r *reader) waitEnds(pointer string, at time.Time) time.Time {
	if _, ok := r.value(pointer); !ok {
		return time.Time{}
	}
	d := r.seconds(pointer)
	if d == 0 && len(r.faults) == 0 {
		r.fault(pointer, "must be above 0; leave it out to wait for ever")
	}
	return at.Add(d)
}

// approvalBlock is LAO's approval (contract A.3): its params say who is asked, at their top level.
func approvalBlock() node.Type {
	t := approval()
	t.Name, t.Title = "approval_block", "Approval block"
	t.Description = "Waits until somebody approves or rejects, as LAO's workflows ask for it. Edges with the condition approve or reject say where it goes on."
	t.Config = nil
	t.Input = json.RawMessage(`{
  "$schema": "https://json-schema.org/draft/2020-12/schema",
  "type": "object",
  "properties": {
    "owner_user_id": {"type": "string"},
    "approvals": {"type": "array", "items": {"type": "object", "properties": {
      "user_id": {"type": "string"}, "user_email": {"type": "string"}, "approval_status": {"type": "string"}
    }}, "description": "Who is asked."},
    "message": {"type": "string", "description": "What is to be decided."}
  }
}`)
	t.Examples = []node.Example{{
		Title:  "Two people are asked",
		Params: json.RawMessage(`{"owner_user_id":"u1","approvals":[{"user_id":"u2","user_email":"ops@example.org","approval_status":"pending"}]}`),
		Output: t.Examples[0].Output,
	}}
	t.Check = func(params json.RawMessage) []node.Fault {
		r := reader{params: params}
		r.approvalBlock(time.Time{})
		return r.faults
	}
	t.Await = func(call node.Call, at time.Time) (node.Awaiting, error) {
		r := reader{params: call.Params, resolved: true}
		w := r.approvalBlock(at)
		if len(r.faults) > 0 {
			return node.Awaiting{}, configFailure(r.faults[0])
		}
		return w, nil
	}
	return t
}

func (r *reader) approvalBlock(at time.Time) node.Awaiting {
	if raw, ok := r.value("/approvals"); ok && rawjson.KindOf(raw) != rawjson.Array {
		r.fault("/approvals", "must be a list such as [{\"user_id\": \"u2\", \"user_email\": \"ops@example.org\"}]")
	}
	var request domain.Object
	for _, m := range rawjson.Members(r.params) {
		if m.Key == "config" || !r.resolved {
			continue
		}
		request.Add(m.Key, domain.Raw(unwrapValue(m.Value)))
	}
	return node.Awaiting{Request: request.Value().JSON, Due: r.waitEnds("/config/timeout_seconds", at)}
}
