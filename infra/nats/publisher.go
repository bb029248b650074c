package nats

import (
	"sync/atomic"
	"time"

	wmnats "github.com/ThreeDotsLabs/watermill-nats/v2/pkg/nats"
	"github.com/ThreeDotsLabs/watermill/message"
	natsgo "github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"quipu/domain"
)

// PublishTimeoutDefault is how long a publish waits for the server's acknowledgement.
const PublishTimeoutDefault = 5 * time.Second

// PublisherOptions of a Publisher. The zero value means the defaults.
type PublisherOptions struct {
	// Streams says how streams are made.
	Streams StreamOptions
	// Suffix of the subject that a message is published to, without the dot: the subject is the topic, or
	// topic.suffix. It must hold what a subject may. Default none.
	Suffix func(m *message.Message) string
	// Timeout bounds the wait for an acknowledgement. Default 5 s.
	Timeout time.Duration
}

// Publisher is a Watermill publisher to JetStream: a topic is a stream, which is made if it is not there. A
// message is published when its stream has it on disk, on as many servers as it has replicas; its UUID is the
// Nats-Msg-Id, so that a repeat within the stream's window is stored once. Safe for concurrent use; one
// call publishes its messages in order and stops at the first that fails.
type Publisher struct {
	inner   *wmnats.Publisher
	streams *streams
	closed  atomic.Bool
}

var _ message.Publisher = (*Publisher)(nil)

// NewPublisher publishes over conn, which stays its owner's: Close does not close it.
// Errors: ErrInvalid for options out of bounds.
func NewPublisher(conn *natsgo.Conn, o PublisherOptions) (*Publisher, error) {
	if o.Timeout == 0 {
		o.Timeout = PublishTimeoutDefault
	}
	err := o.Streams.Validate()
	if o.Timeout < 0 {
		err = domain.E(domain.KindInvalid, "publish to NATS", "", "Timeout is negative")
	}
	if err != nil {
		return nil, domain.Wrap(domain.KindInvalid, "publish to NATS", "", err)
	}
	js, err := jetstream.New(conn)
	if err != nil {
		return nil, domain.Wrap(domain.KindInvalid, "publish to NATS", "", err)
	}
	inner, err := wmnats.NewPublisherWithNatsConn(conn, wmnats.PublisherPublishConfig{
		Marshaler: marshaler{suffix: o.Suffix}, SubjectCalculator: wmnats.DefaultSubjectCalculator,
		JetStream: wmnats.JetStreamConfig{TrackMsgId: true, PublishOptions: []natsgo.PubOpt{natsgo.AckWait(o.Timeout)}},
	}, nil)
	if err != nil {
		return nil, domain.Wrap(domain.KindInvalid, "publish to NATS", "", err)
	}
	return &Publisher{inner: inner, streams: &streams{js: js, o: o.Streams.withDefaults(), known: map[string]*ensured{}}}, nil
}

// Publish implements message.Publisher. Errors: ErrInvalid for a topic that cannot be, or a message above the
// server's limit; ErrRefused if a stream of that name takes other subjects; ErrIndeterminate if the message may
// be stored; ErrUnavailable if it is not.
func (p *Publisher) Publish(topic string, messages ...*message.Message) error {
	if p.closed.Load() {
		return domain.E(domain.KindUnavailable, "publish to NATS", topic, "the publisher is closed")
	}
	if len(messages) == 0 {
		return nil
	}
	if err := p.streams.ensure(messages[0].Context(), topic); err != nil {
		return err
	}
	err := p.inner.Publish(topic, messages...)
	if streamGone(err) {
		p.streams.forget(topic)
	}
	return translate("publish to", topic, err)
}

// Close refuses further messages. Idempotent.
func (p *Publisher) Close() error {
	p.closed.Store(true)
	return nil
}

// marshaler is Watermill's, with a subject below the topic's.
type marshaler struct {
	wmnats.NATSMarshaler
	suffix func(*message.Message) string
}

func (m marshaler) Marshal(topic string, msg *message.Message) (*natsgo.Msg, error) {
	out, err := m.NATSMarshaler.Marshal(topic, msg)
	if err == nil && m.suffix != nil {
		if suffix := m.suffix(msg); suffix != "" {
			out.Subject += "." + suffix
		}
	}
	return out, err
}
