package history

import (
	"context"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/gofiber/fiber/v2"

	"quipu/domain"
	"quipu/projections/view"
	"quipu/readapi/object"
	"quipu/readapi/params"
)

// atParams are those of reads by id.
type atParams struct {
	At string `query:"at" max:"64" doc:"The state back then: an integer is an offset, RFC 3339 a time."`
}

// execution answers GET /api/executions/:id.
func (r *Routes) execution(c *fiber.Ctx) error {
	return r.byID(c, func(ctx context.Context, s *story) ([]byte, error) {
		s.row.CurrentNode = s.currentNode()
		o := object.New(make([]byte, 0, 2048))
		o.Key("data")
		var err error
		if o.B, err = r.appendStory(ctx, o.B, s); err != nil {
			return nil, err
		}
		o.Str("status", "success")
		return o.Done(), nil
	})
}

// byID folds the run that the request names and answers with what show makes of it.
func (r *Routes) byID(c *fiber.Ctx, show func(context.Context, *story) ([]byte, error)) error {
	id, err := executionID(c)
	if err != nil {
		return err
	}
	p, err := params.Bind[atParams](params.Read(c))
	if err != nil {
		return err
	}
	u, err := parseUntil(p.At)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(c.UserContext(), r.options.FoldTimeout)
	defer cancel()
	if err := r.folds.enter(ctx); err != nil {
		return err
	}
	defer r.folds.leave()
	s, err := r.tell(ctx, id, u, r.options)
	if err != nil {
		return timedOut(err)
	}
	b, err := show(ctx, s)
	if err != nil {
		return timedOut(err)
	}
	return sendJSON(c, b)
}

// rawID reads the id in the path. The framework's string lives in a buffer that is reused.
func rawID(c *fiber.Ctx) (string, error) {
	id, err := url.PathUnescape(strings.Clone(c.Params("id")))
	if err != nil {
		return "", domain.E(domain.KindInvalid, "", "", "is not percent-encoded correctly").WithField("path/id").WithCode("INVALID_ID")
	}
	return id, nil
}

// executionID reads the id in the path; exec_<id> is accepted everywhere (contract D20).
func executionID(c *fiber.Ctx) (string, error) {
	id, err := rawID(c)
	if err != nil {
		return "", err
	}
	id = strings.TrimPrefix(id, "exec_")
	if id == "" || domain.StreamID(runStreamPrefix+id).Check() != nil {
		return "", unknownExecution()
	}
	return id, nil
}

// parseUntil reads at. An integer is an offset, whatever its size: epoch seconds are no time here.
func parseUntil(s string) (until, error) {
	if s == "" {
		return whole, nil
	}
	if strings.Trim(s, "0123456789") == "" {
		n, err := strconv.ParseInt(s, 10, 64)
		if err != nil || n == int64(whole.offset) {
			n = int64(whole.offset) - 1 // beyond any head
		}
		return until{offset: domain.Revision(n)}, nil
	}
	at, fault := params.Instant(s)
	if fault != "" || !strings.ContainsAny(s, "Tt") {
		return until{}, params.Fault("at", "must be an offset such as 7, or a time in RFC 3339 such as 2025-09-02T09:42:05.043Z")
	}
	return until{offset: whole.offset, at: at}, nil
}

// appendStory appends the whole execution object (contract D20).
func (r *Routes) appendStory(ctx context.Context, dst []byte, s *story) ([]byte, error) {
	o := object.New(dst)
	r.head(o, &s.row)
	shown := valueShow{r, ctx, s.row.ID, r.options.InlineBytesMax}
	if err := shown.add(o, "input_data", s.input, "{}"); err != nil {
		return nil, err
	}
	if err := shown.add(o, "metadata", s.meta, "null"); err != nil {
		return nil, err
	}
	o.Bool("is_paused", s.row.Status == view.Paused)
	waitingFor(o, s)
	if err := r.output(o, s, shown); err != nil {
		return nil, err
	}
	o.Open("node_outputs")
	for _, n := range s.nodes {
		if n.task != nil && n.task.completed {
			if err := shown.output(o, n.name, n.task); err != nil {
				return nil, err
			}
		}
	}
	o.Close()
	o.Key("nodes")
	o.B = append(o.B, '[')
	for _, n := range s.nodes {
		o.Item()
		o.B = append(o.B, '{')
		o.Str("name", n.name)
		o.Str("type", n.typ)
		if err := nodeFields(o, n.task, shown); err != nil {
			return nil, err
		}
		o.Close()
	}
	o.B = append(o.B, ']')
	return o.Done(), nil
}

// waitingFor writes what the execution's tasks wait for, in the order in which they began.
func waitingFor(o *object.Builder, s *story) {
	o.Key("waiting_for")
	o.B = append(o.B, '[')
	for _, t := range s.began {
		if t.Status != view.Waiting {
			continue
		}
		o.Item()
		o.B = append(o.B, '{')
		o.Str("node_id", t.Task.Task)
		waitFields(o, &t.Wait)
		o.Close()
	}
	o.B = append(o.B, ']')
}

func waitFields(o *object.Builder, w *view.Wait) {
	o.Str("kind", string(w.Kind))
	o.StrOrNull("channel", w.Channel)
	o.Time("due_at", w.DueAt)
}

// nodeFields writes where a node stands; "pending" is one that has not begun.
func nodeFields(o *object.Builder, t *taskStory, shown valueShow) error {
	if t == nil {
		o.Str("status", "pending")
		o.Int("attempts", 0)
		o.Null("started_at")
		o.Null("ended_at")
		o.Null("waiting_for")
		o.Null("error")
		return nil
	}
	o.Str("status", string(t.Status))
	o.Int("attempts", int64(t.Attempts))
	o.Time("started_at", t.StartedAt)
	o.Time("ended_at", t.EndedAt)
	if t.Status == view.Waiting {
		o.Open("waiting_for")
		waitFields(o, &t.Wait)
		o.Close()
	} else {
		o.Null("waiting_for")
	}
	return shown.failure(o, t)
}

// output writes output_data: of the nodes of type end, one by itself or several by name; of a run
// without such nodes all outputs by task. It is null unless the run has completed.
func (r *Routes) output(o *object.Builder, s *story, shown valueShow) error {
	if s.row.Status != view.Completed {
		o.Null("output_data")
		return nil
	}
	var ends, all []*nodeStory
	hasEnd := false
	for _, n := range s.nodes {
		hasEnd = hasEnd || n.typ == "end"
		if n.task != nil && n.task.completed {
			all = append(all, n)
			if n.typ == "end" {
				ends = append(ends, n)
			}
		}
	}
	if hasEnd {
		if len(ends) == 1 {
			return shown.output(o, "output_data", ends[0].task)
		}
		all = ends
	}
	o.Open("output_data")
	for _, n := range all {
		if err := shown.output(o, n.name, n.task); err != nil {
			return err
		}
	}
	o.Close()
	return nil
}

// head writes the fields that every execution object begins with, in lists and by id.
func (r *Routes) head(o *object.Builder, e *view.Execution) {
	o.Str("id", e.ID)
	o.StrOrNull("workflow_id", e.WorkflowID)
	if e.WorkflowVersion > 0 {
		o.Int("workflow_version", int64(e.WorkflowVersion))
	} else {
		o.Null("workflow_version")
	}
	o.Str("source", e.Source)
	o.StrOrNull("endpoint", e.Endpoint)
	o.StrOrNull("flow_name", e.FlowName)
	o.StrOrNull("run_name", e.RunName)
	o.StrOrNull("connection_id", e.ConnectionID)
	o.StrOrNull("retry_of", e.RetryOf)
	o.Str("status", string(e.Status))
	o.StrOrNull("current_node", e.CurrentNode)
	executionError(o, e)
	ended := e.EndedAt
	if !e.Status.Ended() {
		ended = time.Time{} // a list of what was running then may hold what has ended since
	}
	o.Time("started_at", e.StartedAt)
	o.Time("completed_at", ended)
	o.Millis("duration_ms", e.StartedAt, ended)
	o.Int("last_offset", int64(e.LastOffset))
	o.Position("position", r.deps.Log.ID(), e.LastPosition)
	n := e.Tasks
	open := int64(max(n.Started-n.Completed-n.Failed, 0))
	o.Open("tasks")
	o.Int("total", int64(n.Total))
	o.Int("completed", int64(n.Completed))
	o.Int("failed", int64(n.Failed))
	o.Int("skipped", int64(n.Skipped))
	if !e.Status.Ended() {
		o.Int("running", open)
		o.Int("cancelled", 0)
	} else {
		o.Int("running", 0)
		o.Int("cancelled", open)
	}
	o.Close()
	o.Int("attempts", int64(n.Attempts))
}

// executionError writes why an execution failed or was cancelled, else null.
func executionError(o *object.Builder, e *view.Execution) {
	failure := e.Error
	switch e.Status {
	case view.Failed:
	case view.Cancelled:
		failure = view.Error{Type: "RunCancelled", Code: "CANCELLED", Message: "the run was cancelled"}
	default:
		o.Null("error")
		return
	}
	o.Open("error")
	o.Str("type", failure.Type)
	o.Str("code", failure.Code)
	o.Str("message", failure.Message)
	o.StrOrNull("task", e.FailedTask)
	o.Close()
}

// valueShow is how the values of one answer are shown.
type valueShow struct {
	r           *Routes
	ctx         context.Context // of one request; this value does not outlive it
	executionID string
	inlineMax   int
}

// add writes a value, or absent if there is none.
func (s valueShow) add(o *object.Builder, k string, v domain.Value, absent string) error {
	o.Key(k)
	if v.Absent() {
		o.B = append(o.B, absent...)
		return nil
	}
	b, err := s.r.deps.Payloads.Render(s.ctx, s.executionID, v, s.inlineMax)
	if lost(err) {
		b, err = []byte(`{"unreadable":true}`), nil
	}
	if err != nil {
		return err
	}
	o.B = append(o.B, b...)
	return nil
}

// output writes what a task gave.
func (s valueShow) output(o *object.Builder, k string, t *taskStory) error {
	return s.held(o, k, t.output, t, "node.completed", "null")
}

// held writes a value of a task: a link to its event if the execution's values are too large together.
func (s valueShow) held(o *object.Builder, k string, v held, t *taskStory, eventType, absent string) error {
	if !v.left {
		return s.add(o, k, v.Value, absent)
	}
	o.Open(k)
	o.Str("href", "/api/events?"+url.Values{
		"execution_id": {s.executionID}, "node_id": {t.Task.Task}, "event_type": {eventType},
	}.Encode())
	o.Int("bytes", int64(v.bytes))
	o.Close()
	return nil
}

// failure writes why a task's last attempt failed, null if it did not.
func (s valueShow) failure(o *object.Builder, t *taskStory) error {
	if t.Error == (view.Error{}) {
		o.Null("error")
		return nil
	}
	o.Open("error")
	o.Str("type", t.Error.Type)
	o.Str("code", t.Error.Code)
	o.Str("message", t.Error.Message)
	eventType := "node.failed"
	if t.Status != view.Failed {
		eventType = "task_retry_scheduled"
	}
	err := s.held(o, "details", t.details, t, eventType, "{}")
	o.Close()
	return err
}
