package views

import (
	"context"
	"errors"

	"quipu/domain"
	"quipu/projections/view"
	"quipu/readapi/history"
)

// heeded are views whose damage is told on when a reader meets it. They are no embedded ones: a query
// that is new would slip through.
type heeded struct {
	views   history.Views
	damaged func(error)
}

// heed tells on rows that cannot be read; damage of the log no rebuild would mend.
func heed[Rows any](v heeded, rows Rows, err error) (Rows, error) {
	var e *domain.Error
	if errors.As(err, &e) && e.Kind == domain.KindCorrupt && e.Code != view.CodeLogDamaged {
		v.damaged(err)
	}
	return rows, err
}

// Executions implements history.Views, as do the others.
func (v heeded) Executions(ctx context.Context, q view.ExecutionQuery) (view.Slice[view.Execution], error) {
	rows, err := v.views.Executions(ctx, q)
	return heed(v, rows, err)
}

func (v heeded) Approvals(ctx context.Context, q view.ApprovalQuery) (view.Slice[view.Approval], error) {
	rows, err := v.views.Approvals(ctx, q)
	return heed(v, rows, err)
}

func (v heeded) Events(ctx context.Context, q view.EventQuery) (view.Slice[view.Event], error) {
	rows, err := v.views.Events(ctx, q)
	return heed(v, rows, err)
}

func (v heeded) Workflows(ctx context.Context, q view.WorkflowQuery) (view.Slice[view.Workflow], error) {
	rows, err := v.views.Workflows(ctx, q)
	return heed(v, rows, err)
}

func (v heeded) Versions(ctx context.Context, workflowID string, p view.Page) (view.Slice[view.WorkflowVersion], error) {
	rows, err := v.views.Versions(ctx, workflowID, p)
	return heed(v, rows, err)
}

func (v heeded) Endpoints(ctx context.Context, p view.Page) (view.Slice[view.Endpoint], error) {
	rows, err := v.views.Endpoints(ctx, p)
	return heed(v, rows, err)
}
