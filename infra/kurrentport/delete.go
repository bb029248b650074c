package kurrentport

import (
	"context"

	"github.com/EventStore/EventStore-Client-Go/v4/protos/streams"
	"google.golang.org/grpc/codes"
)

var errNoDeletion = refuse(codes.Unimplemented, "this log deletes nothing: neither events nor streams")

// Delete is refused.
func (s *Server) Delete(ctx context.Context, _ *streams.DeleteReq) (*streams.DeleteResp, error) {
	return nil, s.refuseDeletion(ctx)
}

// Tombstone is refused.
func (s *Server) Tombstone(ctx context.Context, _ *streams.TombstoneReq) (*streams.TombstoneResp, error) {
	return nil, s.refuseDeletion(ctx)
}

func (s *Server) refuseDeletion(ctx context.Context) error {
	if _, err := s.auth.role(ctx); err != nil {
		return err
	}
	return errNoDeletion
}
