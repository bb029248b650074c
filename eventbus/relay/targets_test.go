package relay_test

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/IBM/sarama"
	"github.com/ThreeDotsLabs/watermill/message"
	natsgo "github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"quipu/commands"
	"quipu/domain"
	"quipu/eventbus/relay"
	"quipu/infra/clock"
	"quipu/infra/embedded"
	"quipu/infra/kafka"
	"quipu/infra/memory"
	"quipu/infra/nats"
	"quipu/infra/nats/natstest"
)

func connect(t testing.TB, url string) *natsgo.Conn {
	t.Helper()
	conn, err := nats.Connect(nats.Options{URLs: url, Name: "relay", ReconnectMin: time.Millisecond, ReconnectMax: 20 * time.Millisecond})
	require.NoError(t, err)
	t.Cleanup(conn.Close)
	return conn
}

func toNATS(t testing.TB, conn *natsgo.Conn) *nats.Publisher {
	t.Helper()
	p, err := nats.NewPublisher(conn, nats.PublisherOptions{Suffix: relay.Name, Timeout: 200 * time.Millisecond})
	require.NoError(t, err)
	return p
}

// stored is what a stream holds, in its order.
func stored(t testing.TB, conn *natsgo.Conn, stream string) (bodies [][]byte) {
	t.Helper()
	js, err := jetstream.New(conn)
	require.NoError(t, err)
	s, err := js.Stream(t.Context(), stream)
	if err != nil {
		return nil
	}
	info := s.CachedInfo().State
	for seq := info.FirstSeq; seq <= info.LastSeq && seq > 0; seq++ {
		m, err := s.GetMsg(t.Context(), seq)
		require.NoError(t, err)
		require.Equal(t, stream+".task_started", m.Subject)
		bodies = append(bodies, m.Data)
	}
	return bodies
}

func count(conn *natsgo.Conn, t testing.TB, stream string) int {
	js, err := jetstream.New(conn)
	require.NoError(t, err)
	s, err := js.Stream(t.Context(), stream)
	if err != nil {
		return -1
	}
	return int(s.CachedInfo().State.Msgs)
}

// A NATS server is stopped and started while events flow, and the relay is killed in between: the stream holds each
// event once, every run in order.
func TestRelay_NATSIsRestartedMidStream(t *testing.T) {
	s := natstest.Start(t)
	conn := connect(t, s.URL())
	w := newWorld()
	const runs, rounds, each = 10, 3, 10
	for round := range rounds {
		stop := w.start(t, toNATS(t, conn))
		write(t, w.log, runs, round*each, round*each+each/2)
		s.Stop()
		write(t, w.log, runs, round*each+each/2, round*each+each)
		if round%2 == 1 {
			stop() // what it had not sent waits in the log
		}
		s.Restart()
		if round%2 == 0 {
			eventually(t, func() bool { return count(conn, t, "quipu-run") == runs*(round+1)*each }, "all is there")
		}
		stop()
	}
	w.start(t, toNATS(t, conn))
	eventually(t, func() bool { return count(conn, t, "quipu-run") >= runs*rounds*each }, "all is there")
	require.Zero(t, check(t, stored(t, conn, "quipu-run"), runs, rounds*each), "each id is stored once")
}

// A consumer of our own side of Watermill gets the relayed events in order, across a restart of the server.
func TestRelay_ConsumedFromNATS(t *testing.T) {
	s := natstest.Start(t)
	conn := connect(t, s.URL())
	w := newWorld()
	w.start(t, toNATS(t, conn))
	sub, err := nats.NewSubscriber(conn, nats.SubscriberOptions{Group: "billing", AckWait: time.Second, RetryMin: time.Millisecond})
	require.NoError(t, err)
	defer func() { require.NoError(t, sub.Close()) }()
	messages, err := sub.Subscribe(t.Context(), "quipu-run")
	require.NoError(t, err)
	write(t, w.log, 3, 0, 10)
	var bodies [][]byte
	for distinct(bodies) < 30 {
		select {
		case m := <-messages:
			bodies = append(bodies, m.Payload)
			if len(bodies) == 10 {
				s.Restart()
			}
			m.Ack()
		case <-time.After(patience):
			require.FailNow(t, "no message")
		}
	}
	check(t, bodies, 3, 10)
}

func byPartitionKey(m *message.Message) string { return m.Metadata[relay.MetadataPartitionKey] }

// consumed reads all partitions of a topic, one after the other, until there are n different events.
func consumed(t *testing.T, brokers []string, topic string, n int) [][]byte {
	t.Helper()
	c := sarama.NewConfig()
	c.Version = sarama.V2_4_0_0
	consumer, err := sarama.NewConsumer(brokers, c)
	require.NoError(t, err)
	defer func() { require.NoError(t, consumer.Close()) }()
	partitions, err := consumer.Partitions(topic)
	require.NoError(t, err)
	require.Len(t, partitions, 4)
	var mu sync.Mutex
	var bodies [][]byte
	perKey := map[string]int32{}
	for _, p := range partitions {
		pc, err := consumer.ConsumePartition(topic, p, sarama.OffsetOldest)
		require.NoError(t, err)
		defer func() { require.NoError(t, pc.Close()) }()
		go func() {
			for m := range pc.Messages() {
				mu.Lock()
				if at, ok := perKey[string(m.Key)]; ok && at != m.Partition {
					t.Errorf("%s is in partitions %d and %d", m.Key, at, m.Partition)
				}
				perKey[string(m.Key)] = m.Partition
				bodies = append(bodies, m.Value)
				mu.Unlock()
			}
		}()
	}
	eventually(t, func() bool { mu.Lock(); defer mu.Unlock(); return distinct(bodies) >= n }, "all is there")
	mu.Lock()
	defer mu.Unlock()
	return bodies
}

// Kafka's brokers cut connections before and after they took what was produced, and are away for a while: nothing
// is missing, each run is in one partition, and in order once repeats are dropped.
func TestRelay_KafkaCutsAndIsAway(t *testing.T) {
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1))
	require.NoError(t, err)
	defer cluster.Close()
	var produced atomic.Int64
	var away atomic.Bool
	cluster.ControlKey(int16(kmsg.Produce), func(kmsg.Request) (kmsg.Response, error, bool) {
		cluster.KeepControl()
		if n := produced.Add(1); away.Load() || n%9 == 0 {
			return nil, errors.New("cut"), true
		}
		return nil, nil, false
	})
	p, err := kafka.NewPublisher(kafka.Options{Brokers: cluster.ListenAddrs(), Partitions: 4, Key: byPartitionKey, Timeout: 200 * time.Millisecond})
	require.NoError(t, err)
	defer func() { require.NoError(t, p.Close()) }()
	w := newWorld()
	const runs, each = 10, 20
	stop := w.start(t, p)
	write(t, w.log, runs, 0, each/2)
	consumed(t, cluster.ListenAddrs(), "quipu-run", runs*each/2)
	away.Store(true)
	write(t, w.log, runs, each/2, each)
	before := produced.Load()
	eventually(t, func() bool { return produced.Load() > before+5 }, "it is tried again")
	away.Store(false)
	bodies := consumed(t, cluster.ListenAddrs(), "quipu-run", runs*each)
	stop()
	check(t, bodies, runs, each)
}

// BenchmarkRelay measures events/s from an embedded log on disk into a target on the same machine.
// Run: go test ./eventbus/relay -run '^$' -bench Relay -benchtime 1x
func BenchmarkRelay(b *testing.B) {
	const runs, each = 500, 100
	targets := map[string]func(b *testing.B) (message.Publisher, func() int){
		"NATS": func(b *testing.B) (message.Publisher, func() int) {
			conn := connect(b, natstest.Start(b).URL())
			return toNATS(b, conn), func() int { return count(conn, b, "quipu-run") }
		},
		"Kafka": func(b *testing.B) (message.Publisher, func() int) {
			cluster, err := kfake.NewCluster(kfake.NumBrokers(1))
			require.NoError(b, err)
			b.Cleanup(cluster.Close)
			p, err := kafka.NewPublisher(kafka.Options{Brokers: cluster.ListenAddrs(), Key: byPartitionKey})
			require.NoError(b, err)
			b.Cleanup(func() { require.NoError(b, p.Close()) })
			return p, func() int { return -1 }
		},
	}
	for name, make := range targets {
		b.Run(name, func(b *testing.B) {
			l, err := embedded.Open(b.TempDir(), embedded.Options{})
			require.NoError(b, err)
			defer func() { require.NoError(b, l.Close()) }()
			fill(b, l, runs, each)
			for b.Loop() {
				b.StopTimer()
				p, stored := make(b)
				var sent atomic.Int64
				r, err := relay.New(relay.Deps{
					Log: l.ID(), Open: open(l), Checkpoints: memory.NewCheckpoints(l.ID()), Clock: clock.System{}, Publisher: p,
				}, relay.Options{Target: "bench", Hooks: relay.Hooks{Sent: func(string) { sent.Add(1) }}})
				require.NoError(b, err)
				b.StartTimer()
				begun := time.Now()
				ctx, cancel := contextOf(b)
				done := runRelay(ctx, r)
				for sent.Load() < runs*each {
					select {
					case <-time.After(time.Millisecond):
					case err := <-done:
						b.Fatal(err)
					}
				}
				took := time.Since(begun)
				cancel()
				require.NoError(b, <-done)
				if n := stored(); n >= 0 {
					require.Equal(b, runs*each, n)
				}
				b.ReportMetric(float64(runs*each)/took.Seconds(), "events/s")
			}
		})
	}
}

// fill appends events of many runs, ten at a time.
func fill(b *testing.B, log commands.Log, runs, each int) {
	var wg sync.WaitGroup
	for worker := range 16 {
		wg.Go(func() {
			for r := worker; r < runs; r += 16 {
				stream := domain.StreamID(fmt.Sprintf("run-%d", r))
				for from := 0; from < each; from += 10 {
					if _, err := log.Append(b.Context(), stream, domain.Revision(from)-1, some(stream, from, from+10)); err != nil {
						b.Error(err)
					}
				}
			}
		})
	}
	wg.Wait()
}
