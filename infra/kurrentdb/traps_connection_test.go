package kurrentdb_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/protos/streams"
	"github.com/stretchr/testify/require"

	"quipu/commands/logtest"
	"quipu/domain"
	"quipu/infra/clock"
	"quipu/infra/kurrentdb"
	"quipu/infra/kurrentport/porttest"
	"quipu/infra/memory"
)

// A connection takes 100 calls; the next one waits for its deadline without a word. Readings that fill
// theirs leave appends and the subscription alone, and never ask for more than there are places.
func TestTrap_0_1_HundredStreamsOfReadingsDoNotHoldUpAppends(t *testing.T) {
	t.Parallel()
	r := startRelay(t)
	log := open(t, options(r.url()))
	_, err := log.Append(t.Context(), "run-1", domain.NoStream, logtest.Events(1))
	require.NoError(t, err)
	release := make(chan struct{})
	r.set(func(r *relay) {
		r.onRead = func(ctx context.Context, o *streams.ReadReq_Options) (func(*streams.ReadResp) (*streams.ReadResp, error), error) {
			if ofStream(o) == "quipu.run-1" {
				select {
				case <-release:
				case <-ctx.Done():
				}
			}
			return nil, nil
		}
	})
	const readers = 150
	done := make(chan error, readers)
	for range readers {
		go func() {
			page, err := log.ReadStream(t.Context(), "run-1", 0, 10)
			if err == nil && len(page) == 0 {
				err = errors.New("an empty page")
			}
			done <- err
		}()
	}
	eventually(t, func() bool { return r.openReads.now.Load() >= kurrentdb.CallsMax })
	began := clock.System{}.Monotonic()
	for i := range 20 {
		_, err := log.Append(t.Context(), "run-2", domain.Revision(i)-1, logtest.Events(1))
		require.NoError(t, err)
	}
	require.Less(t, clock.System{}.Monotonic()-began, 3*time.Second)
	close(release)
	for range readers {
		require.NoError(t, <-done)
	}
	require.LessOrEqual(t, r.openReads.most.Load(), int64(kurrentdb.CallsMax))
}

// Any number of subscriptions in this process is one on the server.
func TestTrap_0_1_HundredStreamsAreNotSpentOnSubscriptions(t *testing.T) {
	t.Parallel()
	r := startRelay(t)
	log := open(t, options(r.url()))
	var wg sync.WaitGroup
	var seen atomic.Int64
	for range 300 {
		sub, err := log.Subscribe(t.Context(), 0, "run-")
		require.NoError(t, err)
		wg.Go(func() {
			for n := 0; n < 10; {
				b, err := sub.Next(t.Context())
				if err != nil {
					t.Errorf("next: %v", err)
					return
				}
				n += len(b.Events)
				seen.Add(int64(len(b.Events)))
			}
		})
	}
	for i := range 10 {
		_, err := log.Append(t.Context(), "run-1", domain.Revision(i)-1, logtest.Events(1))
		require.NoError(t, err)
	}
	wg.Wait()
	require.Equal(t, int64(3000), seen.Load())
	require.Equal(t, int64(1), r.subscriptions.Load())
}

// Appends of different streams go out together: the server gathers what is under way into one flush.
func TestTrap_3_4_AppendsGoOutTogetherWithinTheirPlaces(t *testing.T) {
	t.Parallel()
	r := startRelay(t)
	log := open(t, options(r.url()))
	release := make(chan struct{})
	r.set(func(r *relay) {
		r.onAppend = func(_ context.Context, _ []*streams.AppendReq, forward func() (*streams.AppendResp, error)) (*streams.AppendResp, error) {
			<-release
			return forward()
		}
	})
	const appenders = 200
	done := make(chan error, appenders)
	for i := range appenders {
		go func() {
			_, err := log.Append(t.Context(), domain.StreamID(fmt.Sprintf("run-%d", i)), domain.NoStream, logtest.Events(1))
			done <- err
		}()
	}
	eventually(t, func() bool { return r.openAppends.now.Load() == kurrentdb.CallsMax })
	close(release)
	for range appenders {
		require.NoError(t, <-done)
	}
	require.Equal(t, int64(kurrentdb.CallsMax), r.openAppends.most.Load())
}

// The library stops looking for a server after a second, for good, and calls that wait for it then hang for
// ever. Here they end when their time does, and everything goes on when the server is back.
func TestTrap_0_2_DiscoveryFailureIsNotTheEnd(t *testing.T) {
	t.Parallel()
	port := porttest.Start(t, memory.NewLog())
	o := options(port.URL())
	o.ConnectWait = 100 * time.Millisecond
	log := open(t, o)
	sub, err := log.Subscribe(t.Context(), 0, "")
	require.NoError(t, err)
	port.Kill()
	system := clock.System{}
	for began := system.Monotonic(); system.Monotonic()-began < 2*time.Second; {
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() {
				ctx, cancel := context.WithTimeout(t.Context(), 250*time.Millisecond)
				defer cancel()
				asked := system.Monotonic()
				_, err := log.Append(ctx, "run-1", domain.NoStream, logtest.Events(1))
				if domain.KindOf(err) != domain.KindUnavailable && domain.KindOf(err) != domain.KindIndeterminate && domain.KindOf(err) != domain.KindDeadline {
					t.Errorf("append: %v", err)
				}
				_, err = log.ReadStream(ctx, "run-1", 0, 1)
				if domain.KindOf(err) != domain.KindUnavailable && domain.KindOf(err) != domain.KindDeadline {
					t.Errorf("read: %v", err)
				}
				if took := system.Monotonic() - asked; took > 2*time.Second {
					t.Errorf("the calls took %v", took)
				}
			})
		}
		wg.Wait()
	}
	port.Restart()
	events := logtest.Events(1)
	eventually(t, func() bool {
		_, err := log.Append(t.Context(), "run-1", domain.NoStream, events)
		return err == nil
	})
	b, err := sub.Next(t.Context())
	require.NoError(t, err)
	require.Equal(t, events[0].ID, b.Events[0].ID)
	eventually(t, func() bool { return log.LeftBehind() == 0 })
}

// A wait for a server heeds its caller at once, also while the first one is looked for.
func TestTrap_0_2_OpenWaitsNoLongerThanItIsTold(t *testing.T) {
	t.Parallel()
	port := porttest.Start(t, memory.NewLog())
	port.Kill()
	o := options("esdb://ops:hunter2@" + port.Addr() + "?tls=false")
	o.OpenTimeout = 300 * time.Millisecond
	_, err := kurrentdb.Open(t.Context(), o)
	require.ErrorIs(t, err, domain.ErrUnavailable)
	require.ErrorContains(t, err, port.Addr())
	require.NotContains(t, err.Error(), "hunter2")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = kurrentdb.Open(ctx, o)
	require.ErrorIs(t, err, domain.ErrCanceled)
	port.Restart() // so that what still looks for a server finds it and ends
	eventually(t, func() bool {
		log, err := kurrentdb.Open(t.Context(), options(port.URL()))
		return err == nil && log.Close() == nil
	})
}

// The library panics when it is closed under a call.
func TestTrap_0_3_CloseUnderLoadDoesNotPanic(t *testing.T) {
	t.Parallel()
	port := porttest.Start(t, memory.NewLog())
	for round := range 6 {
		log := open(t, options(port.URL()))
		var wg sync.WaitGroup
		var started atomic.Int64
		for i := range 40 {
			wg.Go(func() {
				id := domain.StreamID(fmt.Sprintf("run-%d-%d", round, i))
				for n := 0; ; n++ {
					var err error
					switch i % 4 {
					case 0, 1:
						_, err = log.Append(t.Context(), id, domain.Revision(n)-1, logtest.Events(1))
					case 2:
						_, err = log.ReadAll(t.Context(), 0, 10)
					default:
						_, err = log.Head(t.Context())
					}
					if n == 0 {
						started.Add(1)
					}
					if err != nil {
						if k := domain.KindOf(err); k != domain.KindUnavailable && k != domain.KindIndeterminate {
							t.Errorf("%v", err)
						}
						return
					}
				}
			})
		}
		_, err := log.Subscribe(t.Context(), 0, "")
		require.NoError(t, err)
		eventually(t, func() bool { return started.Load() == 40 })
		require.NoError(t, log.Close())
		wg.Wait()
		eventually(t, func() bool { return log.LeftBehind() == 0 })
	}
}

// A log whose server is away closes at once, whatever hangs in the library.
func TestTrap_0_3_CloseWhileTheServerIsAway(t *testing.T) {
	t.Parallel()
	port := porttest.Start(t, memory.NewLog())
	log, err := kurrentdb.Open(t.Context(), options(port.URL()))
	require.NoError(t, err)
	sub, err := log.Subscribe(t.Context(), 0, "")
	require.NoError(t, err)
	port.Kill()
	done := make(chan error, 50)
	for range cap(done) {
		go func() {
			_, err := log.Append(t.Context(), "run-1", domain.NoStream, logtest.Events(1))
			done <- err
		}()
	}
	eventually(t, func() bool { return log.Connections() == 0 || len(done) > 0 })
	began := clock.System{}.Monotonic()
	require.NoError(t, log.Close())
	require.Less(t, clock.System{}.Monotonic()-began, 5*time.Second)
	for range cap(done) {
		err := <-done
		require.True(t, errors.Is(err, domain.ErrUnavailable) || errors.Is(err, domain.ErrIndeterminate), "%v", err)
	}
	_, err = sub.Next(t.Context())
	require.ErrorIs(t, err, domain.ErrUnavailable)
	port.Restart() // what the library still looks for ends with that; otherwise with the process
}

// The library cannot read the version of a server that was built from its sources and then never connects:
// the error says what is wrong.
func TestTrap_0_9_PrereleaseVersionIsNamed(t *testing.T) {
	t.Parallel()
	r := startRelay(t)
	r.set(func(r *relay) { r.version = "24.10.0-prerelease" })
	o := options(r.url())
	o.OpenTimeout = 500 * time.Millisecond
	_, err := kurrentdb.Open(t.Context(), o)
	require.ErrorIs(t, err, domain.ErrUnavailable)
	require.ErrorContains(t, err, "cannot read the version")
	for _, version := range []string{"24.10.0", "26.0.1.4", "23.10"} {
		r.set(func(r *relay) { r.version = version })
		log, err := kurrentdb.Open(t.Context(), options(r.url()))
		require.NoError(t, err, version)
		require.NoError(t, log.Close())
	}
}

// User and password are not sent without TLS, which the library does not say.
func TestTrap_1_3_PasswordWithoutTLSIsNoted(t *testing.T) {
	t.Parallel()
	port := porttest.Start(t, memory.NewLog())
	var lines bytes.Buffer
	o := options("esdb://ops:hunter2@" + port.Addr() + "?tls=false&connectionName=a")
	o.Logger = slog.New(slog.NewTextHandler(&lines, nil))
	log, err := kurrentdb.Open(t.Context(), o)
	require.NoError(t, err)
	require.NoError(t, log.Close())
	require.Contains(t, lines.String(), "user and password are not sent")
	require.Contains(t, lines.String(), "connectionName")
	require.NotContains(t, lines.String(), "hunter2")
}

// Readings have no deadline of their own in the library: on a server that accepts them and falls silent
// they would never end.
func TestTrap_1_3_ReadingsHaveADeadline(t *testing.T) {
	t.Parallel()
	r := startRelay(t)
	o := options(r.url())
	o.CallTimeout = 300 * time.Millisecond
	log := open(t, o)
	r.set(func(r *relay) {
		r.onRead = func(ctx context.Context, _ *streams.ReadReq_Options) (func(*streams.ReadResp) (*streams.ReadResp, error), error) {
			<-ctx.Done()
			return nil, ctx.Err()
		}
		r.onAppend = func(ctx context.Context, _ []*streams.AppendReq, _ func() (*streams.AppendResp, error)) (*streams.AppendResp, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		}
	})
	_, err := log.ReadStream(t.Context(), "run-1", 0, 1)
	require.ErrorIs(t, err, domain.ErrUnavailable)
	_, err = log.Head(t.Context())
	require.ErrorIs(t, err, domain.ErrUnavailable)
	_, err = log.Append(t.Context(), "run-1", domain.NoStream, logtest.Events(1))
	require.ErrorIs(t, err, domain.ErrIndeterminate)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	_, err = log.ReadAll(ctx, 0, 1)
	require.ErrorIs(t, err, domain.ErrDeadline)
	r.set(func(r *relay) { r.onRead, r.onAppend = nil, nil })
	eventually(t, func() bool {
		_, err := log.Append(t.Context(), "run-1", domain.NoStream, logtest.Events(1))
		return err == nil
	})
	eventually(t, func() bool { return log.LeftBehind() == 0 })
}

// Each rediscovery of the library replaces a connection without closing it. Here a connection that failed is
// closed and its client with it, so that restarts leave nothing behind.
func TestTrap_3_1_NoGoroutineLeaksOverAHundredRestarts(t *testing.T) {
	// Not parallel: it counts the goroutines of the process.
	port := porttest.Start(t, memory.NewLog())
	log := open(t, options(port.URL()))
	sub, err := log.Subscribe(t.Context(), 0, "")
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	var appended atomic.Int64
	for i := range 4 {
		wg.Go(func() {
			for n := domain.NoStream; ctx.Err() == nil; {
				events := logtest.Events(1)
				for ctx.Err() == nil {
					at, err := log.Append(ctx, domain.StreamID(fmt.Sprintf("run-%d", i)), n, events)
					if err == nil {
						n = at.Revision
						appended.Add(1)
						break
					}
					if k := domain.KindOf(err); ctx.Err() == nil && k != domain.KindUnavailable && k != domain.KindIndeterminate {
						t.Errorf("append: %v", err)
						return
					}
				}
			}
		})
	}
	settle := func() int {
		before := appended.Load()
		eventually(t, func() bool { return appended.Load() > before+8 && log.Connections() == 3 })
		return runtime.NumGoroutine()
	}
	first := settle()
	for range 100 {
		port.Kill()
		port.Restart()
		settle()
	}
	eventually(t, func() bool { return settle() <= first+15 }, "goroutines pile up")
	cancel()
	wg.Wait()
	head, err := log.Head(t.Context())
	require.NoError(t, err)
	count, last := int64(0), domain.Position(0)
	for last < head {
		b, err := sub.Next(t.Context())
		require.NoError(t, err)
		count, last = count+int64(len(b.Events)), b.Position
	}
	require.GreaterOrEqual(t, count, appended.Load(), "what was acknowledged is there, and was brought, once")
	all := 0
	for at := domain.Position(0); ; {
		page, err := log.ReadAll(t.Context(), at, 1000)
		require.NoError(t, err)
		if len(page) == 0 {
			break
		}
		all, at = all+len(page), page[len(page)-1].Position
	}
	require.Equal(t, int64(all), count)
	t.Logf("%d goroutines before, %d after 100 restarts; %d events", first, runtime.NumGoroutine(), all)
}

// Faults of a connection string are told by name, and none shows the password.
func TestURL(t *testing.T) {
	t.Parallel()
	for url, want := range map[string]string{
		"esdb://h": "", "kurrentdb://h:1": "", "esdb+discover://h": "", "kurrentdb+discover://a:1,b:2?tls=false": "",
		"esdb://u:p%40ss,word@a:1,b:2/?tls=true&tlsVerifyCert=false&nodePreference=follower": "",
		"http://u:hunter2@h":                      "scheme must be",
		"esdb://":                                 "names no host",
		"esdb://u:hunter2@":                       "names no host",
		"esdb://u:hunter2@h/x":                    "a path",
		"esdb://u:hun/ter2@h:1":                   "",
		"esdb://:hunter2@h":                       "without a user",
		"esdb://u:hunter2@h:x":                    "port",
		"esdb://u:hun#ter2@h":                     "port",
		"esdb://h:1,,i:2":                         "empty host",
		"esdb://h?tls=perhaps":                    "tls",
		"esdb://h?nodePreference=me":              "odePreference",
		"esdb://h?keepAliveInterval=-7":           "eepAliveInterval",
		"esdb://h?tlsCaFile=/no/such":             "tlsCaFile cannot be read",
		"esdb://h?userCertFile=/no":               "must be provided",
		"esdb://h?userCertFile=/a&userKeyFile=/b": "cannot be used",
	} {
		hosts, _, err := kurrentdb.ParseURL(url)
		if want == "" && err == nil {
			require.NotContains(t, hosts, "@")
			continue
		}
		require.ErrorIs(t, err, domain.ErrInvalid, url)
		require.ErrorContains(t, err, want, url)
		for _, secret := range []string{"hunter2", "hun/", "hun#", "ter2"} {
			require.NotContains(t, err.Error(), secret)
		}
		require.ErrorContains(t, err, "write it like")
		require.True(t, strings.HasPrefix(err.Error(), "connect to the log: log: "), err)
	}
}
