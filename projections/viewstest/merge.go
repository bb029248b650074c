package viewstest

import (
	"quipu/domain"
	"quipu/projections"
	"quipu/projections/view"
)

// Merge makes one commit of steps, after a checkpoint: the last row of each key.
func (w *World) Merge(after domain.Position, steps []Step) projections.Changes {
	c := projections.Changes{Log: w.LogID, After: after, To: after, Versions: w.versions()}
	for _, s := range steps {
		c.To = s.Position
		for _, e := range s.Executions {
			c.Executions = bornBefore(c.Executions, e)
		}
		c.Statuses = put(c.Statuses, s.Statuses, func(i view.StatusInterval) any { return [2]domain.Position{i.Execution, i.From} })
		c.Tasks = put(c.Tasks, s.Tasks, func(t view.Task) any {
			return struct {
				execution domain.Position
				task      string
				iteration int
			}{t.Execution, t.Task, t.Iteration}
		})
		for _, a := range s.Approvals {
			c.Approvals = askedBefore(c.Approvals, a)
		}
		c.Events = append(c.Events, s.Events...)
		c.Workflows = put(c.Workflows, s.Workflows, func(f view.Workflow) any { return f.ID })
		c.WorkflowVersions = append(c.WorkflowVersions, s.WorkflowVersions...)
		c.Names = put(c.Names, s.Names, func(n view.Name) any { return [2]string{n.FlowName, n.RunName} })
		c.Endpoints = put(c.Endpoints, s.Endpoints, func(e view.Endpoint) any { return e.ID })
		c.Parked = append(c.Parked, s.Parked...)
	}
	return c
}

// put adds rows to all; a row replaces the one with its key.
func put[Row any](all, rows []Row, key func(Row) any) []Row {
next:
	for _, r := range rows {
		for i := range all {
			if key(all[i]) == key(r) {
				all[i] = r
				continue next
			}
		}
		all = append(all, r)
	}
	return all
}

// bornBefore is put for executions: a later row of the same commit may leave out what the first has.
func bornBefore(all []view.Execution, e view.Execution) []view.Execution {
	for i := range all {
		first := all[i]
		if first.Position != e.Position {
			continue
		}
		if !first.StartedAt.IsZero() {
			e.ID, e.WorkflowID, e.WorkflowVersion = first.ID, first.WorkflowID, first.WorkflowVersion
			e.Source, e.Endpoint, e.FlowName, e.RunName = first.Source, first.Endpoint, first.FlowName, first.RunName
			e.ConnectionID, e.RetryOf = first.ConnectionID, first.RetryOf
			e.StartedAt, e.Input = first.StartedAt, first.Input
		}
		all[i] = e
		return all
	}
	return append(all, e)
}

// askedBefore is the same for approvals.
func askedBefore(all []view.Approval, a view.Approval) []view.Approval {
	for i := range all {
		if all[i].Position != a.Position {
			continue
		}
		if first := all[i]; !first.RequestedAt.IsZero() {
			first.Status, first.Approver, first.Comment = a.Status, a.Approver, a.Comment
			first.ActorKind, first.ActorID = a.ActorKind, a.ActorID
			first.EndedAt, first.EndedOffset = a.EndedAt, a.EndedOffset
			a = first
		}
		all[i] = a
		return all
	}
	return append(all, a)
}
