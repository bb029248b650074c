package intakehttp

import (
	"context"
	"net/url"
	"strconv"
	"time"

	"github.com/gofiber/fiber/v2"

	"quipu/commands"
	"quipu/commands/node"
	"quipu/domain"
	"quipu/domain/rawjson"
	"quipu/domain/wire"
)

// Definitions is what the routes need of the stored workflows.
type Definitions interface {
	Create(ctx context.Context, c commands.Change, by commands.By) (commands.Workflow, error)
	Update(ctx context.Context, id string, c commands.Change, by commands.By) (commands.Workflow, error)
	Delete(ctx context.Context, id string, match []int, by commands.By) (commands.Workflow, error)
	Execute(ctx context.Context, id string, in commands.RunInput, by commands.By) (commands.Started, error)
	// Show gives the graph as clients see it.
	Show(ctx context.Context, w commands.Workflow) ([]byte, error)
}

// Workflows serves the writing half of /api/workflows (contract S2-7, S2-9 to S2-11).
type Workflows struct {
	Definitions Definitions
	Registry    *node.Registry
	LogID       domain.LogID
	Timeout     time.Duration // of the work of one request
}

// Register adds the routes.
func (w *Workflows) Register(app fiber.Router) {
	app.Post("/api/workflows", w.create)
	app.Put("/api/workflows/:id", w.update)
	app.Delete("/api/workflows/:id", w.delete)
	app.Post("/api/workflows/:id/execute", w.execute)
}

func by(c *fiber.Ctx) commands.By {
	return commands.By{Actor: actor(c, "api"), Trace: wire.Traceparent(c.Get("traceparent"))}
}

// actor is who was authenticated, never whom the body names.
func actor(c *fiber.Ctx, via string) wire.Actor { return commands.ActorOf(c.UserContext(), via) }

func (w *Workflows) create(c *fiber.Ctx) error {
	body := ownBody(c)
	change, err := parseWorkflow(body, true, w.Registry)
	if err != nil {
		return err
	}
	repeat, err := repeatOf(c, body)
	if err != nil {
		return err
	}
	change.ID, change.Key, change.Body = repeat.id(), repeat.key, repeat.body
	ctx, cancel := context.WithTimeout(c.UserContext(), w.Timeout)
	defer cancel()
	stored, err := w.Definitions.Create(ctx, change, by(c))
	if err != nil {
		return err
	}
	c.Status(fiber.StatusCreated)
	c.Location("/api/workflows/" + url.PathEscape(stored.ID))
	return w.answer(ctx, c, stored)
}

func (w *Workflows) update(c *fiber.Ctx) error {
	id, err := workflowID(c)
	if err != nil {
		return err
	}
	change, err := parseWorkflow(ownBody(c), false, w.Registry)
	if err != nil {
		return err
	}
	if change.Match, err = ifMatch(c); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(c.UserContext(), w.Timeout)
	defer cancel()
	stored, err := w.Definitions.Update(ctx, id, change, by(c))
	if err != nil {
		return knownWorkflow(err)
	}
	return w.answer(ctx, c, stored)
}

func (w *Workflows) answer(ctx context.Context, c *fiber.Ctx, stored commands.Workflow) error {
	graph, err := w.Definitions.Show(ctx, stored)
	if err != nil {
		return err
	}
	position := w.position(c, stored.Position)
	setETag(c, stored.Version())
	return sendData(c, stored.Show(graph, position).AppendJSON(make([]byte, 0, len(graph)+512)))
}

// position puts the position written at into the header and returns it (contract D22).
func (w *Workflows) position(c *fiber.Ctx, p domain.Position) string {
	text := p.Cursor(w.LogID)
	c.Set(HeaderPosition, text)
	return text
}

func (w *Workflows) delete(c *fiber.Ctx) error {
	id, err := workflowID(c)
	if err != nil {
		return err
	}
	match, err := ifMatch(c)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(c.UserContext(), w.Timeout)
	defer cancel()
	stored, err := w.Definitions.Delete(ctx, id, match, by(c))
	if err != nil {
		return knownWorkflow(err)
	}
	b := rawjson.AppendString([]byte(`{"status":"deleted","workflow_id":`), stored.ID)
	b = rawjson.AppendString(append(b, `,"position":`...), w.position(c, stored.Position))
	return sendData(c, append(b, '}'))
}

func (w *Workflows) execute(c *fiber.Ctx) error {
	id, err := workflowID(c)
	if err != nil {
		return err
	}
	body := ownBody(c)
	input, err := parseExecute(body)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(c.UserContext(), w.Timeout)
	defer cancel()
	repeat, err := repeatOf(c, body)
	if err != nil {
		return err
	}
	run, err := w.Definitions.Execute(ctx, id, commands.RunInput{Input: input, ID: repeat.id(), BodySHA256: repeat.body}, by(c))
	if err != nil {
		return knownWorkflow(err)
	}
	c.Status(fiber.StatusAccepted)
	c.Location("/api/executions/" + url.PathEscape(run.RunID))
	b := rawjson.AppendString(append(make([]byte, 0, 256), `{"execution_id":`...), run.RunID)
	b = rawjson.AppendString(append(b, `,"workflow_id":`...), id)
	b = strconv.AppendInt(append(b, `,"workflow_version":`...), int64(run.WorkflowVersion), 10)
	b = rawjson.AppendString(append(b, `,"status":"running","position":`...), w.position(c, run.Position))
	return sendData(c, append(b, '}'))
}

// ownBody copies the body out of the framework's memory, which the next request uses again.
func ownBody(c *fiber.Ctx) []byte { return append([]byte(nil), c.Body()...) }

// sendData answers with the envelope of /api (contract D16).
func sendData(c *fiber.Ctx, data []byte) error {
	b := append(make([]byte, 0, len(data)+32), `{"data":`...)
	return sendJSON(c, append(append(b, data...), `,"status":"success"}`...))
}
