package kurrentdb_test

import (
	"context"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/protos/streams"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"quipu/commands"
	"quipu/commands/logtest"
	"quipu/domain"
	"quipu/infra/kurrentdb"
)

// onSubscriptions is onRead for the subscription alone.
func onSubscriptions(f func(ctx context.Context, o *streams.ReadReq_Options) func(*streams.ReadResp) (*streams.ReadResp, error)) func(context.Context, *streams.ReadReq_Options) (func(*streams.ReadResp) (*streams.ReadResp, error), error) {
	return func(ctx context.Context, o *streams.ReadReq_Options) (func(*streams.ReadResp) (*streams.ReadResp, error), error) {
		if !subscribing(o) {
			return nil, nil
		}
		return f(ctx, o), nil
	}
}

// expectInOrder reads sub until it brought every event of streams run-0… of n events each, and checks that
// each stream came whole and in order.
func expectInOrder(t *testing.T, sub commands.Subscription, total int) {
	t.Helper()
	heads := map[domain.StreamID]domain.Revision{}
	for after, seen := domain.Position(0), 0; seen < total; {
		ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
		b, err := sub.Next(ctx)
		cancel()
		require.NoError(t, err)
		for _, r := range b.Events {
			require.Greater(t, r.Position, after)
			after = r.Position
			next, ok := heads[r.Stream]
			if !ok {
				next = 0
			}
			require.Equal(t, next, r.Revision, "stream %s", r.Stream)
			heads[r.Stream] = next + 1
			seen++
		}
	}
}

func write(t *testing.T, log *kurrentdb.Log, streams, appends int) {
	t.Helper()
	var wg sync.WaitGroup
	for s := range streams {
		wg.Go(func() {
			for n := range appends {
				if _, err := log.Append(t.Context(), domain.StreamID(fmt.Sprintf("run-%d", s)), domain.Revision(n*2)-1, logtest.Events(2)); err != nil {
					t.Errorf("append: %v", err)
					return
				}
			}
		})
	}
	wg.Wait()
}

// Nobody resumes a subscription that the server dropped, and the error it leaves is a bare status.
func TestTrap_0_7_DroppedSubscriptionIsResumed(t *testing.T) {
	t.Parallel()
	for _, end := range []error{
		status.Error(codes.Unavailable, "the server shuts down"), status.Error(codes.Aborted, "consumer too slow"),
		status.Error(codes.Internal, "stream reset"), status.Error(codes.Unknown, ""), nil,
	} {
		t.Run(status.Code(end).String(), func(t *testing.T) {
			t.Parallel()
			r := startRelay(t)
			var dropped atomic.Int64
			r.set(func(r *relay) {
				r.onRead = onSubscriptions(func(context.Context, *streams.ReadReq_Options) func(*streams.ReadResp) (*streams.ReadResp, error) {
					left := 37
					return func(m *streams.ReadResp) (*streams.ReadResp, error) {
						if left--; left < 0 && dropped.Load() < 10 {
							dropped.Add(1)
							if end == nil {
								return nil, io.EOF // the call ends as if all were well
							}
							return nil, end
						}
						return m, nil
					}
				})
			})
			var told atomic.Int64
			o := options(r.url())
			o.Hooks.Resubscribing = func(err error, _ time.Duration) { told.Add(1) }
			log := open(t, o)
			sub, err := log.Subscribe(t.Context(), 0, "")
			require.NoError(t, err)
			write(t, log, 4, 100)
			expectInOrder(t, sub, 800)
			require.Equal(t, int64(10), dropped.Load())
			require.GreaterOrEqual(t, told.Load(), int64(10))
		})
	}
}

// The library asks for a look at 32 events at a time and a checkpoint after each; ours are set, and the
// subscription goes on from the last checkpoint, not from the last event of ours.
func TestTrap_0_8_SearchWindowAndCheckpoints(t *testing.T) {
	t.Parallel()
	r := startRelay(t)
	var mu sync.Mutex
	var asked []*streams.ReadReq_Options
	var last, resumed atomic.Uint64
	drop := make(chan struct{})
	r.set(func(r *relay) {
		r.onRead = onSubscriptions(func(_ context.Context, o *streams.ReadReq_Options) func(*streams.ReadResp) (*streams.ReadResp, error) {
			mu.Lock()
			asked = append(asked, o)
			mu.Unlock()
			if len(asked) > 1 {
				resumed.CompareAndSwap(0, o.GetAll().GetPosition().GetCommitPosition())
			}
			return func(m *streams.ReadResp) (*streams.ReadResp, error) {
				select {
				case <-drop:
					if last.Load() > 0 && resumed.Load() == 0 {
						return nil, status.Error(codes.Unavailable, "dropped")
					}
				default:
				}
				if c := m.GetCheckpoint(); c != nil {
					last.Store(c.CommitPosition)
				}
				return m, nil
			}
		})
	})
	log := open(t, options(r.url()))
	sub, err := log.Subscribe(t.Context(), 0, "")
	require.NoError(t, err)
	at, err := log.Append(t.Context(), "run-0", domain.NoStream, logtest.Events(1))
	require.NoError(t, err)
	expectInOrder(t, sub, 1)
	stranger(t, r.url())("noise", 9000)
	eventually(t, func() bool { return last.Load() > uint64(at.Position)+4000 }, "checkpoints tell how far the server looked")
	close(drop)
	_, err = log.Append(t.Context(), "run-0", 0, logtest.Events(1))
	require.NoError(t, err)
	b, err := sub.Next(t.Context())
	require.NoError(t, err)
	require.Equal(t, domain.Revision(1), b.Events[0].Revision)
	eventually(t, func() bool { return resumed.Load() > 0 })
	require.Greater(t, resumed.Load(), uint64(at.Position)+4000)
	mu.Lock()
	defer mu.Unlock()
	f := asked[0].GetFilter()
	require.Equal(t, []string{"quipu."}, f.GetStreamIdentifier().GetPrefix())
	require.GreaterOrEqual(t, f.GetMax(), uint32(1000))
	require.LessOrEqual(t, f.GetMax(), uint32(4000))
	require.Positive(t, f.GetCheckpointIntervalMultiplier())
}

// Older servers never say that a subscription has caught up, and none relies on it.
func TestTrap_2_4_CaughtUpIsKnownWithoutTheServer(t *testing.T) {
	t.Parallel()
	r := startRelay(t)
	r.set(func(r *relay) {
		r.onRead = onSubscriptions(func(context.Context, *streams.ReadReq_Options) func(*streams.ReadResp) (*streams.ReadResp, error) {
			return func(m *streams.ReadResp) (*streams.ReadResp, error) {
				switch m.Content.(type) {
				case *streams.ReadResp_CaughtUp_, *streams.ReadResp_Checkpoint_:
					return &streams.ReadResp{Content: &streams.ReadResp_FellBehind_{FellBehind: &streams.ReadResp_FellBehind{}}}, nil
				}
				return m, nil
			}
		})
	})
	log := open(t, options(r.url()))
	sub, err := log.Subscribe(t.Context(), 0, "")
	require.NoError(t, err)
	for i := range 5 {
		at, err := log.Append(t.Context(), "run-1", domain.Revision(i)-1, logtest.Events(1))
		require.NoError(t, err)
		b, err := sub.Next(t.Context())
		require.NoError(t, err)
		require.True(t, b.CaughtUp)
		require.Equal(t, at.Position, b.Position)
	}
}

// A server that lives and brings nothing is not noticed by pings. Its own appends tell a node that there must
// be something; so does, after a while, the head, when another node appends.
func TestTrap_3_2_LiveButSilentServerIsLeft(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"own appends", "appends of another node"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := startRelay(t)
			var silent atomic.Bool
			r.set(func(r *relay) {
				r.onRead = onSubscriptions(func(ctx context.Context, _ *streams.ReadReq_Options) func(*streams.ReadResp) (*streams.ReadResp, error) {
					if silent.Swap(false) {
						silent.Store(false)
					}
					return func(m *streams.ReadResp) (*streams.ReadResp, error) {
						if silent.Load() {
							<-ctx.Done() // this subscription stays open and brings nothing more
							return nil, ctx.Err()
						}
						return m, nil
					}
				})
			})
			var told atomic.Int64
			o := options(r.url())
			o.Hooks.Resubscribing = func(error, time.Duration) { told.Add(1) }
			log := open(t, o)
			writer := log
			if name != "own appends" {
				writer = open(t, options(r.url()))
			}
			sub, err := log.Subscribe(t.Context(), 0, "")
			require.NoError(t, err)
			write(t, writer, 1, 5)
			expectInOrder(t, sub, 10)
			silent.Store(true)
			_, err = writer.Append(t.Context(), "run-0", 9, logtest.Events(1))
			require.NoError(t, err)
			b, err := sub.Next(t.Context())
			require.NoError(t, err)
			require.Equal(t, domain.Revision(10), b.Events[0].Revision)
			require.Positive(t, told.Load())
		})
	}
}

// A subscription that is not confirmed is given up like one that is silent.
func TestTrap_3_2_UnconfirmedSubscriptionIsLeft(t *testing.T) {
	t.Parallel()
	r := startRelay(t)
	var first atomic.Bool
	r.set(func(r *relay) {
		r.onRead = onSubscriptions(func(ctx context.Context, _ *streams.ReadReq_Options) func(*streams.ReadResp) (*streams.ReadResp, error) {
			if first.CompareAndSwap(false, true) {
				return func(*streams.ReadResp) (*streams.ReadResp, error) {
					<-ctx.Done()
					return nil, ctx.Err()
				}
			}
			return nil
		})
	})
	o := options(r.url())
	o.CallTimeout = 300 * time.Millisecond
	log := open(t, o)
	sub, err := log.Subscribe(t.Context(), 0, "")
	require.NoError(t, err)
	write(t, log, 1, 2)
	expectInOrder(t, sub, 4)
}

// Ten thousand readers are one subscription and a ring. Who lags behind the ring reads from the server, a few
// at a time, and joins again.
func TestTrap_3_5_SlowReaderLeavesTheRingAndRejoins(t *testing.T) {
	t.Parallel()
	r := startRelay(t)
	o := options(r.url())
	o.RingEvents = 64
	log := open(t, o)
	slow, err := log.Subscribe(t.Context(), 0, "")
	require.NoError(t, err)
	quick, err := log.Subscribe(t.Context(), 0, "")
	require.NoError(t, err)
	done := make(chan struct{})
	go func() {
		defer close(done)
		write(t, log, 4, 200)
	}()
	expectInOrder(t, quick, 1600)
	<-done
	expectInOrder(t, slow, 1600)
	require.Equal(t, int64(1), r.subscriptions.Load())
	_, err = log.Append(t.Context(), "run-9", domain.NoStream, logtest.Events(1))
	require.NoError(t, err)
	for _, sub := range []commands.Subscription{slow, quick} {
		b, err := sub.Next(t.Context())
		require.NoError(t, err)
		require.Len(t, b.Events, 1)
		require.True(t, b.CaughtUp)
	}
}
