package history_test

import (
	"context"

	"quipu/domain"
	"quipu/projections/view"
	"quipu/readapi/history"
)

// downViews is a database that fails with err; nil: it cannot be reached.
type downViews struct{ err error }

func (v downViews) down() error {
	if v.err != nil {
		return v.err
	}
	return domain.E(domain.KindUnavailable, "connect to", "views at postgres://user:hunter2@db", "connection refused")
}

func (v downViews) Executions(context.Context, view.ExecutionQuery) (s view.Slice[view.Execution], err error) {
	return s, v.down()
}

func (v downViews) Approvals(context.Context, view.ApprovalQuery) (s view.Slice[view.Approval], err error) {
	return s, v.down()
}

func (v downViews) Events(context.Context, view.EventQuery) (s view.Slice[view.Event], err error) {
	return s, v.down()
}

func (v downViews) Workflows(context.Context, view.WorkflowQuery) (s view.Slice[view.Workflow], err error) {
	return s, v.down()
}

func (v downViews) Versions(context.Context, string, view.Page) (s view.Slice[view.WorkflowVersion], err error) {
	return s, v.down()
}

func (v downViews) Endpoints(context.Context, view.Page) (s view.Slice[view.Endpoint], err error) {
	return s, v.down()
}

// heldViews answers lists of executions only when it is let go, or when their time is over.
type heldViews struct {
	history.Views
	entered, release chan struct{}
}

func (v heldViews) Executions(ctx context.Context, q view.ExecutionQuery) (view.Slice[view.Execution], error) {
	v.entered <- struct{}{}
	select {
	case <-v.release:
		return v.Views.Executions(ctx, q)
	case <-ctx.Done():
		return view.Slice[view.Execution]{}, ctx.Err()
	}
}
