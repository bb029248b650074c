package commands

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"quipu/domain"
	"quipu/domain/run"
	"quipu/domain/wire"
)

// Ask says which run a command is for, and who sends it.
type Ask struct {
	RunID string
	Actor wire.Actor
	Trace string // W3C traceparent, "" if none
	// Key makes repeats of a command one command: 64 hex digits derived from who asks, the route and the
	// client's key; "" for none. Body is the hex SHA-256 of what was asked.
	Key, Body string

	session *Session // that sealed the command's payload
}

// commandID is the command's id in the log, and what all ids with the same key begin with.
func (a Ask) commandID(kind string, ids IDs) (id, prefix string) {
	if a.Key == "" {
		return kind + ":" + ids.NewID(), ""
	}
	prefix = "key:" + a.Key + ":"
	return prefix + a.Body[:min(len(a.Body), 16)], prefix
}

// Pause lets nothing new begin in a run: no task, no attempt, no end of a timer. What runs goes on to
// its end. A run that is paused already stays so.
//
// Errors: as Cancel; ErrUnprocessable for a reason that is too long.
func (e *Executor) Pause(ctx context.Context, a Ask, reason string) (Outcome, error) {
	texts, err := e.scrub(ctx, a.RunID, reason)
	if err != nil {
		return Outcome{}, err
	}
	return e.control(ctx, "pause", a, run.Pause{Reason: texts[0]})
}

// Resume ends a pause. Errors: as Pause.
func (e *Executor) Resume(ctx context.Context, a Ask, reason string) (Outcome, error) {
	texts, err := e.scrub(ctx, a.RunID, reason)
	if err != nil {
		return Outcome{}, err
	}
	return e.control(ctx, "resume", a, run.Resume{Reason: texts[0], Node: e.node})
}

// DecideApproval ends a task's wait for a decision. task may be empty if only one waits.
//
// Errors: as Cancel; ErrRefused with code NOT_AWAITING_APPROVAL or APPROVAL_AMBIGUOUS.
func (e *Executor) DecideApproval(ctx context.Context, a Ask, task, action, approver, comment string) (Outcome, error) {
	texts, err := e.scrub(ctx, a.RunID, approver, comment)
	if err != nil {
		return Outcome{}, err
	}
	return e.control(ctx, "approval", a, run.DecideApproval{Task: task, Action: action, Approver: texts[0], Comment: texts[1], Node: e.node})
}

// scrub masks the run's secrets in texts of somebody outside, which are stored in clear.
func (e *Executor) scrub(ctx context.Context, runID string, texts ...string) ([]string, error) {
	if strings.Join(texts, "") == "" {
		return texts, nil
	}
	_, session, err := e.folded(ctx, runID)
	if err != nil {
		return nil, err
	}
	for i := range texts {
		texts[i] = session.Scrub(texts[i])
	}
	return texts, nil
}

// folded is a run as of its last stored event, with a session that knows its secrets.
func (e *Executor) folded(ctx context.Context, runID string) (loaded, *Session, error) {
	l, err := load(ctx, e.deps.Log, e.deps.Blobs, RunStream(runID), endOfStream)
	if err != nil {
		return l, nil, err
	}
	session, err := e.deps.Secrets.Session(ctx, RunStream(runID), l.secrets)
	return l, session, err
}

// Signal gives a run a message. It ends the wait of the task that waits for its name first, now or when
// one begins to. payload is checked JSON.
//
// Errors: as Cancel; ErrUnprocessable naming what is wrong with name or payload, SECRET_IN_NAME if the name
// holds a secret of the run, since names are stored in clear; ErrRefused with code
// TOO_MANY_SIGNALS.
func (e *Executor) Signal(ctx context.Context, a Ask, name string, payload []byte) (Outcome, error) {
	id := e.deps.IDs.NewID()
	if a.Key != "" {
		id = a.Key
	}
	return e.sealed(ctx, "signal", a, name, payload, func(v domain.Value, secrets []run.Secret) run.Command {
		return run.Signal{SignalID: id, Name: name, Payload: v, Secrets: secrets, Node: e.node}
	})
}

// Deliver gives a task that waits for it a message of a channel. payload is checked JSON, its secrets in
// clear. Too late is no error.
// Errors: as Cancel, but for a run that has ended.
func (e *Executor) Deliver(ctx context.Context, runID, task, channel, messageID string, payload []byte) (Outcome, error) {
	a := Ask{RunID: runID, Actor: wire.Actor{Kind: wire.ActorSystem, ID: e.node, Via: "channel"}}
	return e.sealed(ctx, "deliver", a, "", payload, func(v domain.Value, secrets []run.Secret) run.Command {
		return run.Deliver{Task: task, Channel: channel, MessageID: messageID, Payload: v, Secrets: secrets, Node: e.node}
	})
}

// sealTriesMax bounds how often a payload is sealed again because its run was opened elsewhere meanwhile.
const sealTriesMax = 5

// sealed sends a command whose payload enters the run from outside, under a name that stays in clear.
//
// Two sessions of one run hand out the same ids for other secrets, so the payload is sealed by that of
// the run's mailbox, or by one that the mailbox then goes on with.
func (e *Executor) sealed(ctx context.Context, kind string, a Ask, name string, payload []byte, command func(domain.Value, []run.Secret) run.Command) (Outcome, error) {
	for try := 1; ; try++ {
		session, err := e.session(ctx, a.RunID)
		if err != nil {
			return Outcome{}, err
		}
		if session.Scrub(name) != name { // nodes wait for it by its bytes: a mask would end no wait
			return Outcome{}, domain.E(domain.KindUnprocessable, kind+" run", a.RunID, "holds a secret of the run; use another name").
				WithField("name").WithCode("SECRET_IN_NAME")
		}
		v, secrets, err := session.Seal(ctx, payload)
		if err != nil {
			return Outcome{}, err
		}
		a.session = session
		out, err := e.control(ctx, kind, a, command(v, secrets))
		if !errors.Is(err, domain.ErrConflict) || try == sealTriesMax {
			return out, err
		}
	}
}

// session is that of a run's mailbox, which is opened for it if the run is not active.
func (e *Executor) session(ctx context.Context, runID string) (*Session, error) {
	found := make(chan *Session, 1)
	if err := e.send(ctx, runID, inSession{runID: runID, session: found}); err != nil {
		return nil, err
	}
	select {
	case s := <-found:
		if s != nil {
			return s, nil
		}
	case <-ctx.Done():
		return nil, domain.Wrap(domain.KindUnavailable, "read run", runID, ctx.Err())
	case <-e.work.Done():
		return nil, context.Cause(e.work)
	}
	_, s, err := e.folded(ctx, runID)
	return s, err
}

// control is visit for commands that clients may repeat under a key.
func (e *Executor) control(ctx context.Context, kind string, a Ask, c run.Command) (Outcome, error) {
	began := e.deps.Clock.Now()
	out, err := e.visitOnce(ctx, kind, a, c)
	e.observe(kind, began, err)
	return out, err
}

func (e *Executor) visitOnce(ctx context.Context, kind string, a Ask, c run.Command) (Outcome, error) {
	if a.Key == "" {
		return e.visit(ctx, kind, a, c)
	}
	// One at a time: of two at the same moment the second could find the run one step further, and
	// approve what nobody has seen yet. Should another process work on the run too, an append that meets
	// its own is told by the command's id.
	lock := e.repeats.of(RunStream(a.RunID))
	lock.Lock()
	defer lock.Unlock()
	if out, known, err := e.repeated(ctx, kind, a); known || err != nil {
		return out, err
	}
	out, err := e.visit(ctx, kind, a, c)
	if errors.Is(err, domain.ErrRefused) || err == nil && out.Position == 0 {
		// Another process may have been first with the same request.
		if out, known, again := e.repeated(ctx, kind, a); known && again == nil {
			return out, nil
		}
	}
	return out, err
}

// repeated looks for an earlier command of the same key in the run's stream.
func (e *Executor) repeated(ctx context.Context, kind string, a Ask) (Outcome, bool, error) {
	id, prefix := a.commandID(kind, e.deps.IDs)
	stream, out, found := RunStream(a.RunID), Outcome{RunID: a.RunID, Repeated: true}, false
	for next := domain.Revision(0); ; {
		page, err := e.deps.Log.ReadStream(ctx, stream, next, readPage)
		if err != nil {
			return Outcome{}, false, fmt.Errorf("%s run %s: %w", kind, a.RunID, err)
		}
		if len(page) == 0 {
			return out, found, nil
		}
		for i := range page {
			m, err := wire.DecodeMetadata(page[i].Metadata)
			switch {
			case err != nil:
				return Outcome{}, false, err
			case m.CommandID == id:
				out.Revision, out.Position, found = page[i].Revision, page[i].Position, true
			case strings.HasPrefix(m.CommandID, prefix):
				return Outcome{}, true, KeyReused(kind+" run", a.RunID)
			}
		}
		next = page[len(page)-1].Revision + 1
	}
}

// visit sends a command to a run, be it active, waiting for a place, asleep or ended, and returns once
// what it leads to is durable.
func (e *Executor) visit(ctx context.Context, kind string, a Ask, c run.Command) (Outcome, error) {
	type answer struct {
		out Outcome
		err error
	}
	id, _ := a.commandID(kind, e.deps.IDs)
	answered := make(chan answer, 1)
	err := e.send(ctx, a.RunID, inVisit{runID: a.RunID, envelope: envelope{
		command: c, outside: true, session: a.session,
		cause: wire.Cause{Actor: a.Actor, CommandID: id, CorrelationID: a.RunID, Traceparent: a.Trace},
		reply: func(o Outcome, err error) { answered <- answer{o, err} },
	}})
	if err != nil {
		return Outcome{}, err
	}
	select {
	case got := <-answered:
		return got.out, got.err
	case <-ctx.Done():
		return Outcome{}, domain.Wrap(domain.KindIndeterminate, kind+" run", a.RunID, ctx.Err())
	case <-e.work.Done():
		return Outcome{}, domain.Wrap(domain.KindIndeterminate, kind+" run", a.RunID, context.Cause(e.work))
	}
}
