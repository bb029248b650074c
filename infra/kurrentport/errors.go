package kurrentport

import (
	"context"
	"errors"
	"strconv"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"quipu/domain"
)

// Words of the trailer "exception", by which clients tell refusals apart.
const (
	exceptionAccessDenied    = "access-denied"
	exceptionAppendTooLarge  = "maximum-append-size-exceeded"
	exceptionMissingMetadata = "missing-required-metadata-property"

	trailerException  = "exception"
	trailerAppendSize = "maximum-append-size"
	trailerRequired   = "required-metadata-properties"
)

// refuse is a refusal without trailers.
func refuse(code codes.Code, message string) error { return status.Error(code, message) }

// refusal is an error that goes out with trailers.
type refusal struct {
	status   *status.Status
	trailers metadata.MD
	max      int // bytes of an append, if that is what was exceeded
}

func (r *refusal) Error() string              { return r.status.Message() }
func (r *refusal) GRPCStatus() *status.Status { return r.status }

func refuseWith(code codes.Code, message, exception string, pairs ...string) error {
	return &refusal{status: status.New(code, message), trailers: metadata.Pairs(append([]string{trailerException, exception}, pairs...)...)}
}

func denied(what string) error {
	return refuseWith(codes.PermissionDenied, what, exceptionAccessDenied)
}

// tooLarge refuses an append of more than max bytes, the way the server does.
func tooLarge(max int) error {
	return &refusal{
		status:   status.New(codes.InvalidArgument, "Maximum Append Size of "+strconv.Itoa(max)+" Exceeded."),
		trailers: metadata.Pairs(trailerException, exceptionAppendTooLarge, trailerAppendSize, strconv.Itoa(max)),
		max:      max,
	}
}

// fail turns whatever a call ended with into a status, and sets its trailers.
func (s *Server) fail(stream grpc.ServerStream, err error) error {
	var r *refusal
	if errors.As(err, &r) {
		stream.SetTrailer(r.trailers)
	}
	return s.statusOf(stream.Context(), err)
}

// statusOf translates an error of the log; one that is a status already stays.
func (s *Server) statusOf(ctx context.Context, err error) error {
	if err == nil {
		return nil
	}
	if st, ok := status.FromError(err); ok {
		return st.Err()
	}
	code, known := codeOf[domain.KindOf(err)]
	switch {
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		code, known = codes.DeadlineExceeded, true
	case s.stopping(ctx):
		code, known = codes.Unavailable, true
	case ctx.Err() != nil:
		code, known = codes.Canceled, true
	}
	if !known {
		code = codes.Internal
	}
	if code == codes.Internal || code == codes.DataLoss || code == codes.Unavailable {
		s.opts.Logger.Warn("a call on the protocol port failed", "code", code.String(), "error", err)
	}
	return status.Error(code, err.Error())
}

// codeOf is what each kind of error means on the wire. ABORTED says, as the server's write timeout
// does, that the outcome is unknown; UNAVAILABLE that nothing was written, though clients cannot
// tell it from a cut connection.
var codeOf = map[domain.Kind]codes.Code{
	domain.KindInvalid:       codes.InvalidArgument,
	domain.KindNotFound:      codes.NotFound,
	domain.KindRefused:       codes.FailedPrecondition,
	domain.KindConflict:      codes.Aborted,
	domain.KindExhausted:     codes.ResourceExhausted,
	domain.KindUnavailable:   codes.Unavailable,
	domain.KindIndeterminate: codes.Aborted,
	domain.KindCanceled:      codes.Canceled,
	domain.KindDeadline:      codes.DeadlineExceeded,
	domain.KindCorrupt:       codes.DataLoss,
}
