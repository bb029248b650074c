package postgres

import (
	"context"
	"errors"
	"fmt"

	"quipu/domain"
	"quipu/projections/view"
)

// errStale says that the generation we took for the current one is not.
var errStale = errors.New("the generation was replaced")

// settingsSQL bounds each statement of the transaction, and keeps the planner from sorting: every page is
// in the order of an index that ends after a few rows. Of a range of positions that spans give, the
// planner does not know that it is also one of instants, and takes it for so small that it would read
// and sort all of it. Where it must sort nevertheless, its estimate becomes so high that it would compile
// the statement first (jit), which over many partitions takes most of the time of a question.
func (v *Views) settingsSQL() string {
	return fmt.Sprintf("SELECT set_config('statement_timeout', '%d', true), set_config('enable_sort', 'off', true), set_config('jit', 'off', true)", v.o.ReadTimeout.Milliseconds())
}

// query asks questions of the current generation in one snapshot and one round trip. ask may be called
// again, when the generation was replaced meanwhile: it begins with empty answers each time. In a new
// database nothing is asked, and the checkpoint is zero.
func (v *Views) query(ctx context.Context, op, subject string, ask func(b *batch, schema string)) (view.Checkpoint, error) {
	bounded, cancel := context.WithTimeout(ctx, v.o.ReadTimeout+cancelGrace)
	defer cancel()
	for attempt := range retries {
		as, err := v.ask(bounded, ask)
		state := sqlState(err)
		switch {
		case errors.Is(err, errStale) || goneState(state):
			v.current.Store(0)
			continue
		case state == stateSerialize || state == stateDeadlock:
			continue
		case attempt == 0 && cut(ctx, err):
			continue
		case err != nil:
			return view.Checkpoint{}, translate(ctx, op, subject, err)
		}
		return as, nil
	}
	return view.Checkpoint{}, domain.E(domain.KindUnavailable, op, subject, "the views are replaced again and again")
}

func (v *Views) ask(ctx context.Context, ask func(b *batch, schema string)) (view.Checkpoint, error) {
	number := v.current.Load()
	if number == 0 {
		var err error
		number, err = v.find(ctx, v.readers)
		if goneState(sqlState(err)) || err == nil && number == 0 {
			return view.Checkpoint{}, nil // nobody has made the views yet
		}
		if err != nil {
			return view.Checkpoint{}, err
		}
		v.current.Store(number)
	}
	var h head
	var b batch
	v.inSnapshot(&b, func(b *batch) {
		askHead(b, v.schema(number), &h)
		ask(b, v.schema(number))
	})
	if err := send(ctx, v.readers, &b); err != nil {
		return view.Checkpoint{}, err
	}
	if h.retired {
		return view.Checkpoint{}, errStale
	}
	return h.Checkpoint, nil
}

// Checkpoint says how far the current generation is. Errors: as projections.Store.
func (v *Views) Checkpoint(ctx context.Context) (view.Checkpoint, error) {
	return v.query(ctx, "read", "checkpoint", func(*batch, string) {})
}

// list answers a question for a page: keys selects the positions of all rows that match, in any order.
func list[Row any](ctx context.Context, v *Views, subject string, p view.Page, decode func(*record) Row, ask func(q *question)) (view.Slice[Row], error) {
	var out view.Slice[Row]
	as, err := v.query(ctx, "list", subject, func(b *batch, schema string) {
		out = view.Slice[Row]{}
		q := question{schema: schema, page: p}
		ask(&q)
		b.add(q.rowsSQL(), q.args, func(r *record) { out.Rows = append(out.Rows, decode(r)) })
		if p.Total {
			n := question{schema: schema, counting: true}
			ask(&n)
			b.add(n.countSQL(), n.args, func(r *record) { out.Total = int(r.big()) })
		}
	})
	if err != nil {
		return view.Slice[Row]{}, err
	}
	if len(out.Rows) > p.Limit {
		out.Rows, out.More = out.Rows[:p.Limit], true
	}
	out.As = as
	return out, nil
}

// Executions lists executions.
func (v *Views) Executions(ctx context.Context, q view.ExecutionQuery) (view.Slice[view.Execution], error) {
	return list(ctx, v, "executions", q.Page, (*record).execution, func(ask *question) { ask.executions(&q) })
}

// Approvals lists approvals.
func (v *Views) Approvals(ctx context.Context, q view.ApprovalQuery) (view.Slice[view.Approval], error) {
	return list(ctx, v, "approvals", q.Page, (*record).approval, func(ask *question) { ask.approvals(&q) })
}

// Events lists events.
func (v *Views) Events(ctx context.Context, q view.EventQuery) (view.Slice[view.Event], error) {
	return list(ctx, v, "events", q.Page, (*record).event, func(ask *question) { ask.events(&q) })
}

// Workflows lists workflows that are not deleted.
func (v *Views) Workflows(ctx context.Context, q view.WorkflowQuery) (view.Slice[view.Workflow], error) {
	return list(ctx, v, "workflows", q.Page, (*record).workflow, func(ask *question) { ask.workflows(&q) })
}

// Versions lists the versions of a workflow, in order of Position; none if it is unknown.
func (v *Views) Versions(ctx context.Context, workflowID string, p view.Page) (view.Slice[view.WorkflowVersion], error) {
	return list(ctx, v, "versions", p, (*record).version, func(ask *question) {
		ask.of(&versions, "position")
		ask.where("workflow_id = " + ask.args.bytes(workflowID))
	})
}

// Endpoints lists endpoints.
func (v *Views) Endpoints(ctx context.Context, p view.Page) (view.Slice[view.Endpoint], error) {
	return list(ctx, v, "endpoints", p, (*record).endpoint, func(ask *question) { ask.of(&endpoints, "position") })
}

// Tasks lists all tasks of an execution, by StartedOffset, Task, Iteration. Errors: ErrNotFound if the
// execution is not in the view.
func (v *Views) Tasks(ctx context.Context, executionID string) (out []view.Task, as view.Checkpoint, err error) {
	var found bool
	as, err = v.query(ctx, "read", "tasks", func(b *batch, schema string) {
		out, found = nil, false
		var a args
		id := a.bytes(executionID)
		b.add("SELECT 1 FROM "+schema+".executions WHERE id = "+id+" LIMIT 1", a, func(*record) { found = true })
		b.add("SELECT "+tasks.list("")+" FROM "+schema+".tasks WHERE execution = (SELECT position FROM "+schema+".executions WHERE id = "+id+
			" LIMIT 1) ORDER BY started_offset, task, iteration", a, func(r *record) { out = append(out, r.task()) })
	})
	if err == nil && !found {
		err = domain.E(domain.KindNotFound, "read", "tasks", "the execution is not in the view")
	}
	return out, as, err
}

// Name tells which execution a pair of names stands for. Errors: ErrNotFound.
func (v *Views) Name(ctx context.Context, flow, run string) (out view.Name, as view.Checkpoint, err error) {
	var found bool
	as, err = v.query(ctx, "read", "name", func(b *batch, schema string) {
		out, found = view.Name{}, false
		var a args
		b.add("SELECT "+names.list("")+" FROM "+schema+".names WHERE flow_name = "+a.bytes(flow)+" AND run_name = "+a.bytes(run), a,
			func(r *record) { out, found = r.name(), true })
	})
	if err == nil && !found {
		err = domain.E(domain.KindNotFound, "read", "name", "the name is not in the view")
	}
	return out, as, err
}
