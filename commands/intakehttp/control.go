package intakehttp

import (
	"context"
	"errors"
	"net/url"
	"strings"
	"time"

	"github.com/gofiber/fiber/v2"

	"quipu/commands"
	"quipu/commands/definition"
	"quipu/domain"
	"quipu/domain/rawjson"
	"quipu/domain/run"
)

// Controls is what the routes need of the executor.
type Controls interface {
	Pause(ctx context.Context, a commands.Ask, reason string) (commands.Outcome, error)
	Resume(ctx context.Context, a commands.Ask, reason string) (commands.Outcome, error)
	Signal(ctx context.Context, a commands.Ask, name string, payload []byte) (commands.Outcome, error)
	DecideApproval(ctx context.Context, a commands.Ask, task, action, approver, comment string) (commands.Outcome, error)
	RetryRun(ctx context.Context, q commands.RetryRequest) (commands.Outcome, error)
}

// Publisher is what the routes need of the channels.
type Publisher interface {
	Publish(ctx context.Context, q commands.PublishRequest) (commands.Published, error)
}

// Control serves what people and programs ask of runs under way, and messages for channels.
type Control struct {
	Runs     Controls
	Channels Publisher
	LogID    domain.LogID
	Timeout  time.Duration // of the work of one request
}

// Register adds the routes.
func (r *Control) Register(app fiber.Router) {
	app.Post("/api/executions/:id/pause", r.pause)
	app.Post("/api/executions/:id/resume", r.resume)
	app.Post("/api/executions/:id/retry", r.retry)
	app.Post("/api/executions/:id/signals/:name", r.signal)
	app.Post("/api/approvals/:id/approve", r.decide(run.Approved))
	app.Post("/api/approvals/:id/reject", r.decide(run.Rejected))
	app.Post("/api/channels/:name/messages", r.publish)
}

// ask reads who asks for which run, and under which key; body is what they ask.
func (r *Control) ask(c *fiber.Ctx, body []byte) (commands.Ask, error) {
	id, err := runID(c)
	if err != nil {
		return commands.Ask{}, err
	}
	repeat, err := repeatOf(c, body)
	if err != nil {
		return commands.Ask{}, err
	}
	by := by(c)
	return commands.Ask{RunID: id, Actor: by.Actor, Trace: by.Trace, Key: repeat.key, Body: repeat.body}, nil
}

func (r *Control) pause(c *fiber.Ctx) error {
	return r.control(c, "paused", r.Runs.Pause)
}

func (r *Control) resume(c *fiber.Ctx) error {
	return r.control(c, "running", r.Runs.Resume)
}

// control carries out a command that takes {reason}, or nothing.
func (r *Control) control(c *fiber.Ctx, status string, do func(context.Context, commands.Ask, string) (commands.Outcome, error)) error {
	body := ownBody(c)
	var f definition.Faults
	members, err := optionalObject(body, &f)
	if err != nil {
		return err
	}
	reason := members.text("reason", &f)
	if err := definition.Refusal(domain.KindUnprocessable, "INVALID_BODY", f.List, nil); err != nil {
		return err
	}
	a, err := r.ask(c, body)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(c.UserContext(), r.Timeout)
	defer cancel()
	out, err := do(ctx, a, reason)
	if err != nil {
		return known(inBody(err, "reason"))
	}
	return r.accepted(c, out, func(b []byte) []byte {
		return rawjson.AppendString(append(b, `,"status":`...), status)
	})
}

// accepted answers that a command is recorded (contract D17, D22).
func (r *Control) accepted(c *fiber.Ctx, out commands.Outcome, more func([]byte) []byte) error {
	c.Status(fiber.StatusAccepted)
	b := rawjson.AppendString(append(make([]byte, 0, 256), `{"id":`...), out.RunID)
	b = more(b)
	return sendData(c, r.position(c, b, out.Position))
}

// position adds the position written at, null if nothing had to be, and closes the object.
func (r *Control) position(c *fiber.Ctx, b []byte, p domain.Position) []byte {
	if p == 0 {
		return append(b, `,"position":null}`...)
	}
	text := p.Cursor(r.LogID)
	c.Set(HeaderPosition, text)
	return append(rawjson.AppendString(append(b, `,"position":`...), text), '}')
}

// inBody makes the field of a fault a place in the body.
func inBody(err error, fields ...string) error {
	var e *domain.Error
	if !errors.As(err, &e) {
		return err
	}
	for _, f := range fields {
		if e.Field == f {
			return e.WithField("/" + f)
		}
	}
	return err
}

// retry starts a new run that goes on where this one ended: {from: [node, …]} names what is done again
// although it completed.
func (r *Control) retry(c *fiber.Ctx) error {
	body := ownBody(c)
	var f definition.Faults
	members, err := optionalObject(body, &f)
	if err != nil {
		return err
	}
	from := members.texts("from", &f)
	if err := definition.Refusal(domain.KindUnprocessable, "INVALID_BODY", f.List, nil); err != nil {
		return err
	}
	id, err := runID(c)
	if err != nil {
		return err
	}
	repeat, err := repeatOf(c, body)
	if err != nil {
		return err
	}
	by := by(c)
	ctx, cancel := context.WithTimeout(c.UserContext(), r.Timeout)
	defer cancel()
	out, err := r.Runs.RetryRun(ctx, commands.RetryRequest{
		RunID: id, From: from, ID: repeat.id(), BodySHA256: repeat.body, Actor: by.Actor, Trace: by.Trace,
	})
	if err != nil {
		return known(err)
	}
	c.Location("/api/executions/" + url.PathEscape(out.RunID))
	return r.accepted(c, out, func(b []byte) []byte {
		b = rawjson.AppendString(append(b, `,"execution_id":`...), out.RunID)
		b = rawjson.AppendString(append(b, `,"retry_of":`...), id)
		return append(b, `,"status":"running"`...)
	})
}

// signal gives a run a message of any JSON, or of none.
func (r *Control) signal(c *fiber.Ctx) error {
	body := ownBody(c)
	payload, err := payloadOf(body)
	if err != nil {
		return err
	}
	name, err := nameOf(c)
	if err != nil {
		return err
	}
	a, err := r.ask(c, body)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(c.UserContext(), r.Timeout)
	defer cancel()
	out, err := r.Runs.Signal(ctx, a, name, payload)
	if err != nil {
		return known(named(err))
	}
	return r.accepted(c, out, func(b []byte) []byte {
		b = rawjson.AppendString(append(b, `,"signal":`...), name)
		return append(b, `,"status":"signalled"`...)
	})
}

// publish records a message of any JSON on a channel.
func (r *Control) publish(c *fiber.Ctx) error {
	body := ownBody(c)
	payload, err := payloadOf(body)
	if err != nil {
		return err
	}
	name, err := nameOf(c)
	if err != nil {
		return err
	}
	repeat, err := repeatOf(c, body)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(c.UserContext(), r.Timeout)
	defer cancel()
	out, err := r.Channels.Publish(ctx, commands.PublishRequest{Channel: name, Payload: payload, Key: repeat.key, Body: repeat.body, By: by(c)})
	if err != nil {
		return named(err)
	}
	c.Status(fiber.StatusCreated)
	b := rawjson.AppendString(append(make([]byte, 0, 256), `{"channel":`...), name)
	b = rawjson.AppendString(append(b, `,"message_id":`...), out.MessageID)
	return sendData(c, r.position(c, b, out.Position))
}

// payloadOf is any JSON; no body is null.
func payloadOf(body []byte) ([]byte, error) {
	if len(rawjson.Trim(body)) == 0 {
		return []byte("null"), nil
	}
	return rawjson.Trim(body), CheckJSON(body)
}

// nameOf decodes the name of a signal or channel in the path.
func nameOf(c *fiber.Ctx) (string, error) {
	name, err := url.PathUnescape(strings.Clone(c.Params("name")))
	if err != nil {
		return "", domain.E(domain.KindInvalid, "", "", "is not percent-encoded correctly").WithField("path/name").WithCode("INVALID_NAME")
	}
	return name, nil
}

// named says where in the request a name or payload stood.
func named(err error) error {
	var e *domain.Error
	switch {
	case !errors.As(err, &e):
	case e.Field == "channel", e.Field == "name":
		return e.WithField("path/name")
	case e.Field == "payload":
		return e.WithField("body")
	}
	return err
}

// decide ends a wait for a decision: {node_id?, approver?, comment?}.
func (r *Control) decide(action string) fiber.Handler {
	return func(c *fiber.Ctx) error {
		body := ownBody(c)
		var f definition.Faults
		members, err := optionalObject(body, &f)
		if err != nil {
			return err
		}
		node, approver, comment := members.text("node_id", &f), members.text("approver", &f), members.text("comment", &f)
		if err := definition.Refusal(domain.KindUnprocessable, "INVALID_BODY", f.List, nil); err != nil {
			return err
		}
		a, err := r.ask(c, body)
		if err != nil {
			return err
		}
		ctx, cancel := context.WithTimeout(c.UserContext(), r.Timeout)
		defer cancel()
		out, err := r.Runs.DecideApproval(ctx, a, node, action, approver, comment)
		if err != nil {
			return known(inBody(err, "node_id", "approver", "comment"))
		}
		return r.accepted(c, out, func(b []byte) []byte {
			b = rawjson.AppendString(append(b, `,"execution_id":`...), out.RunID)
			return rawjson.AppendString(append(b, `,"status":`...), action)
		})
	}
}
