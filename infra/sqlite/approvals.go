package sqlite

import (
	"context"
	"database/sql"

	"quipu/domain"
	"quipu/projections/view"
)

const approvalSelected = "a.position, a.execution, a.execution_id, a.workflow, a.task, a.iteration, a.task_id, a.asked_offset, a.request, a.holes, " +
	"a.asked_at, a.due_at, a.status, a.approver, a.comment, a.actor_kind, a.actor_id, a.ended_at, a.ended_offset"

func (r *reading) scanApproval(ctx context.Context, rows *sql.Rows) (a view.Approval, err error) {
	var position, execution, workflow, task, asked, due, status, ended int64
	var executionID, taskID any
	var json, list []byte
	if err := rows.Scan(&position, &execution, &executionID, &workflow, &task, &a.Iteration, &taskID, &a.Offset, &json, &list,
		&asked, &due, &status, &a.Approver, &a.Comment, &a.ActorKind, &a.ActorID, &ended, &a.EndedOffset); err != nil {
		return a, err
	}
	a.Position, a.Execution = domain.Position(position), domain.Position(execution)
	a.ExecutionID, a.TaskID, a.Status = idText(executionID), idText(taskID), wordOf(approvalStatuses[:], status)
	a.RequestedAt, a.DueAt, a.EndedAt = instant(asked), instant(due), instant(ended)
	if a.Request, err = valueOf(json, list); err != nil {
		return a, corrupt("read", err.Error())
	}
	return a, r.resolve(ctx, wordRef{workflow, &a.WorkflowID}, wordRef{task, &a.Task})
}

// Approvals answers q.
func (v *Views) Approvals(ctx context.Context, q view.ApprovalQuery) (view.Slice[view.Approval], error) {
	var s view.Slice[view.Approval]
	err := v.read(ctx, func(r *reading) error {
		s = view.Slice[view.Approval]{As: r.state.Checkpoint}
		branches, err := r.approvalBranches(ctx, q)
		if err != nil {
			return err
		}
		if q.Total {
			if s.Total, err = r.total(ctx, branches, everything); err != nil {
				return err
			}
		}
		s.More, err = r.page(ctx, branches, q.Page, everything, func(rows *sql.Rows) error {
			row, err := r.scanApproval(ctx, rows)
			s.Rows = append(s.Rows, row)
			return err
		})
		return err
	})
	return s, err
}

// approvalBranches says where q's rows are found; none if there can be no row.
func (r *reading) approvalBranches(ctx context.Context, q view.ApprovalQuery) ([]branch, error) {
	b := branch{columns: approvalSelected, from: "approvals a NOT INDEXED", key: "a.position"}
	if q.Status != "" {
		code := codeOf(approvalStatuses[:], q.Status)
		if code < 0 {
			return nil, nil
		}
		b.from = "approvals a INDEXED BY approvals_status"
		b.where.add("a.status = ?", code)
	}
	if q.WorkflowID != "" {
		id, found, err := r.wordID(ctx, q.WorkflowID)
		if err != nil || !found {
			return nil, err
		}
		b.from = "approvals a INDEXED BY approvals_workflow"
		if q.Status != "" {
			b.from += "_status"
		}
		b.where.add("a.workflow = ? AND a.workflow <> 0", id)
	}
	if q.ExecutionID != "" { // of one execution there are few
		b.from = "approvals a INDEXED BY approvals_execution"
		b.where.add("a.execution_id = ? AND a.execution_id <> ''", idOf(q.ExecutionID))
	}
	return []branch{b}, nil
}
