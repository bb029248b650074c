// Package outward is what the process has to do with other systems: relays to NATS and Kafka and webhooks,
// which hand recorded events on; the intake, which takes commands; and what models say, told from node to
// node. All of it is optional, and none of it keeps the server from serving.
package outward

import (
	"context"
	"errors"
	"fmt"

	natsgo "github.com/nats-io/nats.go"

	"quipu/app/nodes"
	"quipu/app/process"
	"quipu/commands"
	"quipu/commands/node"
	"quipu/eventbus"
	"quipu/eventbus/intake"
	"quipu/eventbus/webhooks"
	"quipu/infra/lifecycle"
	"quipu/infra/nats/deltas"
	"quipu/infra/postgres/cluster"
)

// Outward has all of these that the configuration asks for.
type Outward struct {
	process.Process
	log   commands.Log
	node  *nodes.Node
	inner Inner // set by Attach
	// checkpoints say how far those have come who hand recorded events on.
	checkpoints eventbus.Checkpoints
	// checkpointPool is theirs, nil for a node that is alone.
	checkpointPool *cluster.Pool
	nats           *natsgo.Conn // nil without --nats; everything on NATS shares it
	relays         []*relaying
	webhooks       posting
	intake         *intake.Intake // nil without one, as is deltas
	deltas         *deltas.Bus
}

// Inner are the parts of the program that have to do with what goes out and comes in.
type Inner struct {
	Hub         *eventbus.Hub
	Executor    *commands.Executor
	Definitions *commands.Definitions
	Channels    *commands.Channels
	Registry    *node.Registry
}

// New has nothing open yet. The log is open, and the node has joined.
func New(p process.Process, log commands.Log, n *nodes.Node) *Outward {
	return &Outward{Process: p, log: log, node: n}
}

// Open opens what does not need the inner parts: checkpoints, the connection to NATS, and the relays. After
// an error Close is still called.
func (o *Outward) Open(ctx context.Context) error {
	if err := o.openCheckpoints(ctx); err != nil {
		return fmt.Errorf("open checkpoints: %w", err)
	}
	if err := o.openNATS(); err != nil {
		return err
	}
	return o.openRelays()
}

// Attach builds the rest, webhooks, deltas and the intake, around the inner parts. It follows Open.
func (o *Outward) Attach(ctx context.Context, inner Inner) error {
	o.inner = inner
	err := o.openWebhooks(ctx)
	o.openDeltas()
	return errors.Join(err, o.openIntake())
}

// Members are the parts of the process that there are. Relays stop early: what they do not hand on waits in
// the log, for this node or another.
func (o *Outward) Members() (out []lifecycle.Member) {
	for _, r := range o.relays {
		out = append(out, lifecycle.Member{Name: r.ID(), Run: func(_, work context.Context) error { return r.Run(work) }})
	}
	if o.webhooks.Sender != nil {
		out = append(out, lifecycle.Member{Name: "webhooks", EndsAfterIntake: true, Run: o.webhooks.Run})
	}
	if o.deltas != nil {
		out = append(out, lifecycle.Member{Name: "deltas", Run: func(_, work context.Context) error { return o.deltas.Run(work) }})
	}
	if o.intake != nil {
		out = append(out, lifecycle.Member{Name: "intake", EndsAfterIntake: true, Run: o.runIntake})
	}
	return out
}

// Works names what one of several nodes does at a time, relays and the intake, to be asked about of the node.
func (o *Outward) Works() (works []string) {
	for _, r := range o.relays {
		works = append(works, r.ID())
	}
	if topic := o.Config.NATS.Intake; topic != "" {
		works = append(works, intakeWork(topic))
	}
	return works
}

// Webhooks posts to those of the configuration, nil for none.
func (o *Outward) Webhooks() *webhooks.Sender { return o.webhooks.Sender }

// Wake says that there are more events to hand on.
func (o *Outward) Wake() { o.webhooks.wake() }

// Measure says how far relays and webhooks are behind the log at the moment of asking.
func (o *Outward) Measure(ctx context.Context) {
	o.measureRelays(ctx)
	o.measureWebhooks(ctx)
}

// Close closes the connections to other systems; nothing uses them any more.
func (o *Outward) Close() error {
	var errs []error
	for _, r := range o.relays {
		errs = append(errs, r.close())
	}
	if o.checkpointPool != nil {
		o.checkpointPool.Close()
	}
	if o.nats != nil {
		o.nats.Close()
	}
	return errors.Join(append(errs, o.webhooks.close())...)
}
