package kurrentdb_test

import (
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/EventStore/EventStore-Client-Go/v4/protos/serverfeatures"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/shared"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/streams"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"quipu/infra/kurrentport"
	"quipu/infra/kurrentport/porttest"
	"quipu/infra/memory"
)

// relay stands between the adapter and the port and does what real servers do at their worst: the faults
// that a test wants, on calls that are otherwise carried out.
type relay struct {
	streams.UnimplementedStreamsServer
	serverfeatures.UnimplementedServerFeaturesServer

	addr string
	next streams.StreamsClient
	grpc *grpc.Server

	// Set by tests before calls come, or swapped through set.
	mu      sync.Mutex
	version string
	// onAppend answers an append; forward carries it out.
	onAppend func(ctx context.Context, request []*streams.AppendReq, forward func() (*streams.AppendResp, error)) (*streams.AppendResp, error)
	// onRead may refuse a reading, or return what changes each message on its way; a nil message is left out.
	onRead func(ctx context.Context, o *streams.ReadReq_Options) (func(*streams.ReadResp) (*streams.ReadResp, error), error)

	appends, reads         atomic.Int64 // received in all
	subscriptions          atomic.Int64
	openReads, openAppends gauge
}

// gauge counts what is open, and the most there was at once.
type gauge struct{ now, most atomic.Int64 }

func (g *gauge) enter() (leave func()) {
	n := g.now.Add(1)
	for m := g.most.Load(); n > m && !g.most.CompareAndSwap(m, n); m = g.most.Load() {
	}
	return func() { g.now.Add(-1) }
}

// startRelay starts a relay before a port with a log of its own.
func startRelay(tb testing.TB, change ...func(*kurrentport.Options)) *relay {
	return relayTo(tb, porttest.Start(tb, memory.NewLog(), change...).Addr())
}

func relayTo(tb testing.TB, addr string) *relay {
	tb.Helper()
	conn, err := grpc.NewClient(addr, grpc.WithTransportCredentials(insecure.NewCredentials()))
	require.NoError(tb, err)
	r := &relay{next: streams.NewStreamsClient(conn), grpc: grpc.NewServer(grpc.MaxConcurrentStreams(100)), version: "24.10.6"}
	streams.RegisterStreamsServer(r.grpc, r)
	serverfeatures.RegisterServerFeaturesServer(r.grpc, r)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(tb, err)
	r.addr = l.Addr().String()
	served := make(chan error, 1)
	go func() { served <- r.grpc.Serve(l) }()
	tb.Cleanup(func() {
		r.grpc.Stop()
		require.NoError(tb, <-served)
		require.NoError(tb, conn.Close())
	})
	return r
}

func (r *relay) url() string { return "esdb://" + r.addr + "?tls=false" }

// set changes the relay between calls.
func (r *relay) set(change func(*relay)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	change(r)
}

func (r *relay) GetSupportedMethods(context.Context, *shared.Empty) (*serverfeatures.SupportedMethods, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return &serverfeatures.SupportedMethods{EventStoreServerVersion: r.version}, nil
}

func (r *relay) Append(stream streams.Streams_AppendServer) error {
	r.appends.Add(1)
	defer r.openAppends.enter()()
	r.mu.Lock()
	on := r.onAppend
	r.mu.Unlock()
	var request []*streams.AppendReq
	for {
		m, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		request = append(request, m)
	}
	forward := func() (*streams.AppendResp, error) {
		var trailer metadata.MD
		out, err := r.next.Append(stream.Context(), grpc.Trailer(&trailer))
		if err != nil {
			return nil, err
		}
		for _, m := range request {
			if err := out.Send(m); err != nil {
				break // the answer says why
			}
		}
		answer, err := out.CloseAndRecv()
		if err != nil {
			stream.SetTrailer(trailer)
		}
		return answer, err
	}
	answer, err := forwardOr(stream.Context(), on, request, forward)
	if err != nil {
		return err
	}
	return stream.SendAndClose(answer)
}

func forwardOr(ctx context.Context, on func(context.Context, []*streams.AppendReq, func() (*streams.AppendResp, error)) (*streams.AppendResp, error),
	request []*streams.AppendReq, forward func() (*streams.AppendResp, error),
) (*streams.AppendResp, error) {
	if on == nil {
		return forward()
	}
	return on(ctx, request, forward)
}

func (r *relay) Read(q *streams.ReadReq, stream streams.Streams_ReadServer) error {
	r.reads.Add(1)
	if q.GetOptions().GetSubscription() != nil {
		r.subscriptions.Add(1)
	}
	defer r.openReads.enter()()
	r.mu.Lock()
	on := r.onRead
	r.mu.Unlock()
	change := func(m *streams.ReadResp) (*streams.ReadResp, error) { return m, nil }
	if on != nil {
		own, err := on(stream.Context(), q.GetOptions())
		if err != nil {
			return err
		}
		if own != nil {
			change = own
		}
	}
	var trailer metadata.MD
	in, err := r.next.Read(stream.Context(), q, grpc.Trailer(&trailer))
	if err != nil {
		return err
	}
	for {
		m, err := in.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			stream.SetTrailer(trailer)
			return err
		}
		if m, err = change(m); errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if m == nil {
			continue
		}
		if err := stream.Send(m); err != nil {
			return err
		}
	}
}

// refuseWith ends a call with a status and, in the trailer, what the real server calls an exception.
func refuseWith(ctx context.Context, s *status.Status, trailer map[string]string) error {
	if len(trailer) > 0 {
		_ = grpc.SetTrailer(ctx, metadata.New(trailer)) // only a test's missing trailer would fail it
	}
	return s.Err()
}

// subscribing tells readings that follow from those that end.
func subscribing(o *streams.ReadReq_Options) bool { return o.GetSubscription() != nil }

// ofStream is the stream that a reading is of, "" for $all.
func ofStream(o *streams.ReadReq_Options) string {
	return string(o.GetStream().GetStreamIdentifier().GetStreamName())
}
