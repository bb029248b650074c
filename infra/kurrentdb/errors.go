package kurrentdb

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"quipu/domain"
)

// fault is what an error of the client means. The zero value is never one.
type fault struct {
	// kind is what a caller is told.
	kind domain.Kind
	// unknown says that an append may have been stored all the same.
	unknown bool
	// again says that the same call may do better soon.
	again bool
	// broken says that the connection is of no more use.
	broken bool
	// hint is what an operator can do, if there is anything.
	hint string
}

// wrong marks an append that was not at the stream's end. Its kind is a conflict until what is stored has
// been compared.
var (
	wrong = fault{kind: domain.KindConflict}
	gone  = fault{kind: domain.KindUnavailable, unknown: true, again: true, broken: true}
	late  = fault{kind: domain.KindUnavailable, unknown: true, again: true}
)

// byCode is what the client's codes mean. What is missing is told by the status below them.
var byCode = map[esdb.ErrorCode]fault{
	esdb.ErrorCodeWrongExpectedVersion: wrong,
	esdb.ErrorCodeResourceNotFound:     {kind: domain.KindNotFound}, // see classify
	esdb.ErrorCodeStreamDeleted:        {kind: domain.KindCorrupt, hint: "the stream was deleted on the server; restore it"},
	esdb.ErrorCodeDeadlineExceeded:     late,
	esdb.ErrorAborted:                  late,
	esdb.ErrorUnavailable:              gone,
	esdb.ErrorCodeConnectionClosed:     gone,
	// The client itself goes to the leader that the server named.
	esdb.ErrorCodeNotLeader:          late,
	esdb.ErrorCodeUnauthenticated:    {kind: domain.KindUnavailable, hint: "the server knows no such user and password; correct --log"},
	esdb.ErrorCodeAccessDenied:       {kind: domain.KindUnavailable, hint: "the user of --log may not do this; it needs to read $all and to write streams"},
	esdb.ErrorCodeUnsupportedFeature: {kind: domain.KindInternal, hint: "the server does not offer this; it must be EventStoreDB 23.10 or newer, or KurrentDB"},
	esdb.ErrorCodeParsing:            {kind: domain.KindCorrupt},
}

// byStatus is what a gRPC status means where the client has no code for it.
var byStatus = map[codes.Code]fault{
	codes.Unavailable:        gone,
	codes.Canceled:           late, // the library went to another leader under the call, or the caller gave up
	codes.DeadlineExceeded:   late,
	codes.Aborted:            late,
	codes.Internal:           gone, // also a stream that was reset
	codes.Unknown:            late,
	codes.ResourceExhausted:  {kind: domain.KindUnavailable, unknown: true, again: true, hint: "the server has no room for the call"},
	codes.FailedPrecondition: wrong,
	codes.InvalidArgument:    {kind: domain.KindRefused, hint: sizeHint},
	codes.NotFound:           late, // see classify
	codes.Unauthenticated:    byCode[esdb.ErrorCodeUnauthenticated],
	codes.PermissionDenied:   byCode[esdb.ErrorCodeAccessDenied],
	codes.Unimplemented:      byCode[esdb.ErrorCodeUnsupportedFeature],
}

const sizeHint = "the server refuses the call; should that be for its size, MaxAppendSize must be at least 1 MiB"

// byText is the last resort: the library wraps some errors in text alone.
var byText = []struct {
	text string
	fault
}{
	{"could not send append request", fault{kind: domain.KindUnavailable, unknown: true, again: true, hint: sizeHint}}, // the reason is lost; it may be the size
	{"EOF", gone},
	{"wrong expected version", wrong},
	{"failed to initiate subscription", late},
	{"invalid EventStoreDB server version", fault{kind: domain.KindUnavailable, again: true, hint: versionHint}},
}

const versionHint = "this client cannot read the version that the server gives; run a released version of it"

// handshakes are what stands in the text of a connection that failed before anything was said on it: the
// code says no more than that there is none.
var handshakes = []struct {
	text string
	fault
}{
	{"first record does not look like a TLS handshake", fault{kind: domain.KindUnavailable, again: true, broken: true, hint: "the server speaks without TLS; add tls=false to --log if that is meant"}},
	{"certificate signed by unknown authority", fault{kind: domain.KindUnavailable, again: true, broken: true, hint: "the server's certificate is not trusted; name its authority with tlsCaFile in --log"}},
}

// classify says what an error of the client means. Wrapped ones are found too.
func classify(err error) fault {
	for _, h := range handshakes {
		if strings.Contains(err.Error(), h.text) {
			return h.fault
		}
	}
	var panicked *panicError
	if errors.As(err, &panicked) {
		return fault{kind: domain.KindCorrupt, unknown: true, broken: true, hint: "the server answered with what the client cannot take"}
	}
	if errors.Is(err, errRefused) {
		return gone
	}
	var own *domain.Error
	if errors.As(err, &own) {
		return fault{kind: own.Kind, unknown: own.Kind == domain.KindIndeterminate}
	}
	if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, errCut) || errors.Is(err, errTooLong) {
		return late
	}
	var e *esdb.Error
	if errors.As(err, &e) {
		// A stream that does not exist is a message and no status. The status is a node's that does not lead,
		// whose trailer, which says so, the library misses when it closes the connection at that moment.
		_, isStatus := status.FromError(err)
		if f, ok := byCode[e.Code()]; ok && !(isStatus && e.Code() == esdb.ErrorCodeResourceNotFound) {
			return f
		}
	}
	for _, t := range byText {
		if strings.Contains(err.Error(), t.text) {
			return t.fault
		}
	}
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return gone
	}
	if s, ok := status.FromError(err); ok {
		if f, ok := byStatus[s.Code()]; ok {
			return f
		}
	}
	return late
}

// wrap makes the error that a caller gets.
func (f fault) wrap(kind domain.Kind, op, subject string, err error) error {
	wrapped := domain.Wrap(kind, op, subject, plain(err))
	wrapped.Message = f.hint
	return wrapped
}

// plain cuts an error of the client off its types, so that nobody outside comes to rely on them.
func plain(err error) error {
	var own *domain.Error
	if err == nil || errors.As(err, &own) {
		return err
	}
	return errors.New(err.Error()) //nolint:forbidigo // the text is all that is kept
}

// overdue is the error of a ctx that ended before anything was sent.
func overdue(ctx context.Context, op, subject string) error {
	switch err := ctx.Err(); err {
	case nil:
		return nil
	case context.DeadlineExceeded:
		return domain.Wrap(domain.KindDeadline, op, subject, err)
	default:
		return domain.Wrap(domain.KindCanceled, op, subject, err)
	}
}

func closedError(op, subject string) error {
	return domain.E(domain.KindUnavailable, op, subject, "the log is closed")
}

// panicError is a panic of the client: it does so on answers that it does not expect, and when it is
// closed while a call begins.
type panicError struct{ value any }

// Error implements error.
func (p *panicError) Error() string { return fmt.Sprintf("the client panicked: %v", p.value) }

// protected calls f and turns a panic into an error.
func protected[T any](f func() (T, error)) (result T, err error) {
	defer func() {
		if v := recover(); v != nil {
			err = &panicError{v}
		}
	}()
	return f()
}
