package kurrentport

import (
	"context"
	"path"
	"runtime/debug"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// errPanicked tells nothing of what happened; the logger was told.
var errPanicked = refuse(codes.Internal, "internal error")

// aroundStream measures a call, and keeps a panic in it from ending the process.
func (s *Server) aroundStream(srv any, stream grpc.ServerStream, info *grpc.StreamServerInfo, handler grpc.StreamHandler) (err error) {
	defer s.ended(info.FullMethod, s.opts.Clock(), &err)
	return handler(srv, stream)
}

func (s *Server) aroundUnary(ctx context.Context, req any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (_ any, err error) {
	defer s.ended(info.FullMethod, s.opts.Clock(), &err)
	return handler(ctx, req)
}

// ended is deferred by every call.
func (s *Server) ended(method string, began time.Time, err *error) {
	if r := recover(); r != nil {
		s.panicked(method)
		*err = errPanicked
	}
	s.opts.Hooks.Called(path.Base(method), status.Code(*err).String(), s.opts.Clock().Sub(began))
}

// panicked tells the logger of a panic. Call it where it was recovered.
func (s *Server) panicked(method string) {
	s.opts.Logger.Error("a call on the protocol port panicked", "method", method, "stack", string(debug.Stack()))
}
