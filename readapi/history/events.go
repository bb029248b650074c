package history

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/gofiber/fiber/v2"

	"quipu/domain"
	"quipu/domain/workflow"
	"quipu/projections/view"
	"quipu/readapi/orchestrator"
	"quipu/readapi/params"
)

// eventsParams are the filters of GET /api/events (contract D18).
type eventsParams struct {
	WorkflowID  string          `query:"workflow_id" doc:"Events of this workflow and of its executions."`
	ExecutionID string          `query:"execution_id" doc:"Events of this execution."`
	EventType   []string        `query:"event_type" max:"128" doc:"Any of these types: names of this API, canonical names or stored types."`
	NodeID      string          `query:"node_id" doc:"Events about this node."`
	From        time.Time       `query:"from" doc:"At or after this instant."`
	To          time.Time       `query:"to" doc:"Before this instant."`
	After       params.Position `query:"after" doc:"After this position."`
	Before      params.Position `query:"before" doc:"Before this position."`
	pagingParams
}

// events answers GET /api/events: newest first, unless asked otherwise.
func (r *Routes) events(c *fiber.Ctx) error {
	q, err := params.Bind[eventsParams](params.Read(c))
	return r.listEvents(c, q, err, false)
}

// workflowEvents answers GET /api/workflows/:id/events, oldest first: the story of a workflow, all its
// executions included, or, if no workflow has that id, of an execution (contract D19).
func (r *Routes) workflowEvents(c *fiber.Ctx) error {
	id, err := rawID(c)
	if err != nil {
		return err
	}
	if workflow.Stream(id).Check() != nil {
		return unknownWorkflow()
	}
	q, bound := params.Bind[eventsParams](params.Read(c))
	ctx, cancel := context.WithTimeout(c.UserContext(), r.options.FoldTimeout)
	defer cancel()
	switch stored, err := r.exists(ctx, workflow.Stream(id)); {
	case err != nil:
		return err
	case stored:
		q.WorkflowID = id
	default:
		execution := strings.TrimPrefix(id, "exec_")
		ran, err := r.ran(ctx, execution)
		if err != nil {
			return err
		}
		if ran {
			q.ExecutionID = execution
			break
		}
		// Runs that came with their definition have a workflow id without a stored workflow.
		if err := r.anyOfWorkflow(ctx, id); err != nil {
			return err
		}
		q.WorkflowID = id
	}
	return r.listEvents(c, q, bound, true)
}

// exists reports whether a stream has an event.
func (r *Routes) exists(ctx context.Context, stream domain.StreamID) (bool, error) {
	page, err := r.deps.Log.ReadStream(ctx, stream, 0, 1)
	if errors.Is(err, domain.ErrNotFound) {
		return false, nil
	}
	return len(page) > 0, timedOut(err)
}

// ran reports whether an execution has begun.
func (r *Routes) ran(ctx context.Context, id string) (bool, error) {
	s, err := r.startOf(ctx, id)
	if errors.Is(err, domain.ErrNotFound) {
		return false, nil
	}
	return s != nil, timedOut(err)
}

// anyOfWorkflow asks the view whether there are executions of a workflow. Errors: ErrNotFound.
func (r *Routes) anyOfWorkflow(ctx context.Context, id string) error {
	seen, refused, err := r.await(ctx, 0)
	if err != nil {
		return err
	}
	if err := r.lists.enter(ctx); err != nil {
		return err
	}
	defer r.lists.leave()
	slice, err := r.deps.Views.Executions(ctx, view.ExecutionQuery{WorkflowID: id, Page: view.Page{Limit: 1}})
	if err != nil {
		return viewsError(err)
	}
	switch {
	case len(slice.Rows) > 0:
		return nil
	case refused || slice.As.Position < seen: // it may be there
		return stale("the views have not come far enough to tell whether this workflow has executions; try again", "path/id", slice.As.Position.Cursor(r.deps.Log.ID()))
	}
	return unknownWorkflow()
}

func unknownWorkflow() error {
	return domain.E(domain.KindNotFound, "", "", "names neither a workflow nor an execution").WithField("path/id").WithCode("WORKFLOW_UNKNOWN")
}

func (r *Routes) listEvents(c *fiber.Ctx, q eventsParams, bound error, ascending bool) error {
	log := r.deps.Log.ID()
	types, typeErr := storedTypes(q.EventType)
	q.ExecutionID = strings.TrimPrefix(q.ExecutionID, "exec_")
	p, pageErr := q.check(listEvents, log, ascending,
		append([]string{
			q.WorkflowID, q.ExecutionID, q.NodeID, instantKey(q.From), instantKey(q.To),
			positionKey(q.After), positionKey(q.Before),
		}, types...)...)
	err := errors.Join(bound, typeErr, pageErr, rangeFault("from", q.From, q.To),
		inLog("after", q.After, log), inLog("before", q.Before, log), emptyRange(q.After, q.Before))
	if err != nil {
		return err
	}
	shown := orchestrator.New(r.deps.Payloads, orchestrator.Options{LogID: log, InlineBytesMax: listBlobBytesMax})
	return serve(r, c, p, lister[view.Event]{
		asked: params.Describe[eventsParams](),
		query: func(ctx context.Context, page view.Page) (view.Slice[view.Event], error) {
			return r.deps.Views.Events(ctx, view.EventQuery{
				WorkflowID: q.WorkflowID, ExecutionID: q.ExecutionID, Node: q.NodeID, Types: types,
				From: storedBound(q.From), To: storedBound(q.To), After: q.After.At, Before: q.Before.At, Page: page,
			})
		},
		show: func(ctx context.Context, dst []byte, e *view.Event) ([]byte, error) {
			event := orchestrator.Event{Recorded: &e.Recorded, ExecutionID: e.ExecutionID, WorkflowID: e.WorkflowID, NodeType: e.NodeType}
			if e.Node != "" && e.NodeType == "" { // of a skipped task, say
				event.NodeType = r.types.of(ctx, r, e.ExecutionID, e.Node)
			}
			return shown.AppendAudited(ctx, dst, event)
		},
		key: func(e *view.Event) domain.Position { return e.Position },
	})
}

// listBlobBytesMax is the largest blob shown in a list. Blobs are larger than what stands in events,
// so that a page reads none.
const listBlobBytesMax = domain.PayloadInlineBytesMax

// storedTypes resolves event types, sorted. Errors: ErrUnprocessable naming the ones there are.
func storedTypes(names []string) ([]string, error) {
	var out []string
	for _, n := range names {
		types := orchestrator.StoredTypes(n)
		if len(types) == 0 {
			return nil, params.Fault("event_type", fmt.Sprintf("has an unknown type; there are %s, and stored types such as run.task_completed.v1",
				strings.Join(orchestrator.Names(), ", ")))
		}
		out = append(out, types...)
	}
	slices.Sort(out)
	return slices.Compact(out), nil
}

func positionKey(p params.Position) string {
	if !p.Given() {
		return ""
	}
	return p.At.Cursor(p.Log)
}

// emptyRange refuses positions between which nothing can be.
func emptyRange(after, before params.Position) error {
	if !after.Given() || !before.Given() || after.At < before.At {
		return nil
	}
	return params.Fault("after", "is not before the end of the range, so that nothing can match; exchange the two")
}
