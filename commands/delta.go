package commands

import (
	"quipu/commands/node"
	"quipu/domain/workflow"
)

// DeltaHeldBytesMax is how much of a model's words is held back at most, because it may be the
// beginning of a secret; where more would be, the rest of the attempt is not told. Its output is
// recorded all the same.
const DeltaHeldBytesMax = 32 << 10

// Delta is a piece of what a model says.
type Delta struct {
	RunID, Task, TaskID string
	Attempt             int
	// Seq counts the pieces of the attempt from 0. Text goes on where the piece before ended.
	Seq  int
	Text string
}

// deltas tells of an attempt's text. It belongs to the attempt's goroutine.
type deltas struct {
	tell    func(Delta)
	session *Session
	next    Delta
	held    string // said, not told yet
	mute    bool
}

// deltas is nil if nobody is to be told: no hook, or an output that is secret as a whole because a
// successor passes it under a secret key.
func (r *runner) deltas(a *attempt, n *workflow.Node) *deltas {
	if r.hooks.Delta == nil || n.Calls != string(node.CallsModel) || a.sealAt() != nil {
		return nil
	}
	tell := func(d Delta) {
		if a.ctx.Err() == nil {
			r.hooks.Delta(d)
		}
	}
	return &deltas{tell: tell, session: a.session, next: Delta{RunID: a.runID, Task: n.Name, TaskID: a.taskID(n.Name), Attempt: a.number}}
}

func (d *deltas) add(text string) {
	if d.mute || text == "" {
		return
	}
	d.held += text
	if n := d.session.Settled(d.held, d.next.Seq == 0); n > 0 {
		d.send(d.held[:n])
		d.held = d.held[n:]
	}
	d.mute = len(d.held) > DeltaHeldBytesMax
}

// end tells of what was held back: nothing follows it. It is for an attempt that succeeded: an answer
// that broke off may have done so in the middle of a secret.
func (d *deltas) end() {
	if !d.mute && d.held != "" {
		d.send(d.held)
	}
	d.mute = true
}

func (d *deltas) send(text string) {
	d.next.Text = d.session.Scrub(text)
	d.tell(d.next)
	d.next.Seq++
}
