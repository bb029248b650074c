package kafka

import (
	"errors"
	"sync"

	"github.com/IBM/sarama"
	wmkafka "github.com/ThreeDotsLabs/watermill-kafka/v3/pkg/kafka"
	"github.com/ThreeDotsLabs/watermill/message"

	"quipu/domain"
)

// Publisher is a Watermill publisher to Kafka. It connects when it has something to send, and anew after
// it could not: brokers that are away are no error before. Topics are made if they are not there. Safe for
// concurrent use; messages that are published at the same time share requests.
type Publisher struct {
	o      Options
	config *sarama.Config

	mu     sync.Mutex
	closed bool
	inner  *wmkafka.Publisher // nil until connected
	topics map[string]bool    // known to be there
	dial   *dial              // under way, which all who come meanwhile share
}

type dial struct {
	done chan struct{}
	err  error
}

var _ message.Publisher = (*Publisher)(nil)

// NewPublisher connects to nothing yet. Errors: ErrInvalid for bad options, or certificates that cannot be read.
func NewPublisher(o Options) (*Publisher, error) {
	if err := o.Validate(); err != nil {
		return nil, invalid(err)
	}
	o = o.withDefaults()
	c, err := o.sarama()
	if err != nil {
		return nil, invalid(err)
	}
	return &Publisher{o: o, config: c, topics: map[string]bool{}}, nil
}

// Publish implements message.Publisher: it returns when all replicas in sync have the messages. Errors:
// ErrInvalid for a message that is too large, ErrIndeterminate if one may be stored, ErrUnavailable if none is.
func (p *Publisher) Publish(topic string, messages ...*message.Message) error {
	inner, err := p.connected(topic)
	if err == nil {
		err = inner.Publish(topic, messages...)
	}
	if errors.Is(err, sarama.ErrUnknownTopicOrPartition) {
		p.mu.Lock()
		delete(p.topics, topic) // somebody removed it
		p.mu.Unlock()
	}
	return translate("publish to", topic, err)
}

// Close lets go of the connections. Idempotent.
func (p *Publisher) Close() error {
	p.mu.Lock()
	p.closed = true
	inner := p.inner
	p.inner = nil
	p.mu.Unlock()
	if inner == nil {
		return nil
	}
	return translate("close", "the publisher", inner.Close())
}

// connected returns a publisher whose topic is there.
func (p *Publisher) connected(topic string) (*wmkafka.Publisher, error) {
	p.mu.Lock()
	for {
		if p.closed {
			p.mu.Unlock()
			return nil, domain.E(domain.KindUnavailable, "publish to", topic, "the publisher is closed")
		}
		if p.inner != nil && p.topics[topic] {
			inner := p.inner
			p.mu.Unlock()
			return inner, nil
		}
		if p.dial == nil {
			break
		}
		under := p.dial
		p.mu.Unlock()
		<-under.done
		if under.err != nil {
			return nil, under.err
		}
		p.mu.Lock()
	}
	d := &dial{done: make(chan struct{})}
	p.dial = d
	inner := p.inner
	p.mu.Unlock()

	inner, d.err = p.connect(inner, topic)

	p.mu.Lock()
	p.dial = nil
	if closed := p.closed; closed && inner != nil {
		p.mu.Unlock()
		d.err = errors.Join(domain.E(domain.KindUnavailable, "publish to", topic, "the publisher is closed"), inner.Close())
		close(d.done)
		return nil, d.err
	}
	p.inner = inner
	if d.err == nil {
		p.topics[topic] = true
	}
	p.mu.Unlock()
	close(d.done)
	return inner, d.err
}

// connect makes the topic if it is not there, then the publisher if there is none.
func (p *Publisher) connect(inner *wmkafka.Publisher, topic string) (*wmkafka.Publisher, error) {
	admin, err := sarama.NewClusterAdmin(p.o.Brokers, p.config)
	if err != nil {
		return inner, translate("connect to", "Kafka", err)
	}
	err = admin.CreateTopic(topic, &sarama.TopicDetail{NumPartitions: int32(p.o.Partitions), ReplicationFactor: -1}, false)
	if errors.Is(err, sarama.ErrTopicAlreadyExists) {
		err = nil
	}
	if err = errors.Join(err, admin.Close()); err != nil || inner != nil {
		return inner, translate("make topic", topic, err)
	}
	inner, err = wmkafka.NewPublisher(wmkafka.PublisherConfig{
		Brokers: p.o.Brokers, OverwriteSaramaConfig: p.config,
		Marshaler: wmkafka.NewWithPartitioningMarshaler(func(_ string, m *message.Message) (string, error) { return p.o.Key(m), nil }),
	}, nil)
	if err != nil {
		return nil, translate("connect to", "Kafka", err)
	}
	return inner, nil
}

// translate turns what the client says into what the caller may do.
func translate(op, subject string, err error) error {
	if err == nil {
		return nil
	}
	if _, ok := errors.AsType[*domain.Error](err); ok {
		return err
	}
	kind := domain.KindUnavailable
	switch {
	case errors.Is(err, sarama.ErrMessageSizeTooLarge), errors.Is(err, sarama.ErrInvalidTopic), errors.As(err, new(sarama.ConfigurationError)):
		kind = domain.KindInvalid
	case errors.Is(err, sarama.ErrRequestTimedOut), errors.Is(err, sarama.ErrNotEnoughReplicasAfterAppend):
		kind = domain.KindIndeterminate
	}
	return domain.Wrap(kind, op, subject, err)
}
