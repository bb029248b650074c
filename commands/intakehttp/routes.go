package intakehttp

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/gofiber/fiber/v2"

	"quipu/commands"
	"quipu/commands/node"
	"quipu/domain"
	"quipu/domain/rawjson"
	"quipu/domain/run"
	"quipu/domain/wire"
)

// Runs is what the routes need of the executor.
type Runs interface {
	StartRun(ctx context.Context, q commands.StartRequest) (commands.Outcome, error)
	Await(ctx context.Context, runID string, d time.Duration) (*run.State, error)
	CancelRun(ctx context.Context, a commands.Ask, reason string) (commands.Outcome, error)
}

// Routes serves run-dag, task-status and cancel.
type Routes struct {
	Runs     Runs
	Registry *node.Registry
	IDs      interface{ NewID() string }
	LogID    domain.LogID
	// Render shows a payload of a run to clients: secrets masked, large blobs as links.
	Render func(ctx context.Context, runID string, v domain.Value) ([]byte, error)
	// Timeout bounds the work of one request beside a wait it asked for.
	Timeout time.Duration
}

// Register adds the routes. Both forms of run-dag's path are known to be used.
func (r *Routes) Register(app fiber.Router) {
	app.Post("/run-dag", r.runDAG)
	app.Get("/task-status/:id", r.taskStatus)
	app.Post("/api/executions/:id/cancel", r.cancel)
}

// HeaderPosition carries the position a command was written at (contract D22).
const HeaderPosition = "Quipu-Position"

func (r *Routes) runDAG(c *fiber.Ctx) error {
	// The framework reuses the request's memory; the definition outlives it.
	body := append([]byte(nil), c.Body()...)
	q, err := parseRunDAG(body, r.Registry)
	if err != nil {
		return err
	}
	if q.RunName == "" {
		q.RunName = "run_" + strings.ReplaceAll(r.IDs.NewID(), "-", "")
	}
	repeat, err := repeatOf(c, body)
	if err != nil {
		return err
	}
	q.ID, q.BodySHA256 = repeat.id(), repeat.body
	q.Actor = actor(c, "run-dag")
	q.Trace = wire.Traceparent(c.Get("traceparent"))
	ctx, cancel := context.WithTimeout(c.UserContext(), r.Timeout)
	defer cancel()
	out, err := r.Runs.StartRun(ctx, q)
	if err != nil {
		return relocate(err, body)
	}
	if out.Repeated {
		q.FlowName, q.RunName = out.FlowName, out.RunName // it may have been made up
	}
	c.Set(HeaderPosition, out.Position.Cursor(r.LogID))
	b := append(make([]byte, 0, 160), `{"status":"processing","task_id":`...)
	b = rawjson.AppendString(b, out.RunID)
	b = append(b, `,"flow_name":`...)
	b = rawjson.AppendString(b, q.FlowName)
	b = append(b, `,"run_name":`...)
	b = rawjson.AppendString(b, q.RunName)
	return sendJSON(c, append(b, '}'))
}

// relocate makes the place of a fault in the graph one in the body that the client sent, which may
// have had the workflow wrapped.
func relocate(err error, body []byte) error {
	var e *domain.Error
	if !errors.As(err, &e) || !strings.HasPrefix(e.Field, "/tasks") && !strings.HasPrefix(e.Field, "/edges") {
		return err
	}
	if _, wrapped := rawjson.Get(body, "/workflow_data"); !wrapped {
		return err
	}
	return e.WithField("/workflow_data" + e.Field)
}

func sendJSON(c *fiber.Ctx, b []byte) error {
	c.Set(fiber.HeaderContentType, fiber.MIMEApplicationJSON)
	return c.Send(b)
}

// waitMax bounds how long task-status may be asked to wait for a run's end.
const waitMax = 60 * time.Second

// cancel ends a run on request; the answer follows the durable event (contract D16, D17).
func (r *Routes) cancel(c *fiber.Ctx) error {
	id, err := runID(c)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(c.UserContext(), r.Timeout)
	defer cancel()
	repeat, err := repeatOf(c, nil)
	if err != nil {
		return err
	}
	by := by(c)
	out, err := r.Runs.CancelRun(ctx, commands.Ask{RunID: id, Actor: by.Actor, Trace: by.Trace, Key: repeat.key, Body: repeat.body}, "requested")
	if err != nil {
		return known(err)
	}
	position := out.Position.Cursor(r.LogID)
	c.Set(HeaderPosition, position)
	c.Status(fiber.StatusAccepted)
	b := rawjson.AppendString([]byte(`{"data":{"id":`), id)
	b = rawjson.AppendString(append(b, `,"status":"cancelled","position":`...), position)
	return sendJSON(c, append(b, `},"status":"success"}`...))
}

func (r *Routes) taskStatus(c *fiber.Ctx) error {
	id, err := runID(c)
	if err != nil {
		return err
	}
	wait, err := waitOf(c.Query("wait"))
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(c.UserContext(), r.Timeout+wait)
	defer cancel()
	s, err := r.Runs.Await(ctx, id, wait)
	if err != nil {
		return known(err)
	}
	b, err := r.status(ctx, s)
	if err != nil {
		return err
	}
	return sendJSON(c, b)
}

func waitOf(s string) (time.Duration, error) {
	if s == "" {
		return 0, nil
	}
	d, err := time.ParseDuration(s)
	if err != nil || d < 0 || d > waitMax {
		return 0, domain.E(domain.KindInvalid, "", "", `must be a duration from 0s to 60s such as "10s"`).WithField("query/wait").WithCode("INVALID_WAIT")
	}
	return d, nil
}

// status renders {status, results[, error]}. LAO knows processing, completed and failed only.
func (r *Routes) status(ctx context.Context, s *run.State) ([]byte, error) {
	switch s.Phase {
	case run.Running:
		return []byte(`{"status":"processing"}`), nil
	case run.PhaseCompleted:
		return r.results(ctx, append(make([]byte, 0, 512), `{"status":"completed"`...), s)
	default:
		return r.failed(ctx, s)
	}
}

func (r *Routes) failed(ctx context.Context, s *run.State) ([]byte, error) {
	e := s.Error
	if s.Phase == run.PhaseCancelled {
		e = run.ErrorInfo{Type: "RunCancelled", Code: "CANCELLED", Message: "the run was cancelled"}
	}
	b := append(make([]byte, 0, 512), `{"status":"failed","error":{"type":`...)
	b = rawjson.AppendString(b, e.Type)
	b = append(b, `,"code":`...)
	b = rawjson.AppendString(b, e.Code)
	b = append(b, `,"message":`...)
	b = rawjson.AppendString(b, e.Message)
	if s.FailedBy != "" {
		b = append(b, `,"task_name":`...)
		b = rawjson.AppendString(b, s.FailedBy)
	}
	return r.results(ctx, append(b, '}'), s)
}

func (r *Routes) results(ctx context.Context, b []byte, s *run.State) ([]byte, error) {
	b = append(b, `,"results":{`...)
	first := true
	for i := range s.Tasks() {
		t := s.Task(i)
		if t.Phase != run.TaskCompletedPhase {
			continue
		}
		shown, err := r.Render(ctx, s.RunID, t.Output)
		if err != nil {
			return nil, err
		}
		if !first {
			b = append(b, ',')
		}
		first = false
		b = rawjson.AppendString(b, s.Graph.Nodes[i].Name)
		b = append(b, ':')
		b = append(b, shown...)
	}
	return append(b, '}', '}'), nil
}
