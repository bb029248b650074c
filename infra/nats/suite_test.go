package nats_test

import (
	"io"
	"log"
	"os"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/ThreeDotsLabs/watermill/pubsub/tests"
	natsgo "github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"

	"quipu/infra/nats"
	"quipu/infra/nats/natstest"
)

// features of JetStream as Watermill counts them. ExactlyOnceDelivery: no, an acknowledgement may be lost on its
// way. GuaranteedOrder: one at a time for each group, so with one subscriber. ContextPreserved: no, a server is
// between. RestartServiceCommand: it runs in this process; TestSubscriber_TheServerGoesForAWhile restarts it.
var features = tests.Features{
	ConsumerGroups: true, GuaranteedOrder: true, GuaranteedOrderWithSingleSubscriber: true,
	Persistent: true, NewSubscriberReceivesOldMessages: true,
	ForceShort: os.Getenv("WATERMILL_SUITE") != "long", // make verify-long runs it whole
}

// suite are the tests of Watermill's own suite that say something about these features.
var suite = map[string]func(*testing.T, tests.TestContext, tests.PubSubConstructor){
	"PublishSubscribe": tests.TestPublishSubscribe, "ConcurrentSubscribe": tests.TestConcurrentSubscribe,
	"ConcurrentSubscribeMultipleTopics": tests.TestConcurrentSubscribeMultipleTopics,
	"ResendOnError":                     tests.TestResendOnError, "NoAck": tests.TestNoAck,
	"ContinueAfterSubscribeClose": tests.TestContinueAfterSubscribeClose, "ConcurrentClose": tests.TestConcurrentClose,
	"ContinueAfterErrors": tests.TestContinueAfterErrors, "PublishSubscribeInOrder": tests.TestPublishSubscribeInOrder,
	"PublisherClose": tests.TestPublisherClose, "Topic": tests.TestTopic, "MessageCtx": tests.TestMessageCtx,
	"SubscribeCtx": tests.TestSubscribeCtx,
}

func connect(t testing.TB, url string) *natsgo.Conn {
	t.Helper()
	conn, err := nats.Connect(quick(url))
	require.NoError(t, err)
	t.Cleanup(conn.Close)
	return conn
}

func pubSub(t *testing.T, conn *natsgo.Conn, group string) (message.Publisher, message.Subscriber) {
	p, err := nats.NewPublisher(conn, nats.PublisherOptions{})
	require.NoError(t, err)
	s, err := nats.NewSubscriber(conn, nats.SubscriberOptions{
		Group: group, AckWait: time.Second, RetryMin: time.Millisecond, RetryMax: 5 * time.Millisecond,
	})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	return p, s
}

func TestWatermillSuite(t *testing.T) {
	log.SetOutput(io.Discard) // the suite says a line for each refusal
	conn := connect(t, natstest.Start(t).URL())
	t.Run("all", func(t *testing.T) {
		for name, f := range suite {
			for _, group := range []string{"", "group"} {
				t.Run(name+"/"+group, func(t *testing.T) {
					t.Parallel()
					f(t, tests.TestContext{TestID: tests.NewTestID(), Features: features},
						func(t *testing.T) (message.Publisher, message.Subscriber) { return pubSub(t, conn, group) })
				})
			}
		}
		t.Run("NewSubscriberReceivesOldMessages", func(t *testing.T) {
			t.Parallel()
			tests.TestNewSubscriberReceivesOldMessages(t, tests.TestContext{TestID: tests.NewTestID(), Features: features},
				func(t *testing.T) (message.Publisher, message.Subscriber) { return pubSub(t, conn, "") })
		})
		t.Run("ConsumerGroups", func(t *testing.T) {
			t.Parallel()
			tests.TestConsumerGroups(t, tests.TestContext{TestID: tests.NewTestID(), Features: features},
				func(t *testing.T, group string) (message.Publisher, message.Subscriber) {
					return pubSub(t, conn, group)
				})
		})
	})
}
