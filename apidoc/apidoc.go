// Package apidoc holds the words in which a handler says what it takes and what it answers, so that
// the published document (GET /openapi.json) is made from what stands beside the code. It knows nobody;
// every room with routes may use it. readapi/openapi makes the document, the root hands it all lists.
//
// A new route needs one Operation in the list that its package returns:
//
//	func approvalOperations() []apidoc.Operation {
//		return []apidoc.Operation{{
//			Method: "POST", Path: "/api/approvals/:id/approve", Tag: "approvals",
//			Summary: "Approve what a run waits for",
//			Headers: apidoc.Headers(apidoc.IdempotencyKey),
//			Body:    &apidoc.Body{Of: decisionBody{}, Optional: true, Example: `{"comment":"fine"}`},
//			Answers: []apidoc.Answer{{Status: 200, Doc: "It is decided.", Of: apidoc.Data[decisionShown]{}, Headers: apidoc.Headers(apidoc.QuipuPosition)}},
//			Refusals: []apidoc.Refusal{
//				{Status: 404, Code: "EXECUTION_UNKNOWN", Field: "path/id", Message: "names no execution"},
//				{Status: 409, Code: "NOT_WAITING", Message: "the run waits for no approval"},
//			},
//		}}
//	}
//
// Path is the one that is registered with the framework. Of and Query are values whose types are
// described, never read: see Operation.Query and schema tags below. A test of the root compares the
// application's routes with the operations both ways, and tests validate real answers against the
// document with every field that is not described refused, so that neither can drift.
//
// # Types
//
// Of takes a struct with json tags (its type's name becomes the name of the schema; generic types
// stand where they are used), a slice, a map with string keys, Any, Object, or a Schema written by hand.
// A field without omitempty is required in an answer; a pointer may be null. Tags of a field: doc
// (what it means), enum (its words, comma-separated), format, pattern, example (a text, or JSON for
// other types), min and max (of numbers; of strings the length in characters), required:"true" or
// "false" against the rule.
//
// Examples are made from the types' example tags unless one is given.
package apidoc

import "encoding/json"

// Operation is one route.
type Operation struct {
	Method string // GET, POST, PUT, PATCH or DELETE
	Path   string // as registered: /api/workflows/:id
	// ID names the operation in generated clients; made from method and path if empty.
	ID      string
	Tag     string // the group it is listed in
	Summary string // one line
	Doc     string // more, in CommonMark; may be empty
	// Params says what path parameters mean; "id" alone has a meaning of its own for each path.
	Params map[string]string
	// PathExamples are values of path parameters; made up if missing.
	PathExamples map[string]string
	// Query is a struct by value whose tags are those of readapi/params, or nil. It should be the very
	// one that the handler binds.
	Query any
	// Headers of the request.
	Headers []Header
	// Body is what is to be sent; nil if nothing is.
	Body *Body
	// Answers are those that are not in the form of refusals, whatever their status.
	Answers []Answer
	// Refusals are every code that it may refuse with, but those of every operation: 401, 403, 413
	// with a body, 500.
	Refusals []Refusal
	// Key says whether a key is needed where the configuration has any.
	Key Key
}

// Key says when an operation asks for a key.
type Key int

// The cases. Needed is the one of an Operation that says nothing.
const (
	KeyNeeded    Key = iota
	KeyBySetting     // a setting decides, as for the routes of LAO's editor
	KeyNever
)

// Header is one header of a request or an answer.
type Header struct {
	Name     string
	Doc      string
	Example  string
	Required bool // in a request: without it, it is refused; in an answer: it is always there
}

// Body is the content of a request.
type Body struct {
	Of       any    // its type; see the package's Types
	Optional bool   // it may be left out
	Doc      string // may be empty
	// Example is JSON; made from the type if empty.
	Example string
	// Examples are more, by name.
	Examples map[string]string
}

// Answer is one answer with a form of its own.
type Answer struct {
	Status  int
	Doc     string
	Of      any // its type; nil if it has no body
	Headers []Header
	// MediaType is application/json unless given. Of others than JSON, Of is Text.
	MediaType string
	// Example is JSON (or the text of a MediaType that is not); made from the type if empty.
	Example string
}

// Refusal is one way in which an operation refuses. Its example in the document is the body that the
// application makes of such an error.
type Refusal struct {
	Status  int
	Code    string
	Field   string // at fault in the example, as "query/limit" or "/nodes/0/id"; "" if none is
	Message string // an example
	Details map[string]any
}

// Any is any JSON value.
type Any = json.RawMessage

// Object is any JSON object.
type Object map[string]json.RawMessage

// Text is a body that is no JSON.
type Text string

// AnyOf is one or more of the types of its values.
type AnyOf []any

// Schema is a JSON Schema in the form that OpenAPI 3.0 takes, for what no Go type can say.
type Schema map[string]any

// Data is the envelope of everything below /api (contract D16).
type Data[T any] struct {
	Data   T      `json:"data"`
	Status string `json:"status" enum:"success"`
}

// List is the data of a list (contract D16, D18, D22).
type List[T any] struct {
	Items        []T      `json:"items"`
	Count        int      `json:"count" doc:"Of items on this page." example:"1"`
	Total        *int     `json:"total,omitempty" doc:"Of all that match, counted up to 10001; there if it was asked for." example:"1"`
	TotalCapped  *bool    `json:"total_capped,omitempty" doc:"There are more than total says." example:"false"`
	Limit        int      `json:"limit" example:"50"`
	Offset       *int     `json:"offset,omitempty" doc:"As it was asked for." example:"0"`
	NextCursor   *string  `json:"next_cursor" doc:"Of the next page; null on the last." example:"null"`
	ViewPosition string   `json:"view_position" doc:"How far the view had come." example:"644bdb7e-a5f6-4f73-9fd3-067000e8c6c3-000000000000002a"`
	Fresh        bool     `json:"fresh" doc:"That is all this node knows of." example:"true"`
	Warnings     []string `json:"warnings,omitempty" doc:"Parameters that are nearly one there is." example:"[\"sttus is no parameter and was ignored; did you mean status?\"]"`
}

// Headers is a list of headers.
func Headers(list ...Header) []Header { return list }

// Headers that several operations have.
var (
	// QuipuPosition is the position a command was written at (contract D22).
	QuipuPosition = Header{
		Name: "Quipu-Position", Required: true, Example: "644bdb7e-a5f6-4f73-9fd3-067000e8c6c3-000000000000002a",
		Doc: "The position it was written at; give it as at_least to a list that must show it.",
	}
	// Location says where to read what was made.
	Location = Header{Name: "Location", Required: true, Doc: "Where it can be read.", Example: "/api/workflows/0192f0c1-7c1e-7000-8000-000000000001"}
	// IdempotencyKey makes a command safe to repeat (contract D20).
	IdempotencyKey = Header{
		Name: "Idempotency-Key", Example: "order-4711",
		Doc: "Makes the command safe to send again: the same key on the same route by the same caller answers with what the first one did.",
	}
	// IfMatch makes a change conditional.
	IfMatch = Header{Name: "If-Match", Example: `"3"`, Doc: "The ETag of the version that is to be changed; another one there is refused with 412."}
	// IfNoneMatch asks for what has changed.
	IfNoneMatch = Header{Name: "If-None-Match", Example: `"3"`, Doc: "The ETag of the version one has; answered with 304 and no body while that is the one."}
	// ETag names a version.
	ETag = Header{Name: "ETag", Example: `"3"`, Doc: "Names this version, for If-Match and If-None-Match."}
)
