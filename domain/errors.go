package domain

import (
	"errors"
	"strings"
)

// Kind says what a caller may do about an error. It is the only thing callers branch on.
type Kind uint8

// The kinds, with what they let the caller do next.
const (
	KindInternal        Kind = iota // a bug; do not retry
	KindInvalid                     // malformed input; the caller's fault; do not retry
	KindUnprocessable               // well-formed but wrong in content; do not retry
	KindNotFound                    // no such stream, run or row
	KindRefused                     // against a rule in this state; not as is
	KindConflict                    // someone else wrote first; reload, then try again
	KindExhausted                   // a bound or rate was hit; try later
	KindUnavailable                 // certainly not done; the same call may be tried again
	KindIndeterminate               // may have been done; only the same bytes may be tried again
	KindCanceled                    // the caller gave up
	KindDeadline                    // the caller's time ran out
	KindCorrupt                     // stored data cannot be read; stop and alert
	KindUnauthenticated             // no key, or one that is not known; send the right one
	KindForbidden                   // whoever asks may not, key or not; do not retry
	KindPrecondition                // a condition that the caller set does not hold; read, then decide anew
)

var kindNames = [...]string{
	"internal", "invalid", "unprocessable", "not found", "refused", "conflict", "exhausted",
	"unavailable", "indeterminate", "canceled", "deadline", "corrupt", "unauthenticated", "forbidden",
	"precondition failed",
}

// String returns the kind's lower-case name.
func (k Kind) String() string {
	if int(k) < len(kindNames) {
		return kindNames[k]
	}
	return "unknown"
}

// Error is the one error type of Quipu: a kind, what was being done to what, and the cause.
//
// Code is a stable upper-case word for clients (may be empty), Field the JSON pointer or name of
// the offending input (may be empty). Neither may hold a secret or a payload.
type Error struct {
	Kind    Kind
	Code    string
	Op      string
	Subject string
	Field   string
	Message string
	Details map[string]any
	Cause   error
}

// Error renders "op subject: message: cause", leaving out what is empty.
func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString(e.Op)
	if e.Subject != "" {
		if b.Len() > 0 {
			b.WriteByte(' ')
		}
		b.WriteString(e.Subject)
	}
	part := func(s string) {
		if s == "" {
			return
		}
		if b.Len() > 0 {
			b.WriteString(": ")
		}
		b.WriteString(s)
	}
	if e.Field != "" {
		part(e.Field)
	}
	part(e.Message)
	if e.Cause != nil {
		part(e.Cause.Error())
	}
	if b.Len() == 0 {
		return e.Kind.String()
	}
	return b.String()
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Cause }

// Is reports whether target is the sentinel of this error's kind.
func (e *Error) Is(target error) bool {
	s, ok := target.(sentinel)
	return ok && Kind(s) == e.Kind
}

type sentinel Kind

func (s sentinel) Error() string { return Kind(s).String() }

// Sentinels for errors.Is; each matches every *Error of its kind.
var (
	ErrInvalid       error = sentinel(KindInvalid)
	ErrUnprocessable error = sentinel(KindUnprocessable)
	ErrNotFound      error = sentinel(KindNotFound)
	ErrRefused       error = sentinel(KindRefused)
	ErrConflict      error = sentinel(KindConflict)
	ErrExhausted     error = sentinel(KindExhausted)
	ErrUnavailable   error = sentinel(KindUnavailable)
	ErrIndeterminate error = sentinel(KindIndeterminate)
	ErrCanceled      error = sentinel(KindCanceled)
	ErrDeadline      error = sentinel(KindDeadline)
	ErrCorrupt       error = sentinel(KindCorrupt)

	ErrUnauthenticated error = sentinel(KindUnauthenticated)
	ErrForbidden       error = sentinel(KindForbidden)
	ErrPrecondition    error = sentinel(KindPrecondition)
)

// KindOf returns the kind of the first *Error in err's chain, KindInternal if there is none.
// A nil err also gives KindInternal: ask only about errors.
func KindOf(err error) Kind {
	var e *Error
	if errors.As(err, &e) {
		return e.Kind
	}
	var s sentinel
	if errors.As(err, &s) {
		return Kind(s)
	}
	return KindInternal
}

// E builds an *Error of kind with a message and no cause.
func E(kind Kind, op, subject, message string) *Error {
	return &Error{Kind: kind, Op: op, Subject: subject, Message: message}
}

// Wrap builds an *Error of kind around cause. A nil cause is kept as nil.
func Wrap(kind Kind, op, subject string, cause error) *Error {
	return &Error{Kind: kind, Op: op, Subject: subject, Cause: cause}
}

// WithField returns a copy of e that names the offending field.
func (e *Error) WithField(field string) *Error { c := *e; c.Field = field; return &c }

// WithCode returns a copy of e with a client-facing code.
func (e *Error) WithCode(code string) *Error { c := *e; c.Code = code; return &c }

// WithDetails returns a copy of e with structured details for clients.
func (e *Error) WithDetails(d map[string]any) *Error { c := *e; c.Details = d; return &c }
