package app

import (
	"context"
	"fmt"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"

	"quipu/app/process"
	"quipu/commands"
	"quipu/commands/intakebus"
	"quipu/eventbus/intake"
	"quipu/infra/nats"
	"quipu/infra/nats/deltas"
	"quipu/readapi"
)

const (
	// intakeGroup is the durable consumer that all nodes share, one at a time.
	intakeGroup = "quipu-intake"
	// deadSuffix ends the name of the stream of dead letters.
	deadSuffix = "-dead"
	// intakeAckWait is how long a message stays with a node that died.
	intakeAckWait = 5 * time.Second
	// What the streams keep that are made here; those that are there stay as they are.
	intakeAgeMax    = 7 * 24 * time.Hour
	deadAgeMax      = 30 * 24 * time.Hour
	deadMessagesMax = 100_000
)

// openIntake builds what takes commands from NATS, and what carries deltas between nodes, as far as these are
// configured. The executor and the hub are there.
func (s *server) openIntake() error {
	s.openDeltas()
	topic := s.Config.NATS.Intake
	if topic == "" || s.nats == nil {
		return nil
	}
	sub, err := nats.NewSubscriber(s.nats, nats.SubscriberOptions{
		Group: intakeGroup, InFlight: s.Config.NATS.InFlight, KeepOrder: true, AckWait: intakeAckWait,
		Streams: nats.StreamOptions{AgeMax: intakeAgeMax}, Random: s.Clock.Jitter, AfterFunc: s.Clock.AfterFunc, Logger: s.Logger,
	})
	if err != nil {
		return fmt.Errorf("intake: %w", err)
	}
	dead, err := nats.NewPublisher(s.nats, nats.PublisherOptions{Streams: nats.StreamOptions{AgeMax: deadAgeMax, MessagesMax: deadMessagesMax}})
	if err != nil {
		return fmt.Errorf("dead letters of the intake: %w", err)
	}
	in := &intakebus.Intake{Runs: s.executor, Definitions: s.definitions, Channels: s.channels, Registry: s.registry, Timeout: process.RequestTimeout}
	health := s.Health.Part("intake")
	s.commandsIn = intake.New(intake.Deps{
		Subscribe:   func(ctx context.Context) (<-chan *message.Message, error) { return sub.Subscribe(ctx, topic) },
		DeadLetters: dead, DeadTopic: topic + deadSuffix,
		Parse: func(id string, header map[string]string, body []byte) (intake.Command, error) {
			c, err := in.Parse(id, header, body)
			return intake.Command{Name: c.Name, Key: c.Key, Do: c.Do}, err
		},
		Passing: intakebus.Passing,
		Owns:    func() (bool, <-chan struct{}) { return s.node.Owns("intake:" + topic) },
		Clock:   s.Clock, Random: s.Clock.Jitter, Logger: s.Logger,
		Hooks: intake.Hooks{
			Handled: s.Metrics.IntakeHandled, Retried: s.Metrics.IntakeRetried, Ailing: health.Set,
		},
	}, intake.Options{InFlightMax: s.Config.NATS.InFlight})
	return nil
}

// runIntake takes commands once every unfinished run has been found, as requests are.
func (s *server) runIntake(ctx, work context.Context) error {
	select {
	case <-s.executor.Ready():
		return s.commandsIn.Run(ctx, work)
	case <-ctx.Done():
		return nil
	}
}

// openDeltas lets nodes tell each other what models say; a node that is alone has nobody to tell.
func (s *server) openDeltas() {
	if s.nats == nil || s.Config.NATS.Deltas == "" || !s.Config.Cluster.Shared() {
		return
	}
	s.deltas = deltas.New(s.nats, deltas.Options{
		Prefix: s.Config.NATS.Deltas, Node: s.node.ID,
		Followed: func(runID string) bool { return s.hub.Followed(commands.RunStream(runID)) },
		Tell:     s.tellDelta,
		Hooks: deltas.Hooks{
			Sent:    func() { s.Metrics.Deltas("sent", 1) },
			Told:    func() { s.Metrics.Deltas("told", 1) },
			Dropped: s.Metrics.Deltas,
		},
	})
}

// said hands on what a model said here: to this node's readers, and to the other nodes.
func (s *server) said(d commands.Delta) {
	piece := deltas.Delta{Delta: d, At: s.Clock.Now()}
	s.tellDelta(piece)
	if s.deltas != nil {
		s.deltas.Publish(piece)
	}
}

// tellDelta hands a delta to this node's readers.
func (s *server) tellDelta(d deltas.Delta) {
	s.hub.PublishEphemeral(commands.RunStream(d.RunID), readapi.Delta{
		Task: d.Task, TaskID: d.TaskID, Attempt: d.Attempt, Seq: d.Seq, Text: d.Text, At: d.At,
	})
}
