package kurrentport

import (
	"context"
	"errors"
	"net"
	"sync"

	"github.com/EventStore/EventStore-Client-Go/v4/protos/gossip"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/serverfeatures"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/streams"
	"golang.org/x/net/netutil"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/keepalive"

	"quipu/commands"
	"quipu/domain"
)

// Server speaks the protocol over one log. Make it with New, give it a listener with Serve, end it
// with Shutdown.
//
// Concurrency: safe. The log is used, not owned: close it after Shutdown.
type Server struct {
	streams.UnimplementedStreamsServer

	log      commands.Log
	opts     Options
	names    names
	auth     auth
	seen     *seen
	watchers watchers
	grpc     *grpc.Server

	mu     sync.Mutex
	calls  map[*call]struct{}
	closed bool
}

// New returns a server over log. Errors: ErrInvalid, as Options.Validate.
func New(log commands.Log, o Options) (*Server, error) {
	if err := o.Validate(); err != nil {
		return nil, err
	}
	o = o.withDefaults()
	s := &Server{
		log: log, opts: o, names: names{o.Prefix}, auth: newAuth(o),
		seen: newSeen(seenEventsMax), calls: map[*call]struct{}{},
		watchers: watchers{log: log, byStream: map[domain.StreamID]map[*watcher]struct{}{}},
	}
	options := []grpc.ServerOption{
		grpc.MaxConcurrentStreams(uint32(o.StreamsMax)),
		grpc.MaxRecvMsgSize(MessageBytesMax),
		grpc.MaxHeaderListSize(HeaderBytesMax),
		grpc.ConnectionTimeout(handshakeTimeout),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: o.PingMin, PermitWithoutStream: true}),
		grpc.KeepaliveParams(keepalive.ServerParameters{Time: pingEvery, Timeout: pingTimeout}),
		grpc.WaitForHandlers(true),
		grpc.UnknownServiceHandler(unknown),
		grpc.ChainStreamInterceptor(s.aroundStream),
		grpc.ChainUnaryInterceptor(s.aroundUnary),
	}
	if o.TLS != nil {
		options = append(options, grpc.Creds(credentials.NewTLS(o.TLS)))
	}
	s.grpc = grpc.NewServer(options...)
	streams.RegisterStreamsServer(s.grpc, s)
	gossip.RegisterGossipServer(s.grpc, gossipServer{server: s})
	serverfeatures.RegisterServerFeaturesServer(s.grpc, features{version: o.Version})
	return s, nil
}

// unknown answers calls of services that are not there.
func unknown(_ any, stream grpc.ServerStream) error {
	method, _ := grpc.MethodFromServerStream(stream)
	return refuse(codes.Unimplemented, method+" is not offered: this is a Quipu log, which has streams, gossip and server features only")
}

// Serve answers calls on l until Shutdown, and then returns nil. It closes l.
func (s *Server) Serve(l net.Listener) error {
	if err := s.grpc.Serve(netutil.LimitListener(l, ConnectionsMax)); err != nil && !errors.Is(err, grpc.ErrServerStopped) {
		return err
	}
	return nil
}

// Shutdown takes no more calls, tells clients to go elsewhere, ends subscriptions with UNAVAILABLE and
// waits for the other calls. When ctx ends first it cuts what is left off.
func (s *Server) Shutdown(ctx context.Context) error {
	s.mu.Lock()
	s.closed = true
	for c := range s.calls {
		c.stop(errStopping)
	}
	s.mu.Unlock()
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.grpc.GracefulStop()
	}()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		s.grpc.Stop()
		<-done
		return context.Cause(ctx)
	}
}

// Close cuts every connection at once.
func (s *Server) Close() { s.grpc.Stop() }

var errStopping = errors.New("the server is shutting down")

// call is a subscription in progress: it has no end of its own, so that Shutdown ends it.
type call struct{ stop context.CancelCauseFunc }

// begin returns a context that Shutdown ends too, and what to call at the end.
func (s *Server) begin(ctx context.Context) (context.Context, func(), error) {
	ctx, stop := context.WithCancelCause(ctx)
	c := &call{stop}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		stop(nil)
		return nil, nil, refuse(codes.Unavailable, errStopping.Error())
	}
	s.calls[c] = struct{}{}
	return ctx, func() {
		s.mu.Lock()
		delete(s.calls, c)
		s.mu.Unlock()
		stop(nil)
	}, nil
}

// stopping reports whether ctx ended because of Shutdown.
func (s *Server) stopping(ctx context.Context) bool {
	return ctx.Err() != nil && errors.Is(context.Cause(ctx), errStopping)
}
