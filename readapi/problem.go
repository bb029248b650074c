package readapi

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/gofiber/fiber/v2"

	"quipu/domain"
)

// statusOf is the one table from Kind to HTTP status (style C.7, contract D17).
var statusOf = [...]int{
	domain.KindInternal:      fiber.StatusInternalServerError,
	domain.KindInvalid:       fiber.StatusBadRequest,
	domain.KindUnprocessable: fiber.StatusUnprocessableEntity,
	domain.KindNotFound:      fiber.StatusNotFound,
	domain.KindRefused:       fiber.StatusConflict,
	domain.KindConflict:      fiber.StatusConflict,
	domain.KindExhausted:     fiber.StatusTooManyRequests,
	domain.KindUnavailable:   fiber.StatusServiceUnavailable,
	domain.KindIndeterminate: fiber.StatusServiceUnavailable,
	domain.KindCanceled:      499, // as nginx: the client closed the request
	domain.KindDeadline:      fiber.StatusGatewayTimeout,
	domain.KindCorrupt:       fiber.StatusInternalServerError,

	domain.KindUnauthenticated: fiber.StatusUnauthorized,
	domain.KindForbidden:       fiber.StatusForbidden,
	domain.KindPrecondition:    fiber.StatusPreconditionFailed,
}

// Status is the HTTP status of a kind; 500 for a kind it does not know.
func Status(k domain.Kind) int {
	if int(k) < len(statusOf) {
		return statusOf[k]
	}
	return fiber.StatusInternalServerError
}

// challenge goes with every 401: how a key is sent.
const challenge = `Bearer realm="quipu"`

// What clients are told of a part that does not answer: what it is stands in log lines and on /health/ready, and
// its address is none of theirs.
const (
	unavailable   = "a part of the server does not answer, so nothing was done; send it again in a while (/health/ready says what is wrong)"
	indeterminate = "a part of the server did not answer, so it is not known whether this was done; send it again with the same Idempotency-Key, or ask whether it was (/health/ready says what is wrong)"
)

// retryAfterSeconds is advised where trying again later may help.
const retryAfterSeconds = 1

// Problem is the body of every error: D16's shape, which readers of FastAPI-style errors
// (message, detail) understand too (D7).
type Problem struct {
	Status  string       `json:"status"` // "error"
	Error   ProblemError `json:"error"`
	Message string       `json:"message"`
	// Detail is a list with one entry per offending field or, if no field is at fault, the message.
	Detail any `json:"detail"`
}

// ProblemError is the machine-readable part.
type ProblemError struct {
	Code    string         `json:"code"`
	Message string         `json:"message"`
	Details map[string]any `json:"details"`
}

// FieldFault says what is wrong with one field.
type FieldFault struct {
	Loc   []any  `json:"loc"` // where: "path", "query" or "body", then the way down
	Field string `json:"field"`
	Msg   string `json:"msg"`
	Type  string `json:"type"`
}

// NewProblem turns an error into status and body. Joined errors give one entry per field; the first
// one decides the status. Internal errors say nothing about themselves.
func NewProblem(err error) (status int, p Problem) {
	all := flatten(err, nil)
	first := all[0]
	status = Status(first.Kind)
	p = Problem{Status: "error", Message: publicMessage(first)}
	if more := fieldsNamed(all[1:]); more > 0 {
		p.Message += fmt.Sprintf(" (and %d more, see detail)", more)
	}
	p.Error = ProblemError{Code: first.Code, Message: p.Message, Details: first.Details}
	if p.Error.Code == "" {
		p.Error.Code = strings.ReplaceAll(strings.ToUpper(first.Kind.String()), " ", "_")
	}
	if p.Error.Details == nil {
		p.Error.Details = map[string]any{}
	}
	var faults []FieldFault
	for _, e := range all {
		if e.Field != "" {
			faults = append(faults, FieldFault{Loc: location(e.Field), Field: e.Field, Msg: publicText(e), Type: "value_error"})
		}
	}
	p.Detail = p.Message
	if len(faults) > 0 {
		p.Detail = faults
	}
	return status, p
}

// fieldsNamed counts the errors that point at a field.
func fieldsNamed(errs []*domain.Error) (n int) {
	for _, e := range errs {
		if e.Field != "" {
			n++
		}
	}
	return n
}

// flatten lists the *Errors of a chain or join; at least one. An *Error that says nothing itself
// lends its kind and code to those it wraps.
func flatten(err error, out []*domain.Error) []*domain.Error {
	switch e := err.(type) { //nolint:errorlint // each level is looked at in turn
	case *domain.Error:
		var inner *domain.Error
		if e.Message != "" || e.Field != "" || !errors.As(e.Cause, &inner) {
			return append(out, e)
		}
		for _, n := range flatten(e.Cause, nil) {
			c := *n
			c.Kind = e.Kind
			if e.Code != "" {
				c.Code = e.Code
			}
			out = append(out, &c)
		}
		return out
	case interface{ Unwrap() []error }:
		for _, part := range e.Unwrap() {
			out = flatten(part, out)
		}
		if len(out) > 0 {
			return out
		}
	case interface{ Unwrap() error }:
		if cause := e.Unwrap(); cause != nil {
			return flatten(cause, out)
		}
	}
	return append(out, &domain.Error{Kind: domain.KindOf(err)})
}

// publicMessage is publicText with the name of the field: clients such as LAO's editor show nothing
// but the message.
func publicMessage(e *domain.Error) string {
	if e.Field != "" {
		return e.Field + ": " + publicText(e)
	}
	return publicText(e)
}

func publicText(e *domain.Error) string {
	switch {
	case e.Kind == domain.KindInternal:
		return "internal error"
	case e.Kind == domain.KindCorrupt:
		return "stored data cannot be read"
	case e.Message == "" && e.Kind == domain.KindUnavailable:
		return unavailable
	case e.Message == "" && e.Kind == domain.KindIndeterminate:
		return indeterminate
	case e.Message == "":
		return e.Kind.String()
	default:
		return e.Message
	}
}

// location splits a field: "query/from" or a JSON pointer into the body.
func location(field string) []any {
	pointer, inBody := strings.CutPrefix(field, "/")
	var out []any
	if inBody {
		out = append(out, "body")
	}
	for _, token := range strings.Split(pointer, "/") {
		token = strings.ReplaceAll(strings.ReplaceAll(token, "~1", "/"), "~0", "~")
		if n, err := strconv.Atoi(token); err == nil && inBody {
			out = append(out, n)
			continue
		}
		out = append(out, token)
	}
	return out
}

// WriteProblem answers with err's status and body.
func WriteProblem(c *fiber.Ctx, err error) error {
	status, p := NewProblem(err)
	return writeProblem(c, status, p)
}

func writeProblem(c *fiber.Ctx, status int, p Problem) error {
	var buffer bytes.Buffer
	encoder := json.NewEncoder(&buffer)
	encoder.SetEscapeHTML(false) // people read "a -> b", and nothing here is served as HTML
	err := encoder.Encode(p)
	body := bytes.TrimSuffix(buffer.Bytes(), []byte("\n"))
	if err != nil {
		status, body = fiber.StatusInternalServerError, []byte(`{"status":"error","message":"internal error","detail":"internal error"}`)
	}
	if status == fiber.StatusTooManyRequests || status == fiber.StatusServiceUnavailable {
		c.Set(fiber.HeaderRetryAfter, strconv.Itoa(retryAfterSeconds))
	}
	if status == fiber.StatusUnauthorized {
		c.Set(fiber.HeaderWWWAuthenticate, challenge)
	}
	c.Set(fiber.HeaderContentType, fiber.MIMEApplicationJSON)
	return c.Status(status).Send(body)
}

// ErrorHandler is Fiber's error handler: errors of handlers by their kind, Fiber's own (404, 405,
// 413, 431, …) in the same shape. What a panic or an unknown error said never reaches the client.
func ErrorHandler(c *fiber.Ctx, err error) error {
	var fe *fiber.Error
	if !errors.As(err, &fe) {
		return WriteProblem(c, err)
	}
	message := unrouted(c, fe.Code)
	if message == "" {
		message = strings.ToLower(fiberMessage(fe.Code))
	}
	return writeProblem(c, fe.Code, Problem{
		Status: "error", Message: message, Detail: message,
		Error: ProblemError{
			Code:    strings.ReplaceAll(strings.ToUpper(fiberMessage(fe.Code)), " ", "_"),
			Message: message, Details: map[string]any{},
		},
	})
}

// fiberMessage is the status's own text, not the error's: that may hold what the client sent.
func fiberMessage(status int) string {
	for _, e := range []*fiber.Error{
		fiber.ErrNotFound, fiber.ErrMethodNotAllowed, fiber.ErrRequestEntityTooLarge, fiber.ErrRequestHeaderFieldsTooLarge,
		fiber.ErrUpgradeRequired, fiber.ErrRequestTimeout, fiber.ErrBadRequest, fiber.ErrUnsupportedMediaType, fiber.ErrTooManyRequests, fiber.ErrForbidden, fiber.ErrUnauthorized,
	} {
		if e.Code == status {
			return e.Message
		}
	}
	if status >= 500 {
		return "Internal Error"
	}
	return "Request Refused"
}
