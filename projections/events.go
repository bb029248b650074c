package projections

import "quipu/projections/view"

// applyEvent keeps one row for each event, known or not.
func applyEvent(b *batch, f *fact) error {
	row := view.Event{Recorded: *f.Recorded, At: f.at, WorkflowID: f.workflowID, Node: f.node, NodeType: f.nodeType}
	if a := f.run; a != nil {
		row.Execution, row.ExecutionID, row.WorkflowID = a.row.Position, a.row.ID, a.row.WorkflowID
	}
	b.changes.Events = append(b.changes.Events, row)
	return nil
}
