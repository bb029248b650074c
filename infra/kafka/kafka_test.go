package kafka_test

import (
	"io"
	"log"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/IBM/sarama"
	wmkafka "github.com/ThreeDotsLabs/watermill-kafka/v3/pkg/kafka"
	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/ThreeDotsLabs/watermill/pubsub/tests"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kfake"

	"quipu/domain"
	"quipu/infra/kafka"
)

// features of Kafka as Watermill counts them. ExactlyOnceDelivery: no. GuaranteedOrder: for each key, which the
// suite, having none, is given by its payload. ConsumerGroups and what needs one: we have no subscriber to Kafka
// but that of these tests, which reads all partitions. RestartServiceCommand: the broker runs in this process;
// relay's tests stop and start it.
var features = tests.Features{
	GuaranteedOrder: true, GuaranteedOrderWithSingleSubscriber: true, Persistent: true, NewSubscriberReceivesOldMessages: true,
	ForceShort: os.Getenv("WATERMILL_SUITE") != "long", // make verify-long runs it whole
}

// suite are the tests of Watermill's own suite that say something about a publisher. NoAck is left out:
// it wants one message at a time from all partitions together.
var suite = map[string]func(*testing.T, tests.TestContext, tests.PubSubConstructor){
	"PublishSubscribe": tests.TestPublishSubscribe, "ConcurrentSubscribe": tests.TestConcurrentSubscribe,
	"ResendOnError": tests.TestResendOnError, "ContinueAfterErrors": tests.TestContinueAfterErrors,
	"PublishSubscribeInOrder": tests.TestPublishSubscribeInOrder, "PublisherClose": tests.TestPublisherClose, "Topic": tests.TestTopic,
	"NewSubscriberReceivesOldMessages": tests.TestNewSubscriberReceivesOldMessages,
}

func brokers(t testing.TB, o ...kfake.Opt) []string {
	t.Helper()
	c, err := kfake.NewCluster(append([]kfake.Opt{kfake.NumBrokers(1)}, o...)...)
	require.NoError(t, err)
	t.Cleanup(c.Close)
	return c.ListenAddrs()
}

func publisher(t testing.TB, brokers []string) *kafka.Publisher {
	t.Helper()
	p, err := kafka.NewPublisher(kafka.Options{
		Brokers: brokers, Partitions: 3, Timeout: 2 * time.Second, Key: func(m *message.Message) string { return string(m.Payload) },
	})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, p.Close()) })
	return p
}

func subscriber(t *testing.T, brokers []string) message.Subscriber {
	t.Helper()
	c := wmkafka.DefaultSaramaSubscriberConfig()
	c.Version = sarama.V2_4_0_0
	c.Consumer.Offsets.Initial = sarama.OffsetOldest
	s, err := wmkafka.NewSubscriber(wmkafka.SubscriberConfig{
		Brokers: brokers, Unmarshaler: wmkafka.DefaultMarshaler{}, OverwriteSaramaConfig: c, NackResendSleep: time.Millisecond,
		InitializeTopicDetails: &sarama.TopicDetail{NumPartitions: 3, ReplicationFactor: 1},
	}, nil)
	require.NoError(t, err)
	return s
}

func TestWatermillSuite(t *testing.T) {
	log.SetOutput(io.Discard) // the suite says a line for each refusal
	at := brokers(t)
	t.Run("all", func(t *testing.T) {
		for name, f := range suite {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				f(t, tests.TestContext{TestID: tests.NewTestID(), Features: features},
					func(t *testing.T) (message.Publisher, message.Subscriber) {
						return publisher(t, at), subscriber(t, at)
					})
			})
		}
	})
}

func TestPublisher_BrokersThatAreAway(t *testing.T) {
	p, err := kafka.NewPublisher(kafka.Options{Brokers: []string{"127.0.0.1:1"}, Timeout: time.Second, Key: func(*message.Message) string { return "" }})
	require.NoError(t, err, "they may come")
	require.ErrorIs(t, p.Publish("topic", message.NewMessage("a", nil)), domain.ErrUnavailable)
	require.NoError(t, p.Close())
	require.NoError(t, p.Close())
	require.ErrorIs(t, p.Publish("topic", message.NewMessage("a", nil)), domain.ErrUnavailable)
}

func TestPublisher_TooLarge(t *testing.T) {
	at := brokers(t)
	p := publisher(t, at)
	require.ErrorIs(t, p.Publish("topic", message.NewMessage("a", make([]byte, 2<<20))), domain.ErrInvalid)

	o := kafka.Options{Brokers: at, Key: func(*message.Message) string { return "run" }}
	p, err := kafka.NewPublisher(o)
	require.NoError(t, err)
	require.NoError(t, p.Publish("topic", message.NewMessage("a", make([]byte, domain.AppendBytesMax+8<<10))), "the largest event there is")
	require.NoError(t, p.Close())
}

func TestNewPublisher_BadOptions(t *testing.T) {
	junk := filepath.Join(t.TempDir(), "junk.pem")
	require.NoError(t, os.WriteFile(junk, []byte("junk"), 0o600))
	key := func(*message.Message) string { return "" }
	for want, o := range map[string]kafka.Options{
		"0 brokers are named":    {Key: key},
		`"a" is not host:port`:   {Key: key, Brokers: []string{"a"}},
		`"a:0" is not host:port`: {Key: key, Brokers: []string{"a:0"}},
		"partitions is -1":       {Key: key, Brokers: []string{"a:1"}, Partitions: -1},
		"a key is needed":        {Brokers: []string{"a:1"}},
		"both or none":           {Key: key, Brokers: []string{"a:1"}, User: "u"},
		"holds no certificate":   {Key: key, Brokers: []string{"a:1"}, CAFile: junk},
		"no such file":           {Key: key, Brokers: []string{"a:1"}, CAFile: junk + "x"},
	} {
		_, err := kafka.NewPublisher(o)
		require.ErrorIs(t, err, domain.ErrInvalid, want)
		require.ErrorContains(t, err, want)
	}
}
