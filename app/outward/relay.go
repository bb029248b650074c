package outward

import (
	"context"
	"fmt"
	"sync/atomic"

	"github.com/ThreeDotsLabs/watermill/message"

	"quipu/app/stores"
	"quipu/domain"
	"quipu/eventbus/relay"
	"quipu/infra/kafka"
	"quipu/infra/nats"
)

// relaying is the relay to one target, as far as this node knows it.
type relaying struct {
	*relay.Relay
	publisher message.Publisher
	active    atomic.Bool   // this node relays
	reached   atomic.Uint64 // position up to which the target has everything, while active
}

func (r *relaying) close() error { return r.publisher.Close() }

// openRelays opens the relays that the configuration asks for.
func (o *Outward) openRelays() error {
	c := o.Config
	if c.Relay.NATS {
		p, err := nats.NewPublisher(o.nats, nats.PublisherOptions{Suffix: relay.Name, Streams: nats.StreamOptions{
			AgeMax: c.Relay.NATSAgeMax, BytesMax: int64(c.Relay.NATSBytesMax), Replicas: c.Relay.NATSReplicas,
		}})
		if err != nil {
			return err
		}
		if err := o.addRelay("nats", p); err != nil {
			return err
		}
	}
	if c.Relay.Kafka {
		p, err := kafka.NewPublisher(kafka.Options{
			Brokers: c.Kafka.Brokers, User: c.Kafka.User, Password: c.Kafka.Password.Reveal(), TLS: c.Kafka.TLS, CAFile: c.Kafka.CA,
			Partitions: c.Relay.KafkaPartitions, ClientID: "quipu-" + o.node.ID,
			Key: func(m *message.Message) string { return m.Metadata[relay.MetadataPartitionKey] },
		})
		if err != nil {
			return fmt.Errorf("publish to Kafka (see --kafka and what goes with it): %w", err)
		}
		if err := o.addRelay("kafka", p); err != nil {
			return err
		}
	}
	return nil
}

func (o *Outward) addRelay(target string, p message.Publisher) (err error) {
	r := &relaying{publisher: p}
	health := o.Health.Part("relay_" + target)
	r.Relay, err = relay.New(relay.Deps{
		Log: o.log.ID(), Open: stores.FollowLog(o.log), Checkpoints: o.checkpoints, Clock: o.Clock, Publisher: p, Owns: o.node.Owns,
	}, relay.Options{
		Target: target, TopicPrefix: o.Config.Relay.TopicPrefix, InFlight: o.Config.Relay.InFlightMax, Random: o.Clock.Jitter,
		Hooks: relay.Hooks{
			Retried: o.Metrics.RelayRetried,
			Failed: func(target string, err error) {
				o.Metrics.RelayFailed(target)
				o.Logger.Warn("relay failed; it is tried again", "target", target, "error", err)
			},
			LeftOut: func(target string, e *domain.Recorded, err error) {
				o.Logger.Error("relay left out a damaged event", "target", target, "stream", e.Stream, "revision", e.Revision, "position", uint64(e.Position), "error", err)
			},
			Reached: func(target string, at domain.Position, events int) {
				o.Metrics.RelayDone(target, events)
				r.reached.Store(uint64(at))
			},
			Active: func(target string, active bool) {
				r.active.Store(active)
				o.Logger.Info("relay", "target", target, "active", active)
			},
			Ailing: func(target string, err error) { o.relayAils(health.Set, health.Err(), target, err) },
		},
	})
	if err != nil {
		return err
	}
	o.relays = append(o.relays, r)
	return nil
}

// relayAils passes on how a relay is, and logs when that turns.
func (o *Outward) relayAils(set func(error), before error, target string, err error) {
	set(err)
	switch {
	case err != nil && before == nil:
		o.Logger.Warn("relay cannot hand events on; it goes on trying", "target", target, "error", err)
	case err == nil && before != nil:
		o.Logger.Info("relay hands events on again", "target", target)
	}
}

// measureRelays says how far each relay of this node is behind at the moment of asking.
func (o *Outward) measureRelays(ctx context.Context) {
	for _, r := range o.relays {
		behind := uint64(0)
		at := r.reached.Load()
		if head, err := o.log.Head(ctx); err == nil && r.active.Load() {
			behind = max(uint64(head), at) - at
		}
		o.TellLag(ctx, o.log, r.ID(), domain.Position(at), behind)
	}
}
