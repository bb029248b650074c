package kurrentport_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"testing"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/streams"
	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"quipu/infra/embedded"
	"quipu/infra/kurrentport"
	"quipu/infra/kurrentport/porttest"
)

// testTimeout ends what waits for something that never comes.
const testTimeout = 30 * time.Second

func deadline(t testing.TB) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), testTimeout)
	t.Cleanup(cancel)
	return ctx
}

func openLog(t testing.TB, dir string) *embedded.Log {
	t.Helper()
	log, err := embedded.Open(dir, embedded.Options{SegmentBytes: 1 << 20})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, log.Close()) })
	return log
}

func start(t testing.TB, change ...func(*kurrentport.Options)) *porttest.Port {
	t.Helper()
	return porttest.Start(t, openLog(t, t.TempDir()), change...)
}

// official returns the official client.
func official(t testing.TB, url string) *esdb.Client {
	t.Helper()
	config, err := esdb.ParseConnectionString(url)
	require.NoError(t, err)
	config.Logger = esdb.NoopLogging()
	client, err := esdb.NewClient(config)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, client.Close()) })
	return client
}

// dial returns a bare connection.
func dial(t testing.TB, p *porttest.Port, options ...grpc.DialOption) *grpc.ClientConn {
	t.Helper()
	conn, err := grpc.NewClient(p.Addr(), append([]grpc.DialOption{grpc.WithTransportCredentials(insecure.NewCredentials())}, options...)...)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, conn.Close()) })
	return conn
}

func raw(t testing.TB, p *porttest.Port) streams.StreamsClient {
	t.Helper()
	return streams.NewStreamsClient(dial(t, p))
}

func event(typ, data string) esdb.EventData {
	return esdb.EventData{EventID: uuid.New(), EventType: typ, ContentType: esdb.ContentTypeJson, Data: []byte(data), Metadata: []byte(`{"by":"test"}`)}
}

// drain reads a bounded read to its end.
func drain(t testing.TB, s *esdb.ReadStream, err error) ([]*esdb.RecordedEvent, error) {
	t.Helper()
	if err != nil {
		return nil, err
	}
	defer s.Close()
	var all []*esdb.RecordedEvent
	for {
		e, err := s.Recv()
		if errors.Is(err, io.EOF) {
			return all, nil
		}
		if err != nil {
			return all, err
		}
		all = append(all, e.Event)
	}
}

func datas(events []*esdb.RecordedEvent) (all []string) {
	for _, e := range events {
		all = append(all, string(e.Data))
	}
	return all
}

// code is the official client's word for an error.
func code(t testing.TB, err error) esdb.ErrorCode {
	t.Helper()
	var e *esdb.Error
	require.ErrorAs(t, err, &e)
	return e.Code()
}

// take receives n messages of a subscription as words.
func take(t testing.TB, s *esdb.Subscription, n int) (all []string) {
	t.Helper()
	for range n {
		e := s.Recv()
		switch {
		case e.SubscriptionDropped != nil:
			require.NoError(t, e.SubscriptionDropped.Error, "after %v", all)
		case e.EventAppeared != nil:
			all = append(all, "event "+string(e.EventAppeared.Event.Data))
		case e.CheckPointReached != nil:
			all = append(all, fmt.Sprintf("checkpoint %d", e.CheckPointReached.Commit))
		case e.CaughtUp != nil:
			all = append(all, "live")
		}
	}
	return all
}
