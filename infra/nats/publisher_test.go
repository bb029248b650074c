package nats_test

import (
	"fmt"
	"strconv"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"quipu/domain"
	"quipu/infra/nats"
	"quipu/infra/nats/natstest"
)

func msg(id string) *message.Message { return message.NewMessage(id, []byte("data of "+id)) }

func stream(t *testing.T, url, name string) *jetstream.StreamInfo {
	t.Helper()
	js, err := jetstream.New(connect(t, url))
	require.NoError(t, err)
	eventually(t, func() bool { _, err := js.Stream(t.Context(), name); return err == nil }, "the stream")
	s, err := js.Stream(t.Context(), name)
	require.NoError(t, err)
	return s.CachedInfo()
}

func TestPublisher_MakesTheStreamAndStoresEachIDOnce(t *testing.T) {
	s := natstest.Start(t)
	p, err := nats.NewPublisher(connect(t, s.URL()), nats.PublisherOptions{
		Suffix:  func(m *message.Message) string { return m.Metadata.Get("kind") },
		Streams: nats.StreamOptions{AgeMax: time.Hour, BytesMax: 1 << 20, MessagesMax: 100, Duplicates: time.Minute},
	})
	require.NoError(t, err)
	m := msg("a")
	m.Metadata.Set("kind", "task_started")
	for range 3 {
		eventually(t, func() bool { return p.Publish("quipu-run", m) == nil }, "published")
	}
	require.NoError(t, p.Publish("quipu-run", msg("b"), msg("c")))
	info := stream(t, s.URL(), "quipu-run")
	require.EqualValues(t, 3, info.State.Msgs, "a repeat within the window is stored once")
	c := info.Config
	require.Equal(t, []string{"quipu-run", "quipu-run.>"}, c.Subjects)
	require.Equal(t, []any{time.Hour, int64(1 << 20), int64(100), time.Minute, jetstream.FileStorage, 1},
		[]any{c.MaxAge, c.MaxBytes, c.MaxMsgs, c.Duplicates, c.Storage, c.Replicas})

	require.ErrorIs(t, p.Publish("with.dot", m), domain.ErrInvalid)
	require.ErrorIs(t, p.Publish("quipu-run", message.NewMessage("big", make([]byte, 2<<20))), domain.ErrInvalid)
	require.NoError(t, p.Close())
	require.ErrorIs(t, p.Publish("quipu-run", m), domain.ErrUnavailable)
}

// A stream that its operator made stays as it is; one that takes other subjects is no place to publish to.
func TestPublisher_StreamsOfOthers(t *testing.T) {
	s := natstest.Start(t)
	conn := connect(t, s.URL())
	js, err := jetstream.New(conn)
	require.NoError(t, err)
	eventually(t, conn.IsConnected, "connected")
	_, err = js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "mine", Subjects: []string{"mine.>", "mine"}, MaxMsgs: 7})
	require.NoError(t, err)
	_, err = js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "other", Subjects: []string{"elsewhere"}})
	require.NoError(t, err)
	p, err := nats.NewPublisher(conn, nats.PublisherOptions{Streams: nats.StreamOptions{MessagesMax: 100}})
	require.NoError(t, err)
	require.NoError(t, p.Publish("mine", msg("a")))
	require.EqualValues(t, 7, stream(t, s.URL(), "mine").Config.MaxMsgs)
	err = p.Publish("other", msg("a"))
	require.ErrorIs(t, err, domain.ErrRefused)
	require.ErrorContains(t, err, `add "other.>"`)

	// Removed under its feet, it is made again.
	require.NoError(t, js.DeleteStream(t.Context(), "mine"))
	eventually(t, func() bool { return p.Publish("mine", msg("b")) == nil }, "made again")
	require.EqualValues(t, 1, stream(t, s.URL(), "mine").State.Msgs)
}

// The server is away while both sides work: all arrives, in order for the group.
func TestSubscriber_TheServerGoesForAWhile(t *testing.T) {
	s := natstest.Start(t)
	conn := connect(t, s.URL())
	p, err := nats.NewPublisher(conn, nats.PublisherOptions{Timeout: 200 * time.Millisecond})
	require.NoError(t, err)
	sub, err := nats.NewSubscriber(conn, nats.SubscriberOptions{Group: "g", AckWait: time.Second, RetryMin: time.Millisecond, RetryMax: 50 * time.Millisecond})
	require.NoError(t, err)
	defer func() { require.NoError(t, sub.Close()) }()
	messages, err := sub.Subscribe(t.Context(), "topic")
	require.NoError(t, err)
	const n = 60
	published := make(chan error, 1)
	go func() {
		for i := range n {
			if i == 20 || i == 40 {
				s.Stop()
			}
			for tries := 0; p.Publish("topic", msg(fmt.Sprint(i))) != nil; tries++ {
				if tries == 2 {
					s.Restart()
				}
				if tries == 10_000 {
					published <- fmt.Errorf("message %d could not be published", i)
					return
				}
			}
		}
		published <- nil
	}()
	next := 0
	for next < n {
		select {
		case m, ok := <-messages:
			require.True(t, ok)
			id, err := strconv.Atoi(m.UUID)
			require.NoError(t, err)
			require.LessOrEqual(t, id, next, "an earlier one only as a repeat, its acknowledgement being lost")
			if id == next {
				next++
			}
			m.Ack()
		case <-time.After(patience):
			require.FailNow(t, "no message", "after %d", next)
		}
	}
	require.NoError(t, <-published)
}

func TestOptions_BadOnes(t *testing.T) {
	conn := connect(t, natstest.Start(t).URL())
	for _, o := range []nats.StreamOptions{{AgeMax: -1}, {Replicas: 6}, {Replicas: -1}, {BytesMax: -1}} {
		_, err := nats.NewPublisher(conn, nats.PublisherOptions{Streams: o})
		require.ErrorIs(t, err, domain.ErrInvalid)
	}
	for _, o := range []nats.SubscriberOptions{{Group: "a.b"}, {InFlight: -1}, {AckWait: time.Millisecond}, {RetryMin: 2, RetryMax: 1}} {
		_, err := nats.NewSubscriber(conn, o)
		require.ErrorIs(t, err, domain.ErrInvalid)
	}
}
