package history

import (
	"context"
	"errors"
	"math"
	"strconv"

	"github.com/gofiber/fiber/v2"

	"quipu/domain"
	"quipu/domain/workflow"
	"quipu/projections/view"
	"quipu/readapi/object"
	"quipu/readapi/params"
)

// workflowsParams are the filters of GET /api/workflows. session_id, which other servers of this API
// know, is ignored like every unknown parameter.
type workflowsParams struct {
	Endpoint string `query:"endpoint" doc:"Workflows of this endpoint."`
	Name     string `query:"name" doc:"Exact name."`
	pagingParams
}

// workflows answers GET /api/workflows: newest created first, unless asked otherwise.
func (r *Routes) workflows(c *fiber.Ctx) error {
	q, err := params.Bind[workflowsParams](params.Read(c))
	p, pageErr := q.check(listWorkflows, r.deps.Log.ID(), false, q.Endpoint, q.Name)
	if err := errors.Join(err, pageErr); err != nil {
		return err
	}
	return serve(r, c, p, lister[view.Workflow]{
		asked: params.Describe[workflowsParams](),
		query: func(ctx context.Context, page view.Page) (view.Slice[view.Workflow], error) {
			return r.deps.Views.Workflows(ctx, view.WorkflowQuery{Endpoint: q.Endpoint, Name: q.Name, Page: page})
		},
		show: func(ctx context.Context, dst []byte, w *view.Workflow) ([]byte, error) {
			return r.appendWorkflow(ctx, dst, w.Graph, r.options.InlineBytesMax, workflow.Shown{
				ID: w.ID, Name: w.Name, Description: w.Description, Endpoint: w.Endpoint, Version: w.Version,
				CreatedAt: w.CreatedAt, UpdatedAt: w.UpdatedAt, Position: w.LastPosition.Cursor(r.deps.Log.ID()),
			})
		},
		key: func(w *view.Workflow) domain.Position { return w.Position },
	})
}

// versionParams choose a version.
type versionParams struct {
	Version *int `query:"version" min:"1" doc:"The version to show; the newest unless given."`
}

// workflow answers GET /api/workflows/:id from the workflow's stream.
func (r *Routes) workflow(c *fiber.Ctx) error {
	id, err := workflowID(c)
	if err != nil {
		return err
	}
	q, err := params.Bind[versionParams](params.Read(c))
	if err != nil {
		return err
	}
	version := 0
	if q.Version != nil {
		version = *q.Version
	}
	ctx, cancel := context.WithTimeout(c.UserContext(), r.options.FoldTimeout)
	defer cancel()
	if err := r.folds.enter(ctx); err != nil {
		return err
	}
	defer r.folds.leave()
	stored, position, err := r.deps.Definitions.Get(ctx, id, version)
	if err != nil {
		return knownWorkflow(err)
	}
	// A version never changes, so its number names all that is shown of it.
	c.Set(fiber.HeaderETag, strconv.Quote(strconv.Itoa(stored.Version())))
	if c.Get(fiber.HeaderIfNoneMatch) != "" && c.Fresh() {
		return c.SendStatus(fiber.StatusNotModified)
	}
	shown := ""
	if position > 0 {
		shown = position.Cursor(r.deps.Log.ID())
	}
	o := object.New(make([]byte, 0, 1024+len(stored.Graph.JSON)))
	o.Key("data")
	if o.B, err = r.appendWorkflow(ctx, o.B, stored.Graph, math.MaxInt, stored.Show(nil, shown)); err != nil {
		return timedOut(err)
	}
	o.Str("status", "success")
	return sendJSON(c, o.Done())
}

// appendWorkflow appends a workflow. By id its graph is shown whole, since clients write it back.
func (r *Routes) appendWorkflow(ctx context.Context, dst []byte, graph domain.Value, inlineMax int, w workflow.Shown) ([]byte, error) {
	definition, err := r.deps.Payloads.Definition(ctx, graph, inlineMax)
	if lost(err) {
		definition, err = []byte(`{"unreadable":true}`), nil
	}
	if err != nil {
		return nil, err
	}
	w.Definition = definition
	return w.AppendJSON(dst), nil
}

// versionsParams are those of GET /api/workflows/:id/versions.
type versionsParams struct {
	Include string `query:"include" enum:"definition" doc:"Show the definition of each version too; by default it is had with version= on the workflow."`
	pagingParams
}

// versions answers GET /api/workflows/:id/versions: newest first, unless asked otherwise.
func (r *Routes) versions(c *fiber.Ctx) error {
	id, err := workflowID(c)
	if err != nil {
		return err
	}
	q, err := params.Bind[versionsParams](params.Read(c))
	p, pageErr := q.check(listVersions, r.deps.Log.ID(), false, id)
	if err := errors.Join(err, pageErr); err != nil {
		return err
	}
	// The stream says whether there is such a workflow: the view may not know it yet.
	ctx, cancel := context.WithTimeout(c.UserContext(), r.options.FoldTimeout)
	defer cancel()
	if _, _, err := r.deps.Definitions.Get(ctx, id, 0); err != nil {
		return knownWorkflow(err)
	}
	return serve(r, c, p, lister[view.WorkflowVersion]{
		asked: params.Describe[versionsParams](),
		query: func(ctx context.Context, page view.Page) (view.Slice[view.WorkflowVersion], error) {
			return r.deps.Views.Versions(ctx, id, page)
		},
		show: func(ctx context.Context, dst []byte, v *view.WorkflowVersion) ([]byte, error) {
			shown := workflow.Shown{
				ID: v.WorkflowID, Name: v.Name, Description: v.Description, Endpoint: v.Endpoint, Version: v.Version,
				CreatedAt: v.At, UpdatedAt: v.At, Position: v.Position.Cursor(r.deps.Log.ID()),
			}
			if q.Include == "" {
				return shown.AppendJSON(dst), nil
			}
			return r.appendWorkflow(ctx, dst, v.Graph, r.options.InlineBytesMax, shown)
		},
		key: func(v *view.WorkflowVersion) domain.Position { return v.Position },
	})
}

// workflowID reads the id in the path as it is.
func workflowID(c *fiber.Ctx) (string, error) {
	id, err := rawID(c)
	if err == nil && workflow.Stream(id).Check() != nil {
		err = knownWorkflow(domain.ErrNotFound)
	}
	return id, err
}

// knownWorkflow says what a missing stream or version means here.
func knownWorkflow(err error) error {
	var missing *domain.Error
	switch {
	case !errors.Is(err, domain.ErrNotFound):
		return timedOut(err)
	case errors.As(err, &missing) && missing.Code == "VERSION_UNKNOWN":
		return missing.WithField("query/version")
	}
	return domain.E(domain.KindNotFound, "", "", "names no workflow").WithField("path/id").WithCode("WORKFLOW_UNKNOWN")
}
