package history

import (
	"context"
	"errors"
	"net/url"
	"strings"
	"time"

	"github.com/gofiber/fiber/v2"

	"quipu/domain"
	"quipu/projections/view"
	"quipu/readapi/object"
	"quipu/readapi/params"
)

// executionsParams are the filters of GET /api/executions (contract D18).
type executionsParams struct {
	WorkflowID    string    `query:"workflow_id" doc:"Executions of this workflow."`
	Status        string    `query:"status" enum:"running,paused,completed,failed,cancelled,canceled" doc:"Where they stand."`
	Source        string    `query:"source" enum:"lao,agnt5,api" doc:"Dialect they came in by."`
	FlowName      string    `query:"flow_name" doc:"Exact flow name."`
	RunName       string    `query:"run_name" doc:"Exact run name."`
	ConnectionID  string    `query:"connection_id" doc:"Asked for on the socket with this connection_id."`
	RetryOf       string    `query:"retry_of" doc:"Retries of this execution."`
	StartedAfter  time.Time `query:"started_after" doc:"Started at or after this instant."`
	StartedBefore time.Time `query:"started_before" doc:"Started before this instant."`
	pagingParams
}

// executions answers GET /api/executions: newest started first, unless asked otherwise.
func (r *Routes) executions(c *fiber.Ctx) error {
	q, err := params.Bind[executionsParams](params.Read(c))
	if q.Status == "canceled" {
		q.Status = string(view.Cancelled)
	}
	q.RetryOf = strings.TrimPrefix(q.RetryOf, "exec_")
	p, pageErr := q.check(listExecutions, r.deps.Log.ID(), false,
		q.WorkflowID, q.Status, q.Source, q.FlowName, q.RunName, q.ConnectionID, q.RetryOf, instantKey(q.StartedAfter), instantKey(q.StartedBefore))
	if err := errors.Join(err, pageErr, rangeFault("started_after", q.StartedAfter, q.StartedBefore)); err != nil {
		return err
	}
	return serve(r, c, p, lister[view.Execution]{
		asked: params.Describe[executionsParams](),
		query: func(ctx context.Context, page view.Page) (view.Slice[view.Execution], error) {
			return r.deps.Views.Executions(ctx, view.ExecutionQuery{
				WorkflowID: q.WorkflowID, Source: q.Source, FlowName: q.FlowName, RunName: q.RunName, Status: view.Status(q.Status),
				ConnectionID: q.ConnectionID, RetryOf: q.RetryOf,
				StartedFrom: storedBound(q.StartedAfter), StartedTo: storedBound(q.StartedBefore), AsOf: p.asOf, Page: page,
			})
		},
		show: r.appendExecution,
		key:  func(e *view.Execution) domain.Position { return e.Position },
		// Statuses change between two pages; without the filter a list only grows at its end.
		pinned: q.Status != "",
	})
}

// listInputBytesMax is the largest input shown in a list.
const listInputBytesMax = 4 << 10

// appendExecution appends an item: the execution object without output_data, node_outputs and nodes,
// which are had by id.
func (r *Routes) appendExecution(ctx context.Context, dst []byte, e *view.Execution) ([]byte, error) {
	o := object.New(dst)
	r.head(o, e)
	if len(e.Input.JSON) > listInputBytesMax {
		o.Open("input_data")
		o.Str("href", "/api/executions/"+url.PathEscape(e.ID))
		o.Int("bytes", int64(len(e.Input.JSON)))
		o.Close()
		return o.Done(), nil
	}
	err := valueShow{r, ctx, e.ID, listInputBytesMax}.add(o, "input_data", e.Input, "{}")
	return o.Done(), err
}

// rangeFault refuses a range that ends before it begins, naming its first bound.
func rangeFault(name string, from, to time.Time) error {
	if from.IsZero() || to.IsZero() || !from.After(to) {
		return nil
	}
	return params.Fault(name, "lies after the end of the range, so that nothing can match; exchange the two")
}
