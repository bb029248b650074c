package history

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/gofiber/fiber/v2"

	"quipu/domain"
	"quipu/projections/view"
	"quipu/readapi/object"
	"quipu/readapi/params"
)

// approvalsAll asks for approvals of every status.
const approvalsAll = "all"

// approvalsParams are the filters of GET /api/approvals.
type approvalsParams struct {
	Status      string `query:"status" enum:"pending,approved,rejected,expired,cancelled,all" doc:"Where they stand now; pending unless given."`
	ExecutionID string `query:"execution_id" doc:"Approvals of this execution."`
	WorkflowID  string `query:"workflow_id" doc:"Approvals of executions of this workflow."`
	pagingParams
}

// approvals answers GET /api/approvals: newest first, unless asked otherwise.
func (r *Routes) approvals(c *fiber.Ctx) error {
	q, err := params.Bind[approvalsParams](params.Read(c))
	q.ExecutionID = strings.TrimPrefix(q.ExecutionID, "exec_")
	switch q.Status {
	case "":
		q.Status = string(view.ApprovalPending)
	case approvalsAll:
		q.Status = ""
	}
	p, pageErr := q.check(listApprovals, r.deps.Log.ID(), false, q.Status, q.ExecutionID, q.WorkflowID)
	if err := errors.Join(err, pageErr); err != nil {
		return err
	}
	return serve(r, c, p, lister[view.Approval]{
		asked: params.Describe[approvalsParams](),
		query: func(ctx context.Context, page view.Page) (view.Slice[view.Approval], error) {
			return r.deps.Views.Approvals(ctx, view.ApprovalQuery{
				ExecutionID: q.ExecutionID, WorkflowID: q.WorkflowID, Status: view.ApprovalStatus(q.Status), Page: page,
			})
		},
		show: r.appendApproval,
		key:  func(a *view.Approval) domain.Position { return a.Position },
	})
}

// appendApproval appends an item of the list.
func (r *Routes) appendApproval(ctx context.Context, dst []byte, a *view.Approval) ([]byte, error) {
	o := object.New(dst)
	o.Str("execution_id", a.ExecutionID)
	o.StrOrNull("workflow_id", a.WorkflowID)
	o.Str("node_id", a.Task)
	o.Str("task_id", a.TaskID)
	o.Int("iteration", int64(a.Iteration))
	o.Str("status", string(a.Status))
	if err := (valueShow{r, ctx, a.ExecutionID, listInputBytesMax}).add(o, "request", a.Request, "{}"); err != nil {
		return nil, err
	}
	o.Time("requested_at", a.RequestedAt)
	o.Time("due_at", a.DueAt)
	o.StrOrNull("approver", a.Approver)
	o.StrOrNull("comment", a.Comment)
	decided := time.Time{}
	if a.Status == view.ApprovalApproved || a.Status == view.ApprovalRejected {
		decided = a.EndedAt
		o.Open("decided_by")
		o.Str("kind", a.ActorKind)
		o.StrOrNull("id", a.ActorID)
		o.Close()
	} else {
		o.Null("decided_by")
	}
	o.Time("decided_at", decided)
	o.Time("ended_at", a.EndedAt)
	o.Int("offset", int64(a.Offset))
	o.Position("position", r.deps.Log.ID(), a.Position)
	return o.Done(), nil
}
