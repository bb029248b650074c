package kurrentport

import (
	"context"
	"net"
	"net/netip"
	"strconv"

	"github.com/EventStore/EventStore-Client-Go/v4/protos/gossip"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/shared"
	"github.com/google/uuid"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"

	"quipu/domain"
)

// gossipServer is embedded under another name than Read of Streams.
type gossipServer struct {
	gossip.UnimplementedGossipServer
	server *Server
}

// Read says who is in the cluster: this server alone, as the leader. Clients that discover go to
// the address that they asked at, whatever stands between.
func (g gossipServer) Read(ctx context.Context, _ *shared.Empty) (*gossip.ClusterInfo, error) {
	host, port, ok := askedAt(ctx)
	if !ok {
		return nil, refuse(codes.Unavailable, "the address of this server is not known")
	}
	s := g.server
	// The log's id is a UUID; where it is another word, an instance of zeros does.
	parsed, _ := uuid.Parse(string(s.log.ID()))
	instance := domain.EventID(parsed)
	return &gossip.ClusterInfo{Members: []*gossip.MemberInfo{{
		InstanceId:   structured(instance),
		TimeStamp:    ticks(s.opts.Clock()),
		State:        gossip.MemberInfo_Leader,
		IsAlive:      true,
		HttpEndPoint: &gossip.EndPoint{Address: host, Port: uint32(port)},
	}}}, nil
}

// askedAt returns where the caller found this server: the authority that it dialled, else the
// local end of its connection.
func askedAt(ctx context.Context) (host string, port uint16, ok bool) {
	md, _ := metadata.FromIncomingContext(ctx)
	for _, authority := range md.Get(":authority") {
		if host, digits, err := net.SplitHostPort(authority); err == nil && host != "" {
			if n, err := strconv.ParseUint(digits, 10, 16); err == nil && n > 0 {
				return host, uint16(n), true
			}
		}
	}
	if p, found := peer.FromContext(ctx); found && p.LocalAddr != nil {
		if a, err := netip.ParseAddrPort(p.LocalAddr.String()); err == nil {
			return a.Addr().Unmap().String(), a.Port(), true
		}
	}
	return "", 0, false
}
