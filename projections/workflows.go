package projections

import (
	"fmt"

	"quipu/domain/workflow"
	"quipu/projections/view"
)

// applyWorkflow keeps one row for each stored workflow and one for each of its versions.
func applyWorkflow(b *batch, f *fact) error {
	if f.aggregate != aWorkflow {
		return nil
	}
	if f.err != nil {
		return f.err
	}
	w := b.workflowOf(f.workflowID)
	switch e := f.event.(type) {
	case workflow.Created:
		switch {
		case w != nil:
			return contradiction(f, "the workflow exists already")
		case f.Revision != 0:
			return contradiction(f, "is not the first of its stream")
		case e.ID != f.workflowID:
			return contradiction(f, "names another workflow than its stream")
		}
		b.putWorkflow(f, view.Workflow{Position: f.Position, ID: e.ID, CreatedAt: f.at}, e.Content)
	case workflow.Updated:
		if err := continues(f, w); err != nil {
			return err
		}
		b.putWorkflow(f, *w, e.Content)
	case workflow.Deleted:
		if err := continues(f, w); err != nil {
			return err
		}
		w.Deleted, w.UpdatedAt, w.LastPosition = true, f.at, f.Position
		b.touchWorkflow(w)
	}
	return nil
}

func continues(f *fact, w *view.Workflow) error {
	switch {
	case w == nil:
		return contradiction(f, "its workflow is not in the view")
	case w.Deleted:
		return contradiction(f, "its workflow is deleted")
	case int(f.Revision)+1 <= w.Version:
		return contradiction(f, fmt.Sprintf("follows version %d", w.Version))
	}
	return nil
}

// workflowOf is the workflow as it is now, for changing; nil if it has no row.
func (b *batch) workflowOf(id string) *view.Workflow {
	if w, ok := b.workflows[id]; ok {
		return w
	}
	if w, ok := b.known.Workflows[id]; ok {
		return &w
	}
	return nil
}

// putWorkflow stores a version: it counts like the revision of its event, from 1.
func (b *batch) putWorkflow(f *fact, w view.Workflow, c workflow.Content) {
	w.Name, w.Description, w.Endpoint, w.Graph = c.Name, c.Description, c.Endpoint, c.Graph
	w.Version, w.UpdatedAt, w.LastPosition = int(f.Revision)+1, f.at, f.Position
	b.touchWorkflow(&w)
	b.changes.WorkflowVersions = append(b.changes.WorkflowVersions, view.WorkflowVersion{
		WorkflowID: w.ID, Version: w.Version, Name: w.Name, Description: w.Description, Endpoint: w.Endpoint,
		Graph: w.Graph, At: f.at, Position: f.Position,
	})
}

func (b *batch) touchWorkflow(w *view.Workflow) {
	if b.workflows == nil {
		b.workflows = map[string]*view.Workflow{}
	}
	b.workflows[w.ID] = w
}
