package sqlite

import (
	"context"
	"database/sql"
	"errors"

	"quipu/domain"
	"quipu/projections/view"
)

const (
	workflowSelected = "w.position, w.id, w.name, w.description, w.endpoint, w.version, w.graph, w.holes, w.created_at, w.updated_at, w.deleted, w.last_position"
	versionSelected  = "w.position, w.workflow, w.version, w.name, w.description, w.endpoint, w.graph, w.holes, w.at"
	endpointSelected = "w.position, w.id, w.slug, w.created_at"
)

func scanWorkflow(_ context.Context, rows *sql.Rows) (f view.Workflow, err error) {
	var position, created, updated, last int64
	var id any
	var json, list []byte
	if err := rows.Scan(&position, &id, &f.Name, &f.Description, &f.Endpoint, &f.Version, &json, &list, &created, &updated, &f.Deleted, &last); err != nil {
		return f, err
	}
	f.Position, f.LastPosition, f.ID = domain.Position(position), domain.Position(last), idText(id)
	f.CreatedAt, f.UpdatedAt = instant(created), instant(updated)
	if f.Graph, err = valueOf(json, list); err != nil {
		return f, corrupt("read", err.Error())
	}
	return f, nil
}

func scanVersion(_ context.Context, rows *sql.Rows) (f view.WorkflowVersion, err error) {
	var position, at int64
	var id any
	var json, list []byte
	if err := rows.Scan(&position, &id, &f.Version, &f.Name, &f.Description, &f.Endpoint, &json, &list, &at); err != nil {
		return f, err
	}
	f.Position, f.WorkflowID, f.At = domain.Position(position), idText(id), instant(at)
	if f.Graph, err = valueOf(json, list); err != nil {
		return f, corrupt("read", err.Error())
	}
	return f, nil
}

func scanEndpoint(_ context.Context, rows *sql.Rows) (e view.Endpoint, err error) {
	var position, created int64
	err = rows.Scan(&position, &e.ID, &e.Slug, &created)
	e.Position, e.CreatedAt = domain.Position(position), instant(created)
	return e, err
}

func scanName(_ context.Context, rows *sql.Rows) (n view.Name, err error) {
	var position int64
	var id any
	err = rows.Scan(&n.FlowName, &n.RunName, &id, &position, &n.Offset)
	n.ExecutionID, n.Position = idText(id), domain.Position(position)
	return n, err
}

// list answers a page of a small table.
func list[Row any](ctx context.Context, v *Views, b branch, p view.Page, scan func(context.Context, *sql.Rows) (Row, error)) (view.Slice[Row], error) {
	var s view.Slice[Row]
	err := v.read(ctx, func(r *reading) (err error) {
		s = view.Slice[Row]{As: r.state.Checkpoint}
		branches := []branch{b}
		if p.Total {
			if s.Total, err = r.total(ctx, branches, everything); err != nil {
				return err
			}
		}
		s.More, err = r.page(ctx, branches, p, everything, func(rows *sql.Rows) error {
			row, err := scan(ctx, rows)
			s.Rows = append(s.Rows, row)
			return err
		})
		return err
	})
	return s, err
}

// Workflows answers q.
func (v *Views) Workflows(ctx context.Context, q view.WorkflowQuery) (view.Slice[view.Workflow], error) {
	b := branch{columns: workflowSelected, from: "workflows w", key: "w.position"}
	b.where.add("w.deleted = 0")
	if q.Endpoint != "" {
		b.where.add("w.endpoint = ?", q.Endpoint)
	}
	if q.Name != "" {
		b.where.add("w.name = ?", q.Name)
	}
	return list(ctx, v, b, q.Page, scanWorkflow)
}

// Versions lists the versions of a workflow, in order of Position; none if it is unknown.
func (v *Views) Versions(ctx context.Context, workflowID string, p view.Page) (view.Slice[view.WorkflowVersion], error) {
	b := branch{columns: versionSelected, from: "versions w INDEXED BY versions_position", key: "w.position"}
	b.where.add("w.workflow = ?", idOf(workflowID))
	return list(ctx, v, b, p, scanVersion)
}

// Endpoints lists endpoints.
func (v *Views) Endpoints(ctx context.Context, p view.Page) (view.Slice[view.Endpoint], error) {
	return list(ctx, v, branch{columns: endpointSelected, from: "endpoints w INDEXED BY endpoints_position", key: "w.position"}, p, scanEndpoint)
}

// Checkpoint says how far the current generation is.
func (v *Views) Checkpoint(ctx context.Context) (as view.Checkpoint, err error) {
	err = v.read(ctx, func(r *reading) error { as = r.state.Checkpoint; return nil })
	return as, err
}

// Name tells which execution a pair of names stands for. Errors: ErrNotFound.
func (v *Views) Name(ctx context.Context, flow, run string) (n view.Name, as view.Checkpoint, err error) {
	err = v.read(ctx, func(r *reading) error {
		as = r.state.Checkpoint
		var id any
		var position int64
		err := r.tx.QueryRowContext(ctx, "SELECT execution_id, position, offset FROM names WHERE flow = ? AND run = ?", flow, run).
			Scan(&id, &position, &n.Offset)
		if errors.Is(err, sql.ErrNoRows) {
			return domain.E(domain.KindNotFound, "read", "name", "the name is not in the view")
		}
		n.FlowName, n.RunName, n.ExecutionID, n.Position = flow, run, idText(id), domain.Position(position)
		return err
	})
	if err != nil {
		return view.Name{}, as, err
	}
	return n, as, nil
}
