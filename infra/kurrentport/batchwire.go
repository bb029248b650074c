package kurrentport

import (
	"errors"

	"github.com/EventStore/EventStore-Client-Go/v4/protos/shared"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/streams"
	rpc "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/emptypb"

	"quipu/domain"
)

var errBatchDeadline = refuse(codes.DeadlineExceeded, "Timeout")

// batchExpected reads which revision an append of a batch names. Errors: a status INVALID_ARGUMENT.
func batchExpected(o *streams.BatchAppendReq_Options) (expectation, error) {
	switch v := o.GetExpectedStreamPosition().(type) {
	case *streams.BatchAppendReq_Options_StreamPosition:
		return expectation{exact, v.StreamPosition}, nil
	case *streams.BatchAppendReq_Options_NoStream:
		return expectation{kind: noStream}, nil
	case *streams.BatchAppendReq_Options_Any:
		return expectation{kind: anyRevision}, nil
	case *streams.BatchAppendReq_Options_StreamExists:
		return expectation{kind: streamExists}, nil
	}
	return expectation{}, refuse(codes.InvalidArgument, "options.expected_stream_position: is missing")
}

func echoExpected(resp *streams.BatchAppendResp, o *streams.BatchAppendReq_Options) {
	switch v := o.GetExpectedStreamPosition().(type) {
	case *streams.BatchAppendReq_Options_StreamPosition:
		resp.ExpectedStreamPosition = &streams.BatchAppendResp_StreamPosition{StreamPosition: v.StreamPosition}
	case *streams.BatchAppendReq_Options_NoStream:
		resp.ExpectedStreamPosition = &streams.BatchAppendResp_NoStream{NoStream: &emptypb.Empty{}}
	case *streams.BatchAppendReq_Options_Any:
		resp.ExpectedStreamPosition = &streams.BatchAppendResp_Any{Any: &emptypb.Empty{}}
	case *streams.BatchAppendReq_Options_StreamExists:
		resp.ExpectedStreamPosition = &streams.BatchAppendResp_StreamExists{StreamExists: &emptypb.Empty{}}
	}
}

// batchResult renders what an append of a batch came to.
func batchResult(o outcome, err error, expected expectation) *streams.BatchAppendResp {
	switch {
	case err != nil:
		return batchError(err)
	case o.wrong:
		return batchStatus(codes.AlreadyExists, "WrongExpectedVersion", sharedWrong(o, expected))
	}
	success := &streams.BatchAppendResp_Success{
		CurrentRevisionOption: &streams.BatchAppendResp_Success_CurrentRevision{CurrentRevision: uint64(o.current)},
		PositionOption: &streams.BatchAppendResp_Success_Position{Position: &shared.AllStreamPosition{
			CommitPosition: uint64(o.position), PreparePosition: uint64(o.position),
		}},
	}
	if o.current == domain.NoStream {
		success.CurrentRevisionOption = &streams.BatchAppendResp_Success_NoStream{NoStream: &emptypb.Empty{}}
	}
	return &streams.BatchAppendResp{Result: &streams.BatchAppendResp_Success_{Success: success}}
}

// batchError renders a refusal the way the server does: its kind is the type of the detail.
func batchError(err error) *streams.BatchAppendResp {
	var detail proto.Message = &shared.Unknown{}
	var r *refusal
	st, _ := status.FromError(err)
	switch {
	case errors.As(err, &r) && r.max > 0:
		detail = &shared.MaximumAppendSizeExceeded{MaxAppendSize: uint32(r.max)}
	case st.Code() == codes.PermissionDenied:
		detail = &shared.AccessDenied{}
	case st.Code() == codes.DeadlineExceeded:
		detail = &shared.Timeout{}
	case st.Code() == codes.InvalidArgument:
		detail = &shared.BadRequest{Message: st.Message()}
	}
	return batchStatus(st.Code(), st.Message(), detail)
}

func batchStatus(code codes.Code, message string, detail proto.Message) *streams.BatchAppendResp {
	packed, err := anypb.New(detail)
	if err != nil {
		panic(err) // a message of this package's own making always encodes
	}
	return &streams.BatchAppendResp{Result: &streams.BatchAppendResp_Error{
		Error: &rpc.Status{Code: int32(code), Message: message, Details: []*anypb.Any{packed}},
	}}
}

func sharedWrong(o outcome, expected expectation) *shared.WrongExpectedVersion {
	w := &shared.WrongExpectedVersion{}
	if o.current == domain.NoStream {
		w.CurrentStreamRevisionOption = &shared.WrongExpectedVersion_CurrentNoStream{CurrentNoStream: &emptypb.Empty{}}
	} else {
		w.CurrentStreamRevisionOption = &shared.WrongExpectedVersion_CurrentStreamRevision{CurrentStreamRevision: uint64(o.current)}
	}
	switch expected.kind {
	case exact:
		w.ExpectedStreamPositionOption = &shared.WrongExpectedVersion_ExpectedStreamPosition{ExpectedStreamPosition: expected.revision}
	case noStream:
		w.ExpectedStreamPositionOption = &shared.WrongExpectedVersion_ExpectedNoStream{ExpectedNoStream: &emptypb.Empty{}}
	case anyRevision:
		w.ExpectedStreamPositionOption = &shared.WrongExpectedVersion_ExpectedAny{ExpectedAny: &emptypb.Empty{}}
	case streamExists:
		w.ExpectedStreamPositionOption = &shared.WrongExpectedVersion_ExpectedStreamExists{ExpectedStreamExists: &emptypb.Empty{}}
	}
	return w
}
