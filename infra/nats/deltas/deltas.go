// Package deltas carries what models say from the node where a run is worked on to the nodes whose
// readers follow it, over core NATS.
//
// A delta is a live reader's alone: it is in no log and may be lost. So nothing here waits: what does
// not fit the queue, or comes while NATS is away, is dropped and counted. Secrets are masked before a
// delta is made (commands/delta.go). Whoever may publish on the subjects can show readers any text,
// so the account's permissions should leave that to Quipu's nodes.
package deltas

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"time"

	natsgo "github.com/nats-io/nats.go"

	"quipu/commands"
	"quipu/domain"
)

// The bounds.
const (
	// QueueMax is how many deltas wait to be sent, and how many that came wait to be handed on.
	QueueMax = 4096
	// InboundBytesMax bounds those that came.
	InboundBytesMax = 8 << 20
	// MessageBytesMax is the largest message; a larger delta is dropped. It is below what servers take
	// by default (1 MiB) and above what a model says at once.
	MessageBytesMax = 256 << 10
)

// Delta is one piece of what a model said, and when.
type Delta struct {
	commands.Delta
	At time.Time
}

// Reasons why a delta was dropped, as Hooks.Dropped tells them.
const (
	DroppedQueueFull = "queue_full"
	DroppedAway      = "nats_away"
	DroppedTooLarge  = "too_large"
	DroppedBad       = "bad_message"
	DroppedSlow      = "slow_reader" // this node's, of what other nodes sent
)

// Options of a Bus. All but Hooks are required.
type Options struct {
	Prefix string // of subjects
	Node   string // this process's incarnation: what it sent it does not take
	// Followed tells whether a run has readers on this node.
	Followed func(runID string) bool
	// Tell hands a delta of another node to them. It must not block.
	Tell  func(Delta)
	Hooks Hooks
}

// Hooks observe. Each may be nil; none may block.
type Hooks struct {
	Sent    func()
	Told    func()
	Dropped func(reason string, n int)
}

// Bus sends this node's deltas and takes the others'. Lifetime: New, Run (once), then ctx ends; Publish
// at any time, by any goroutine.
type Bus struct {
	conn  *natsgo.Conn
	o     Options
	queue chan Delta
}

// New makes a bus on a connection, which stays its caller's.
func New(conn *natsgo.Conn, o Options) *Bus {
	if conn == nil || o.Prefix == "" || o.Node == "" || o.Followed == nil || o.Tell == nil {
		panic("deltas: New needs a connection, a prefix, a node, Followed and Tell")
	}
	return &Bus{conn: conn, o: o, queue: make(chan Delta, QueueMax)}
}

// message is a delta on the wire.
type message struct {
	Node    string    `json:"node"`
	Run     string    `json:"run"`
	Task    string    `json:"task"`
	TaskID  string    `json:"task_id"`
	Attempt int       `json:"attempt"`
	Seq     int       `json:"seq"`
	Text    string    `json:"text"`
	At      time.Time `json:"at"`
}

// Subject is where deltas of a run are sent: <prefix>.delta.<32 hex digits of the run id's SHA-256>.
func Subject(prefix, runID string) string {
	sum := sha256.Sum256([]byte(runID))
	return prefix + ".delta." + hex.EncodeToString(sum[:16])
}

// Publish sends a delta to the other nodes. It never blocks; what cannot be sent is dropped.
func (b *Bus) Publish(d Delta) {
	if !b.conn.IsConnected() {
		b.dropped(DroppedAway, 1)
		return
	}
	select {
	case b.queue <- d:
	default:
		b.dropped(DroppedQueueFull, 1)
	}
}

// Run sends and takes until ctx ends, then returns nil. Errors: ErrUnavailable if the connection is closed.
func (b *Bus) Run(ctx context.Context) error {
	sub, err := b.conn.Subscribe(b.o.Prefix+".delta.*", b.take)
	if err != nil {
		return domain.Wrap(domain.KindUnavailable, "follow deltas", "", err)
	}
	defer func() { _ = sub.Unsubscribe() }() // the connection may be closed already
	if err := sub.SetPendingLimits(QueueMax, InboundBytesMax); err != nil {
		return domain.Wrap(domain.KindUnavailable, "follow deltas", "", err)
	}
	lost := 0
	for {
		select {
		case <-ctx.Done():
			return nil
		case d := <-b.queue:
			b.send(d)
		}
		if n, err := sub.Dropped(); err == nil && n > lost {
			b.dropped(DroppedSlow, n-lost)
			lost = n
		}
	}
}

func (b *Bus) send(d Delta) {
	body, err := json.Marshal(message{
		Node: b.o.Node, Run: d.RunID, Task: d.Task, TaskID: d.TaskID, Attempt: d.Attempt, Seq: d.Seq, Text: d.Text, At: d.At,
	})
	switch {
	case err != nil || len(body) > MessageBytesMax:
		b.dropped(DroppedTooLarge, 1)
		return
	case b.conn.Publish(Subject(b.o.Prefix, d.RunID), body) != nil:
		b.dropped(DroppedAway, 1)
		return
	}
	if f := b.o.Hooks.Sent; f != nil {
		f()
	}
}

// take is called by the connection, one message after the other.
func (b *Bus) take(m *natsgo.Msg) {
	d, node, err := decode(b.o.Prefix, m)
	switch {
	case err != nil:
		b.dropped(DroppedBad, 1)
	case node == b.o.Node || !b.o.Followed(d.RunID):
	default:
		b.o.Tell(d)
		if f := b.o.Hooks.Told; f != nil {
			f()
		}
	}
}

func decode(prefix string, m *natsgo.Msg) (d Delta, node string, err error) {
	if len(m.Data) > MessageBytesMax {
		return d, "", errors.New("too large")
	}
	var w message
	if err := json.Unmarshal(m.Data, &w); err != nil {
		return d, "", err
	}
	if w.Run == "" || w.Seq < 0 || w.Attempt < 0 || m.Subject != Subject(prefix, w.Run) {
		return d, "", errors.New("not a delta")
	}
	return Delta{
		Delta: commands.Delta{RunID: w.Run, Task: w.Task, TaskID: w.TaskID, Attempt: w.Attempt, Seq: w.Seq, Text: w.Text},
		At:    w.At,
	}, w.Node, nil
}

func (b *Bus) dropped(reason string, n int) {
	if f := b.o.Hooks.Dropped; f != nil {
		f(reason, n)
	}
}
