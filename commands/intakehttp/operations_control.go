package intakehttp

import "quipu/apidoc"

type reasonBody struct {
	Reason string `json:"reason,omitempty" nullable:"true" max:"4096" example:"the far side is down"`
}

type retryBody struct {
	From []string `json:"from,omitempty" doc:"Nodes to do again, with everything that follows from them, though they completed." example:"[\"call\"]"`
}

type decisionBody struct {
	NodeID   string `json:"node_id,omitempty" nullable:"true" doc:"The node that waits, if several do." example:"ask"`
	Approver string `json:"approver,omitempty" nullable:"true" doc:"Who decides, by the client's word; who is authenticated is recorded besides." example:"ops@example.org"`
	Comment  string `json:"comment,omitempty" nullable:"true" example:"fine"`
}

type controlled struct {
	ID       string  `json:"id" example:"0192f0c1-7c1e-7000-8000-000000000001"`
	Status   string  `json:"status" enum:"paused,running" doc:"What was asked for."`
	Position *string `json:"position" doc:"Written at; null if it was so already." example:"644bdb7e-a5f6-4f73-9fd3-067000e8c6c3-000000000000002a"`
}

type retried struct {
	ID          string  `json:"id" doc:"Of the new run." example:"0192f0c1-7c1e-7000-8000-000000000002"`
	ExecutionID string  `json:"execution_id" doc:"The same." example:"0192f0c1-7c1e-7000-8000-000000000002"`
	RetryOf     string  `json:"retry_of" example:"0192f0c1-7c1e-7000-8000-000000000001"`
	Status      string  `json:"status" enum:"running"`
	Position    *string `json:"position" example:"644bdb7e-a5f6-4f73-9fd3-067000e8c6c3-000000000000002a"`
}

type signalled struct {
	ID       string  `json:"id" example:"0192f0c1-7c1e-7000-8000-000000000001"`
	Signal   string  `json:"signal" example:"orders/paid"`
	Status   string  `json:"status" enum:"signalled"`
	Position *string `json:"position" example:"644bdb7e-a5f6-4f73-9fd3-067000e8c6c3-000000000000002a"`
}

type decided struct {
	ID          string  `json:"id" example:"0192f0c1-7c1e-7000-8000-000000000001"`
	ExecutionID string  `json:"execution_id" example:"0192f0c1-7c1e-7000-8000-000000000001"`
	Status      string  `json:"status" enum:"approved,rejected"`
	Position    *string `json:"position" example:"644bdb7e-a5f6-4f73-9fd3-067000e8c6c3-000000000000002a"`
}

type published struct {
	Channel   string  `json:"channel" example:"orders/paid"`
	MessageID string  `json:"message_id" doc:"Its place in the channel." example:"0"`
	Position  *string `json:"position" example:"644bdb7e-a5f6-4f73-9fd3-067000e8c6c3-000000000000002a"`
}

var (
	runEnded  = apidoc.Refusal{Status: 409, Code: "RUN_ENDED", Message: "the run has already ended as completed"}
	badKey    = apidoc.Refusal{Status: 400, Code: "INVALID_KEY", Field: "header/Idempotency-Key", Message: "must have 1 to 255 printable ASCII characters"}
	keyReused = apidoc.Refusal{Status: 422, Code: "IDEMPOTENCY_KEY_REUSED", Field: "header/Idempotency-Key", Message: "stood for a request with another body; use a new key for a new request"}
	longText  = apidoc.Refusal{Status: 422, Code: "REASON_TOO_LONG", Field: "/reason", Message: "is longer than 4096 bytes; give a shorter reason"}
	badName   = apidoc.Refusal{Status: 422, Code: "INVALID_CHANNEL", Field: "path/name", Message: "the channel's name is empty; give 1 to 512 bytes"}
	badEscape = apidoc.Refusal{Status: 400, Code: "INVALID_NAME", Field: "path/name", Message: "is not percent-encoded correctly"}
	tooLarge  = apidoc.Refusal{Status: 422, Code: "PAYLOAD_TOO_LARGE", Field: "body", Message: "holds more secrets than fit into one event; pass fewer"}
	secretKey = apidoc.Refusal{Status: 422, Code: "SECRET_IN_KEY", Field: "body", Message: "a key of this object holds a secret of the run; rename the key"}
	spent     = apidoc.Refusal{Status: 409, Code: "IDEMPOTENCY_KEY_SPENT", Message: "an earlier try with this key was given up; use another key"}
)

// controlOperations describes the routes of Control.
func controlOperations() []apidoc.Operation {
	id := map[string]string{"id": "The execution; exec_<id> is the same."}
	ofRun := refusals([]apidoc.Refusal{badID, noExecution, runEnded, busy, badKey, keyReused}, badAPIBody, notDone)
	// What had to write nothing has no position.
	position := apidoc.QuipuPosition
	position.Required = false
	control := func(verb, operation, summary, doc string) apidoc.Operation {
		return apidoc.Operation{
			Method: "POST", Path: "/api/executions/:id/" + verb, ID: operation, Tag: "executions", Summary: summary, Doc: doc, Params: id,
			Headers:  apidoc.Headers(apidoc.IdempotencyKey),
			Body:     &apidoc.Body{Of: reasonBody{}, Optional: true, Example: `{"reason":"the far side is down"}`},
			Answers:  []apidoc.Answer{{Status: 202, Doc: "It is recorded.", Of: apidoc.Data[controlled]{}, Headers: apidoc.Headers(position)}},
			Refusals: refusals(ofRun, []apidoc.Refusal{longText}),
		}
	}
	decide := func(verb, operation, summary string) apidoc.Operation {
		return apidoc.Operation{
			Method: "POST", Path: "/api/approvals/:id/" + verb, ID: operation, Tag: "approvals", Summary: summary, Params: id,
			Headers: apidoc.Headers(apidoc.IdempotencyKey),
			Body:    &apidoc.Body{Of: decisionBody{}, Optional: true, Example: `{"approver":"ops@example.org","comment":"fine"}`},
			Answers: []apidoc.Answer{{Status: 202, Doc: "It is recorded, and the run goes on.", Of: apidoc.Data[decided]{}, Headers: apidoc.Headers(apidoc.QuipuPosition)}},
			Refusals: refusals(ofRun, []apidoc.Refusal{
				{Status: 409, Code: "NOT_AWAITING_APPROVAL", Message: "no node of this run waits for an approval"},
				{Status: 409, Code: "APPROVAL_AMBIGUOUS", Field: "/node_id", Message: "several nodes of this run wait for an approval; say in node_id which is meant: a, b"},
				{Status: 422, Code: "COMMENT_TOO_LONG", Field: "/comment", Message: "is longer than 4096 bytes; shorten it"},
				{Status: 422, Code: "APPROVER_TOO_LONG", Field: "/approver", Message: "is longer than 512 bytes; shorten it"},
			}),
		}
	}
	return []apidoc.Operation{
		control("pause", "pauseExecution", "Let nothing new begin in a run",
			"No task, no attempt, no end of a timer begins until the run is resumed. What runs already goes on to its end and is recorded. A run that is paused already stays so."),
		control("resume", "resumeExecution", "Go on with a paused run", "Everything that became due in the pause goes on."),
		{
			Method: "POST", Path: "/api/executions/:id/retry", ID: "retryExecution", Tag: "executions", Params: id,
			Summary: "Go on from where a run failed, as a new run",
			Doc:     "The new run has the same definition and input, says which run it is a retry of, and takes over what completed there. Nothing of the old one is changed.",
			Headers: apidoc.Headers(apidoc.IdempotencyKey),
			Body:    &apidoc.Body{Of: retryBody{}, Optional: true, Example: `{"from":["call"]}`},
			Answers: []apidoc.Answer{{Status: 202, Doc: "The new run is recorded.", Of: apidoc.Data[retried]{}, Headers: apidoc.Headers(apidoc.QuipuPosition, apidoc.Location)}},
			Refusals: refusals([]apidoc.Refusal{
				badID, noExecution, badKey, keyReused, spent, overloaded, busy,
				{Status: 409, Code: "RUN_NOT_ENDED", Message: "the run has not ended; cancel it first"},
				{Status: 409, Code: "NOTHING_TO_RETRY", Message: "the run completed; say in from which nodes to do again"},
				{Status: 409, Code: "RUN_NAME_TAKEN", Field: "run_name", Message: "the run 0192f0c1-7c1e-7000-8000-000000000001 of this name has not ended"},
				{Status: 422, Code: "NODE_UNKNOWN", Field: "/from", Message: `names "x", which is no node of the run; name one of a, b`},
				{Status: 422, Code: "TOO_MUCH_TO_REUSE", Message: "gave more than 33554432 bytes that would be taken over; start it anew"},
			}, badAPIBody, notSealed, notDone),
		},
		{
			Method: "POST", Path: "/api/executions/:id/signals/:name", ID: "signalExecution", Tag: "executions",
			Summary: "Give a run a message",
			Doc:     "It ends the wait of the first event node that subscribes to this name: now, or when one begins to. A run takes 1000 signals.",
			Params:  map[string]string{"id": id["id"], "name": "What the node waits for, percent-encoded."},
			Headers: apidoc.Headers(apidoc.IdempotencyKey),
			Body:    &apidoc.Body{Of: apidoc.Any(nil), Optional: true, Doc: "Any JSON; null if left out.", Example: `{"order":17}`},
			Answers: []apidoc.Answer{{Status: 202, Doc: "It is recorded.", Of: apidoc.Data[signalled]{}, Headers: apidoc.Headers(position)}},
			Refusals: refusals(ofRun, []apidoc.Refusal{
				badEscape, badName, tooLarge, secretKey,
				{Status: 422, Code: "SECRET_IN_NAME", Field: "path/name", Message: "holds a secret of the run; use another name"},
				{Status: 409, Code: "TOO_MANY_SIGNALS", Message: "the run has got 1000 signals, it takes no more"},
				{Status: 409, Code: "CONFLICT", Message: "its secrets were sealed by another session"},
			}),
		},
		decide("approve", "approveExecution", "Approve what a run waits for"),
		decide("reject", "rejectExecution", "Reject what a run waits for"),
		{
			Method: "POST", Path: "/api/channels/:name/messages", ID: "publishMessage", Tag: "channels",
			Summary: "Publish a message on a channel",
			Doc:     "A channel needs no creation. Every node that waits for an event of this name gets it, if it began to wait before.",
			Params:  map[string]string{"name": "The channel, percent-encoded."}, PathExamples: map[string]string{"name": "orders%2Fpaid"},
			Headers:  apidoc.Headers(apidoc.IdempotencyKey),
			Body:     &apidoc.Body{Of: apidoc.Any(nil), Optional: true, Doc: "Any JSON; null if left out.", Example: `{"order":17}`},
			Answers:  []apidoc.Answer{{Status: 201, Doc: "It is recorded.", Of: apidoc.Data[published]{}, Headers: apidoc.Headers(apidoc.QuipuPosition)}},
			Refusals: refusals([]apidoc.Refusal{badEscape, badName, tooLarge, secretKey, badKey, keyReused}, badAPIBody, notDone),
		},
	}
}
