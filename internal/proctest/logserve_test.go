package proctest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/shared"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/streams"
	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
)

// freeAddr is an address that was free a moment ago, for a port that has to keep it.
func freeAddr(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	return l.Addr().String()
}

// writer appends to one stream, one event after the other, for as long as it may.
type portWriter struct {
	client streams.StreamsClient
	stream string
	acked  []uuid.UUID
}

// append appends the next event and insists until it is acknowledged: the same id at the same
// revision, whatever became of the attempt before.
func (w *portWriter) append(ctx context.Context) error {
	id := uuid.New()
	for {
		attempt, cancel := context.WithTimeout(ctx, 5*time.Second)
		revision, err := w.once(attempt, id)
		cancel()
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err == nil {
			if revision != uint64(len(w.acked)) {
				return fmt.Errorf("%s: event %d is at revision %d", w.stream, len(w.acked), revision)
			}
			w.acked = append(w.acked, id)
			return nil
		}
		if errors.Is(err, errWrong) {
			return err
		}
		Pause(ctx, 5*time.Millisecond)
	}
}

var errWrong = errors.New("wrong expected version")

func (w *portWriter) once(ctx context.Context, id uuid.UUID) (uint64, error) {
	call, err := w.client.Append(ctx)
	if err != nil {
		return 0, err
	}
	o := &streams.AppendReq_Options{StreamIdentifier: &shared.StreamIdentifier{StreamName: []byte(w.stream)}}
	o.ExpectedStreamRevision = &streams.AppendReq_Options_NoStream{NoStream: &shared.Empty{}}
	if n := len(w.acked); n > 0 {
		o.ExpectedStreamRevision = &streams.AppendReq_Options_Revision{Revision: uint64(n - 1)}
	}
	_ = call.Send(&streams.AppendReq{Content: &streams.AppendReq_Options_{Options: o}})
	_ = call.Send(&streams.AppendReq{Content: &streams.AppendReq_ProposedMessage_{ProposedMessage: &streams.AppendReq_ProposedMessage{
		Id: &shared.UUID{Value: &shared.UUID_String_{String_: id.String()}}, Data: id[:],
		Metadata: map[string]string{"type": "made", "content-type": "application/octet-stream"},
	}}})
	resp, err := call.CloseAndRecv()
	if err != nil {
		return 0, err
	}
	if wrong := resp.GetWrongExpectedVersion(); wrong != nil {
		return 0, fmt.Errorf("%s after %d: %w: %v", w.stream, len(w.acked), errWrong, wrong)
	}
	return resp.GetSuccess().GetCurrentRevision(), nil
}

// A log without an executor, killed at any moment under appends: what a client was told is stored is
// there once, in order, and what it repeats after an unknown outcome is not stored twice.
func TestLogServe_KillLosesNothingAcknowledged(t *testing.T) {
	seed := Seed(t)
	r := rand.New(rand.NewPCG(uint64(seed), 7))
	data, port := DataFolder(t), freeAddr(t)
	o := Options{Data: data, Command: []string{"log", "serve"}, Args: []string{"--kurrentdb-addr", port}}
	conn, err := grpc.NewClient(port, grpc.WithTransportCredentials(insecure.NewCredentials()))
	require.NoError(t, err)
	defer conn.Close()
	writing, stop := context.WithCancel(t.Context())
	defer stop()
	var writers []*portWriter
	var total atomic.Int64
	var g errgroup.Group
	for i := range 8 {
		w := &portWriter{client: streams.NewStreamsClient(conn), stream: fmt.Sprintf("quipu.run-%d", i)}
		if i%2 == 0 {
			w.stream = fmt.Sprintf("orders-%d", i)
		}
		writers = append(writers, w)
		g.Go(func() error {
			for {
				if err := w.append(writing); err != nil {
					if writing.Err() != nil {
						return nil
					}
					return err
				}
				total.Add(1)
			}
		})
	}
	for range max(4, Kills()/5) {
		s := Start(t, o)
		s.Ready()
		before := total.Load()
		Eventually(t, time.Minute, "appends go on", func() bool { return total.Load() > before || t.Context().Err() != nil })
		Pause(t.Context(), time.Duration(r.IntN(150))*time.Millisecond)
		s.Kill()
	}
	s := Start(t, o)
	s.Ready()
	before := total.Load()
	Eventually(t, time.Minute, "appends go on", func() bool { return total.Load() >= before+50 })
	stop()
	require.NoError(t, g.Wait())
	t.Logf("%d appends acknowledged", total.Load())
	client := officialClient(t, port)
	for _, w := range writers {
		read, err := client.ReadStream(t.Context(), w.stream, esdb.ReadStreamOptions{From: esdb.Start{}}, 1<<20)
		require.NoError(t, err)
		for i := 0; ; i++ {
			e, err := read.Recv()
			if errors.Is(err, io.EOF) {
				require.GreaterOrEqual(t, i, len(w.acked), "%s lost events", w.stream)
				require.LessOrEqual(t, i, len(w.acked)+1, "%s has events that nobody appended", w.stream)
				break
			}
			require.NoError(t, err)
			if i < len(w.acked) {
				require.Equal(t, w.acked[i], e.Event.EventID, "%s at %d", w.stream, i)
			}
		}
		read.Close()
	}
	s.Stop()
	code, out := Run(t, "log", "verify", "--data", data)
	require.Zero(t, code, out)
}

func officialClient(t testing.TB, addr string) *esdb.Client {
	t.Helper()
	config, err := esdb.ParseConnectionString("esdb://" + addr + "?tls=false")
	require.NoError(t, err)
	config.Logger = esdb.NoopLogging()
	client, err := esdb.NewClient(config)
	require.NoError(t, err)
	t.Cleanup(func() { _ = client.Close() })
	return client
}

// Users' streams beside runs: a client reads the runs and writes its own, and nothing of Quipu takes
// notice of those, not the list of events, not the checks, not a backup, not the next start.
func TestPort_UsersStreamsAreLeftAlone(t *testing.T) {
	data, port := DataFolder(t), freeAddr(t)
	o := Options{Data: data, Args: []string{"--kurrentdb-addr", port}}
	s := Start(t, o)
	c := s.Client()
	client := officialClient(t, port)
	write := func(stream string) error {
		_, err := client.AppendToStream(t.Context(), stream, esdb.AppendToStreamOptions{ExpectedRevision: esdb.Any{}},
			esdb.EventData{EventID: uuid.New(), EventType: "run.started.v1", ContentType: esdb.ContentTypeJson, Data: []byte(`{}`), Metadata: []byte(`{"prev":"00","data_sha256":"00"}`)})
		return err
	}
	for i := range 20 {
		require.NoError(t, write("run-mine"))
		c.Run(t, dag("f", fmt.Sprint(i), nil, noop("a", 1)))
	}
	require.NoError(t, write("run-mine"))
	require.ErrorContains(t, write("quipu.run-x"), "read-only")
	caughtUp(t, s)

	all, err := client.ReadAll(t.Context(), esdb.ReadAllOptions{From: esdb.Start{}}, 1<<20)
	require.NoError(t, err)
	defer all.Close()
	mine, runs := 0, 0
	for {
		e, err := all.Recv()
		if errors.Is(err, io.EOF) {
			break
		}
		require.NoError(t, err)
		switch stream := e.Event.StreamID; {
		case stream == "run-mine":
			mine++
		case strings.HasPrefix(stream, "quipu."):
			require.WithinRange(t, e.Event.CreatedDate, s.Started.Add(-time.Second), time.Now())
			if e.Event.EventType == "run.completed.v1" {
				runs++
			}
		default:
			t.Errorf("a stream %q", stream)
		}
	}
	require.Equal(t, 21, mine)
	require.Equal(t, 20, runs)
	reply := c.Must(t, http.MethodGet, "/api/events?limit=100", nil)
	require.Equal(t, 200, reply.Status)
	require.NotContains(t, string(reply.Body), "mine")
	code, out := Run(t, "views", "verify", "--data", data)
	require.Zero(t, code, out)
	to := DataFolder(t) + "/backup"
	code, out = Run(t, "log", "backup", "--data", data, "--to", to)
	require.Zero(t, code, out)
	s.Stop()
	for _, folder := range []string{data, to} {
		code, out = Run(t, "log", "verify", "--data", folder)
		require.Zero(t, code, out)
		require.Contains(t, out, "0 problems")
	}
	s = Start(t, o)
	s.Ready()
	quarantined, ok := s.Client().Metric(t.Context(), "quipu_runs_quarantined")
	require.True(t, ok)
	require.Zero(t, quarantined)
	active, _ := s.Client().Metric(t.Context(), "quipu_runs_active")
	require.Zero(t, active)
	s.Stop()
}
