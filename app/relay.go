package app

import (
	"context"
	"fmt"
	"path/filepath"
	"sync/atomic"

	"github.com/ThreeDotsLabs/watermill/message"

	"quipu/app/stores"
	"quipu/domain"
	"quipu/eventbus"
	"quipu/eventbus/relay"
	"quipu/infra/checkpoints"
	"quipu/infra/kafka"
	"quipu/infra/lifecycle"
	"quipu/infra/nats"
	"quipu/infra/postgres/cluster"

	pgcheckpoints "quipu/infra/postgres/checkpoints"
)

const (
	// checkpointConnections to the database that nodes share: a handful of consumers saves once a second.
	checkpointConnections = 2
)

// relaying is the relay to one target, as far as this node knows it.
type relaying struct {
	*relay.Relay
	publisher message.Publisher
	active    atomic.Bool   // this node relays
	reached   atomic.Uint64 // position up to which the target has everything, while active
}

func (r *relaying) close() error { return r.publisher.Close() }

// openCheckpoints opens them where this node's are: in the data folder, or where all nodes' are. Without
// relays and webhooks there are none.
func (s *server) openCheckpoints(ctx context.Context) error {
	if c := s.Config; !c.Relay.NATS && !c.Relay.Kafka && c.Webhooks.File == "" {
		return nil
	}
	if s.node.DB == nil {
		files, err := checkpoints.Open(filepath.Join(s.Config.Storage.Data, stores.CheckpointsFolder), s.log.ID())
		if err != nil {
			return err
		}
		s.checkpoints = files
		return nil
	}
	pool, err := s.node.DB.NewPool(ctx, "checkpoints", cluster.PoolOptions{Max: checkpointConnections, Timeout: pgcheckpoints.TimeoutDefault})
	if err != nil {
		return err
	}
	s.checkpointPool = pool
	table, err := pgcheckpoints.New(pool.Pool, s.log.ID(), pgcheckpoints.Options{})
	if err != nil {
		return err
	}
	s.checkpoints = table
	return nil
}

// openBus opens what events are handed on with: checkpoints, the connection to NATS, and the relays.
func (s *server) openBus(ctx context.Context) error {
	if err := s.openCheckpoints(ctx); err != nil {
		return fmt.Errorf("open checkpoints: %w", err)
	}
	if err := s.openNATS(); err != nil {
		return err
	}
	c := s.Config
	if c.Relay.NATS {
		p, err := nats.NewPublisher(s.nats, nats.PublisherOptions{Suffix: relay.Name, Streams: nats.StreamOptions{
			AgeMax: c.Relay.NATSAgeMax, BytesMax: int64(c.Relay.NATSBytesMax), Replicas: c.Relay.NATSReplicas,
		}})
		if err != nil {
			return err
		}
		if err := s.addRelay("nats", p); err != nil {
			return err
		}
	}
	if c.Relay.Kafka {
		p, err := kafka.NewPublisher(kafka.Options{
			Brokers: c.Kafka.Brokers, User: c.Kafka.User, Password: c.Kafka.Password.Reveal(), TLS: c.Kafka.TLS, CAFile: c.Kafka.CA,
			Partitions: c.Relay.KafkaPartitions, ClientID: "quipu-" + s.node.ID,
			Key: func(m *message.Message) string { return m.Metadata[relay.MetadataPartitionKey] },
		})
		if err != nil {
			return fmt.Errorf("publish to Kafka (see --kafka and what goes with it): %w", err)
		}
		if err := s.addRelay("kafka", p); err != nil {
			return err
		}
	}
	return nil
}

func (s *server) addRelay(target string, p message.Publisher) (err error) {
	r := &relaying{publisher: p}
	health := s.Health.Part("relay_" + target)
	r.Relay, err = relay.New(relay.Deps{
		Log: s.log.ID(), Open: stores.FollowLog(s.log), Checkpoints: s.checkpoints, Clock: s.Clock, Publisher: p, Owns: s.node.Owns,
	}, relay.Options{
		Target: target, TopicPrefix: s.Config.Relay.TopicPrefix, InFlight: s.Config.Relay.InFlightMax, Random: s.Clock.Jitter,
		Hooks: relay.Hooks{
			Retried: s.Metrics.RelayRetried,
			Failed: func(target string, err error) {
				s.Metrics.RelayFailed(target)
				s.Logger.Warn("relay failed; it is tried again", "target", target, "error", err)
			},
			LeftOut: func(target string, e *domain.Recorded, err error) {
				s.Logger.Error("relay left out a damaged event", "target", target, "stream", e.Stream, "revision", e.Revision, "position", uint64(e.Position), "error", err)
			},
			Reached: func(target string, at domain.Position, events int) {
				s.Metrics.RelayDone(target, events)
				r.reached.Store(uint64(at))
			},
			Active: func(target string, active bool) {
				r.active.Store(active)
				s.Logger.Info("relay", "target", target, "active", active)
			},
			Ailing: func(target string, err error) { s.relayAils(health.Set, health.Err(), target, err) },
		},
	})
	if err != nil {
		return err
	}
	s.relays = append(s.relays, r)
	return nil
}

// relayAils passes on how a relay is, and logs when that turns.
func (s *server) relayAils(set func(error), before error, target string, err error) {
	set(err)
	switch {
	case err != nil && before == nil:
		s.Logger.Warn("relay cannot hand events on; it goes on trying", "target", target, "error", err)
	case err == nil && before != nil:
		s.Logger.Info("relay hands events on again", "target", target)
	}
}

// relayMembers are the relays as parts of the process. They stop early: what they do not hand on waits in the
// log, for this node or another.
func (s *server) relayMembers() []lifecycle.Member {
	var out []lifecycle.Member
	for _, r := range s.relays {
		out = append(out, lifecycle.Member{Name: r.ID(), Run: func(_, work context.Context) error { return r.Run(work) }})
	}
	return out
}

// measureRelays says how far each relay of this node is behind at the moment of asking.
func (s *server) measureRelays(ctx context.Context) {
	for _, r := range s.relays {
		behind := uint64(0)
		at := r.reached.Load()
		if head, err := s.log.Head(ctx); err == nil && r.active.Load() {
			behind = max(uint64(head), at) - at
		}
		s.TellLag(ctx, s.log, r.ID(), domain.Position(at), behind)
	}
}

var (
	_ eventbus.Checkpoints = (*checkpoints.Files)(nil)
	_ eventbus.Checkpoints = (*pgcheckpoints.Table)(nil)
)
