package logsub_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log"
	"os"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill"
	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/ThreeDotsLabs/watermill/pubsub/tests"
	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"quipu/commands"
	"quipu/domain"
	"quipu/eventbus"
	"quipu/eventbus/logsub"
	"quipu/infra/clock"
	"quipu/infra/embedded"
	"quipu/infra/memory"
)

func TestMain(m *testing.M) {
	log.SetOutput(io.Discard) // Watermill's suite says a line for each refusal
	// What Watermill's suite leaves behind where it subscribes many times at once.
	goleak.VerifyTestMain(m,
		goleak.IgnoreAnyFunction("github.com/ThreeDotsLabs/watermill/internal/subscriber.(*multiplier).Subscribe.func2"),
		goleak.IgnoreAnyFunction("github.com/ThreeDotsLabs/watermill/internal/subscriber.(*multiplier).Subscribe.func3"))
}

// publisher appends messages to a log. One call of Publish is one stream, so that calls do not wait
// for each other; the topic is the start of the stream's name.
type publisher struct {
	log    commands.Log
	closed atomic.Bool
}

func (p *publisher) Publish(topic string, messages ...*message.Message) error {
	if p.closed.Load() {
		return errors.New("the publisher is closed")
	}
	stream := domain.StreamID(topic + "/" + watermill.NewUUID())
	at := domain.NoStream
	for len(messages) > 0 {
		n := min(len(messages), domain.AppendEventsMax)
		pending := make([]domain.Pending, n)
		for i, m := range messages[:n] {
			metadata, err := json.Marshal(m.Metadata)
			if err != nil {
				return err
			}
			pending[i] = domain.Pending{ID: domain.EventID(uuid.MustParse(m.UUID)), Type: "test.x.v1", Metadata: metadata, Data: m.Payload}
		}
		done, err := p.log.Append(context.Background(), stream, at, pending)
		if err != nil {
			return err
		}
		at, messages = done.Revision, messages[n:]
	}
	return nil
}

func (p *publisher) Close() error { p.closed.Store(true); return nil }

// published makes the message that was published.
func published(e *domain.Recorded) *message.Message {
	m := message.NewMessage(e.ID.String(), e.Data)
	if err := json.Unmarshal(e.Metadata, &m.Metadata); err != nil {
		return nil
	}
	return m
}

func open(log commands.Log) eventbus.OpenFunc {
	return func(ctx context.Context, after domain.Position, prefix string) (eventbus.Source, error) {
		sub, err := log.Subscribe(ctx, after, prefix)
		if err != nil {
			return nil, err
		}
		return source{sub}, nil
	}
}

type source struct{ commands.Subscription }

func (s source) Next(ctx context.Context) ([]domain.Recorded, domain.Position, bool, error) {
	b, err := s.Subscription.Next(ctx)
	return b.Events, b.Position, b.CaughtUp, err
}

// bus is an embedded log with the checkpoints of its consumers.
type bus struct {
	log         *embedded.Log
	checkpoints *memory.Checkpoints
}

func newBus(t *testing.T) *bus {
	l, err := embedded.Open(t.TempDir(), embedded.Options{})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, l.Close()) })
	return &bus{log: l, checkpoints: memory.NewCheckpoints(l.ID())}
}

// pubSub makes a publisher and a subscriber of a group; none without.
func (b *bus) pubSub(t *testing.T, group string) (message.Publisher, message.Subscriber) {
	o := logsub.Options{
		Prefix:   func(topic string) string { return topic + "/" },
		RetryMin: time.Millisecond, RetryMax: 5 * time.Millisecond, SaveEvery: 5 * time.Millisecond,
	}
	if group != "" {
		o.Checkpoint = func(topic string) string { return group + "/" + topic }
	}
	s, err := logsub.New(logsub.Deps{Open: open(b.log), Checkpoints: b.checkpoints, Clock: clock.System{}, Message: published}, o)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	return &publisher{log: b.log}, s
}

// features of a log as Watermill counts them. ExactlyOnceDelivery: no, a crash between an
// acknowledgement and the save of the checkpoint brings messages again. ContextPreserved: no, what was
// published was on disk meanwhile. RestartServiceCommand: the log is in this process; reconnecting is
// TestSubscriber_TheLogFailsForAWhile.
var features = tests.Features{
	ConsumerGroups: true, GuaranteedOrder: true, Persistent: true, NewSubscriberReceivesOldMessages: true,
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

func TestWatermillSuite_WithoutCheckpoint(t *testing.T) {
	b := newBus(t)
	make := func(t *testing.T) (message.Publisher, message.Subscriber) { return b.pubSub(t, "") }
	t.Run("all", func(t *testing.T) {
		for name, f := range suite {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				f(t, tests.TestContext{TestID: tests.NewTestID(), Features: features}, make)
			})
		}
		t.Run("NewSubscriberReceivesOldMessages", func(t *testing.T) {
			t.Parallel()
			tests.TestNewSubscriberReceivesOldMessages(t, tests.TestContext{TestID: tests.NewTestID(), Features: features}, make)
		})
		t.Run("ConsumerGroups", func(t *testing.T) {
			t.Parallel()
			tests.TestConsumerGroups(t, tests.TestContext{TestID: tests.NewTestID(), Features: features}, b.pubSub)
		})
	})
}

// All subscribers share one checkpoint for each topic, so that they move it under each other's feet.
func TestWatermillSuite_WithASharedCheckpoint(t *testing.T) {
	b := newBus(t)
	features := features
	features.NewSubscriberReceivesOldMessages = false // it goes on where the others are
	t.Run("all", func(t *testing.T) {
		for name, f := range suite {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				f(t, tests.TestContext{TestID: tests.NewTestID(), Features: features},
					func(t *testing.T) (message.Publisher, message.Subscriber) { return b.pubSub(t, "shared") })
			})
		}
	})
}
