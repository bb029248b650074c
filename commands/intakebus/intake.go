package intakebus

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"strings"
	"time"

	"quipu/commands"
	"quipu/commands/intakehttp"
	"quipu/commands/node"
	"quipu/domain"
	"quipu/domain/rawjson"
	"quipu/domain/run"
	"quipu/domain/wire"
)

// Runs is what commands need of the executor.
type Runs interface {
	StartRun(ctx context.Context, q commands.StartRequest) (commands.Outcome, error)
	CancelRun(ctx context.Context, a commands.Ask, reason string) (commands.Outcome, error)
	Pause(ctx context.Context, a commands.Ask, reason string) (commands.Outcome, error)
	Resume(ctx context.Context, a commands.Ask, reason string) (commands.Outcome, error)
	Signal(ctx context.Context, a commands.Ask, name string, payload []byte) (commands.Outcome, error)
	DecideApproval(ctx context.Context, a commands.Ask, task, action, approver, comment string) (commands.Outcome, error)
}

// Definitions is what commands need of the stored workflows.
type Definitions interface {
	Execute(ctx context.Context, id string, in commands.RunInput, by commands.By) (commands.Started, error)
}

// Channels is what commands need of the channels.
type Channels interface {
	Publish(ctx context.Context, q commands.PublishRequest) (commands.Published, error)
}

// Intake carries commands out. Safe for concurrent use; all fields are required.
type Intake struct {
	Runs        Runs
	Definitions Definitions
	Channels    Channels
	Registry    *node.Registry
	// Timeout bounds one try to carry a command out.
	Timeout time.Duration
}

// Command is one message, understood.
type Command struct {
	Name string
	// Key says what it is about: commands of equal keys are to be carried out one after the other, in the
	// order they came.
	Key string
	// Do carries it out and returns once that is durable. It may be called again after an error, also by
	// another process. Errors: those of the command; Passing tells which may pass.
	Do func(ctx context.Context) error
}

// Passing reports whether a command that failed with err may succeed later as it is.
func Passing(err error) bool {
	switch domain.KindOf(err) {
	case domain.KindExhausted, domain.KindUnavailable, domain.KindIndeterminate, domain.KindDeadline, domain.KindCanceled, domain.KindConflict:
		return true
	}
	return false
}

// asked is one message on its way to a command.
type asked struct {
	message
	intake *Intake
	key    string
	digest string // hex SHA-256 of the body
	run    string // that it is about
}

// todo carries a command out; parser reads the rest of a message and says what is to be done.
type (
	todo   = func(ctx context.Context) error
	parser = func(*asked) (todo, error)
)

// parsers are all commands.
var parsers = map[string]parser{
	"start":   (*asked).start,
	"run-dag": (*asked).runDAG,
	"cancel":  ofRun((*asked).cancel),
	"pause":   ofRun((*asked).pause),
	"resume":  ofRun((*asked).resume),
	"signal":  ofRun((*asked).signal),
	"approve": ofRun(decide(run.Approved)),
	"reject":  ofRun(decide(run.Rejected)),
	"publish": (*asked).publish,
}

// names lists them for messages.
const names = "approve, cancel, pause, publish, reject, resume, run-dag, signal, start"

// Parse reads a message. id is the transport's (HeaderID), which counts where the message is no CloudEvent;
// header holds its headers, names in any case; body is kept.
// Errors: ErrInvalid or ErrUnprocessable naming the field; what they say holds no value of the message.
func (i *Intake) Parse(id string, header map[string]string, body []byte) (Command, error) {
	m, err := read(id, header, body)
	if err != nil {
		return Command{}, err
	}
	parse := parsers[m.command]
	if parse == nil {
		return Command{}, refuse(domain.KindInvalid, "COMMAND_UNKNOWN", "command", "is no command of this server; name one of: "+names)
	}
	sum := sha256.Sum256(m.body)
	a := &asked{message: m, intake: i, key: key(m.source, m.id), digest: hex.EncodeToString(sum[:])}
	do, err := parse(a)
	if err != nil {
		return Command{}, err
	}
	return Command{Name: m.command, Key: a.run, Do: func(ctx context.Context) error {
		ctx, cancel := context.WithTimeout(ctx, i.Timeout)
		defer cancel()
		return do(ctx)
	}}, nil
}

func (a *asked) actor() wire.Actor {
	return wire.Actor{Kind: wire.ActorSystem, ID: "bus", Via: "bus"}
}

func (a *asked) ask() commands.Ask {
	return commands.Ask{RunID: a.run, Actor: a.actor(), Trace: a.trace, Key: a.key, Body: a.digest}
}

func (a *asked) by() commands.By { return commands.By{Actor: a.actor(), Trace: a.trace} }

// start runs a stored workflow: {workflow_id, input_data?}.
func (a *asked) start() (todo, error) {
	id, err := a.required("workflow_id")
	if err != nil {
		return nil, err
	}
	input, given := rawjson.Get(a.body, "/input_data")
	switch {
	case !given || rawjson.KindOf(input) == rawjson.Null:
		input = []byte("{}")
	case rawjson.KindOf(input) != rawjson.Object:
		return nil, refuse(domain.KindUnprocessable, "INVALID_MESSAGE", "/input_data", "must be an object")
	}
	a.run = RunID(a.source, a.id)
	in := commands.RunInput{Input: rawjson.Trim(input), ID: a.run, BodySHA256: a.digest}
	return func(ctx context.Context) error {
		_, err := a.intake.Definitions.Execute(ctx, id, in, a.by())
		return err
	}, nil
}

// runDAG runs a definition that comes along: {dag: the body of POST /run-dag}.
func (a *asked) runDAG() (todo, error) {
	dag, given := rawjson.Get(a.body, "/dag")
	if !given {
		return nil, refuse(domain.KindUnprocessable, "INVALID_MESSAGE", "/dag", "is missing; send what POST /run-dag takes")
	}
	q, err := intakehttp.ParseRunDAG(rawjson.Trim(dag), a.intake.Registry)
	if err != nil {
		return nil, err
	}
	a.run = RunID(a.source, a.id)
	if q.RunName == "" {
		q.RunName = "run_" + strings.ReplaceAll(a.run, "-", "")
	}
	q.ID, q.BodySHA256, q.Actor, q.Trace = a.run, a.digest, a.actor(), a.trace
	return func(ctx context.Context) error {
		_, err := a.intake.Runs.StartRun(ctx, q)
		return err
	}, nil
}

// ofRun reads which run a command is about: {execution_id}, or {started_by, source?}: the id and source of
// the message that started it.
func ofRun(parse parser) parser {
	return func(a *asked) (todo, error) {
		id, err := text(a.body, "execution_id")
		if err != nil {
			return nil, err
		}
		by, err := text(a.body, "started_by")
		if err != nil {
			return nil, err
		}
		switch {
		case (id == "") == (by == ""):
			return nil, refuse(domain.KindUnprocessable, "INVALID_MESSAGE", "/execution_id", "either this or started_by, the id of the message that started the run, is needed")
		case by != "":
			source := a.source
			if of, err := text(a.body, "started_by_source"); err != nil {
				return nil, err
			} else if of != "" {
				source = of
			}
			id = RunID(source, by)
		}
		a.run = strings.TrimPrefix(id, "exec_")
		if a.run == "" || commands.RunStream(a.run).Check() != nil {
			return nil, refuse(domain.KindInvalid, "INVALID_ID", "/execution_id", "is no id of an execution")
		}
		do, err := parse(a)
		if err != nil {
			return nil, err
		}
		return func(ctx context.Context) error {
			err := do(ctx)
			if errors.Is(err, domain.ErrNotFound) {
				return refuse(domain.KindNotFound, "EXECUTION_UNKNOWN", "/execution_id", "names no execution")
			}
			return err
		}, nil
	}
}

func (a *asked) cancel() (todo, error) {
	return a.withReason(a.intake.Runs.CancelRun)
}

func (a *asked) pause() (todo, error) {
	return a.withReason(a.intake.Runs.Pause)
}

func (a *asked) resume() (todo, error) {
	return a.withReason(a.intake.Runs.Resume)
}

func (a *asked) withReason(do func(context.Context, commands.Ask, string) (commands.Outcome, error)) (todo, error) {
	reason, err := text(a.body, "reason")
	if err != nil {
		return nil, err
	}
	if reason == "" && a.command == "cancel" {
		reason = "requested"
	}
	return func(ctx context.Context) error {
		_, err := do(ctx, a.ask(), reason)
		return err
	}, nil
}

// signal gives a run a message: {name, payload?}.
func (a *asked) signal() (todo, error) {
	name, err := a.required("name")
	if err != nil {
		return nil, err
	}
	payload := a.payload()
	return func(ctx context.Context) error {
		_, err := a.intake.Runs.Signal(ctx, a.ask(), name, payload)
		return err
	}, nil
}

// decide ends a wait for a decision: {node_id?, approver?, comment?}.
func decide(action string) parser {
	return func(a *asked) (todo, error) {
		var values [3]string
		for i, member := range []string{"node_id", "approver", "comment"} {
			var err error
			if values[i], err = text(a.body, member); err != nil {
				return nil, err
			}
		}
		return func(ctx context.Context) error {
			_, err := a.intake.Runs.DecideApproval(ctx, a.ask(), values[0], action, values[1], values[2])
			return err
		}, nil
	}
}

// publish records a message on a channel: {channel, payload?}.
func (a *asked) publish() (todo, error) {
	channel, err := a.required("channel")
	if err != nil {
		return nil, err
	}
	a.run = "channel " + channel // no run's id has a blank there: ids of runs are those of streams
	q := commands.PublishRequest{Channel: channel, Payload: a.payload(), Key: a.key, Body: a.digest, By: a.by()}
	return func(ctx context.Context) error {
		_, err := a.intake.Channels.Publish(ctx, q)
		return err
	}, nil
}

// payload is any JSON, null if it is missing.
func (a *asked) payload() []byte {
	if raw, given := rawjson.Get(a.body, "/payload"); given {
		return rawjson.Trim(raw)
	}
	return []byte("null")
}

func (a *asked) required(member string) (string, error) {
	value, err := text(a.body, member)
	if err == nil && value == "" {
		err = refuse(domain.KindUnprocessable, "INVALID_MESSAGE", "/"+member, "is missing")
	}
	return value, err
}
