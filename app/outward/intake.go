package outward

import (
	"context"
	"fmt"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"

	"quipu/app/process"
	"quipu/commands/intakebus"
	"quipu/eventbus/intake"
	"quipu/infra/nats"
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

// openIntake builds what takes commands from NATS, if that is configured.
func (o *Outward) openIntake() error {
	topic := o.Config.NATS.Intake
	if topic == "" || o.nats == nil {
		return nil
	}
	sub, err := nats.NewSubscriber(o.nats, nats.SubscriberOptions{
		Group: intakeGroup, InFlight: o.Config.NATS.InFlight, KeepOrder: true, AckWait: intakeAckWait,
		Streams: nats.StreamOptions{AgeMax: intakeAgeMax}, Random: o.Clock.Jitter, AfterFunc: o.Clock.AfterFunc, Logger: o.Logger,
	})
	if err != nil {
		return fmt.Errorf("intake: %w", err)
	}
	dead, err := nats.NewPublisher(o.nats, nats.PublisherOptions{Streams: nats.StreamOptions{AgeMax: deadAgeMax, MessagesMax: deadMessagesMax}})
	if err != nil {
		return fmt.Errorf("dead letters of the intake: %w", err)
	}
	in := &intakebus.Intake{Runs: o.inner.Executor, Definitions: o.inner.Definitions, Channels: o.inner.Channels, Registry: o.inner.Registry, Timeout: process.RequestTimeout}
	health := o.Health.Part("intake")
	o.intake = intake.New(intake.Deps{
		Subscribe:   func(ctx context.Context) (<-chan *message.Message, error) { return sub.Subscribe(ctx, topic) },
		DeadLetters: dead, DeadTopic: topic + deadSuffix,
		Parse: func(id string, header map[string]string, body []byte) (intake.Command, error) {
			c, err := in.Parse(id, header, body)
			return intake.Command{Name: c.Name, Key: c.Key, Do: c.Do}, err
		},
		Passing: intakebus.Passing,
		Owns:    func() (bool, <-chan struct{}) { return o.node.Owns(intakeWork(topic)) },
		Clock:   o.Clock, Random: o.Clock.Jitter, Logger: o.Logger,
		Hooks: intake.Hooks{
			Handled: o.Metrics.IntakeHandled, Retried: o.Metrics.IntakeRetried, Ailing: health.Set,
		},
	}, intake.Options{InFlightMax: o.Config.NATS.InFlight})
	return nil
}

// runIntake takes commands once every unfinished run has been found, as requests are.
func (o *Outward) runIntake(ctx, work context.Context) error {
	select {
	case <-o.inner.Executor.Ready():
		return o.intake.Run(ctx, work)
	case <-ctx.Done():
		return nil
	}
}

// intakeWork is what the nodes share out: who takes the commands of a topic.
func intakeWork(topic string) string { return "intake:" + topic }
