package wire

import (
	"quipu/domain"
	"quipu/domain/workflow"
)

// The stored types of a stored workflow's events. Chosen by hand, never changed, never reused.
const (
	WorkflowCreated = "workflow.created.v1"
	WorkflowUpdated = "workflow.updated.v1"
	WorkflowDeleted = "workflow.deleted.v1"
)

// WorkflowTypes lists the stored types of workflows that this build can read.
func WorkflowTypes() []string { return []string{WorkflowCreated, WorkflowUpdated, WorkflowDeleted} }

// EncodeWorkflow gives the stored type and bytes of a workflow's event. It is total over the closed
// set.
func EncodeWorkflow(e workflow.StoredEvent) (typ string, data []byte) {
	o := newObject(make([]byte, 0, 512))
	switch e := e.(type) {
	case workflow.Created:
		typ = WorkflowCreated
		content(o, e.ID, e.Content, e.Secrets)
	case workflow.Updated:
		typ = WorkflowUpdated
		content(o, e.ID, e.Content, e.Secrets)
	case workflow.Deleted:
		typ = WorkflowDeleted
		o.str("workflow_id", e.ID)
	}
	return typ, o.done()
}

func content(o *object, id string, c workflow.Content, list []domain.Secret) {
	o.str("workflow_id", id)
	o.str("name", c.Name)
	o.strOpt("description", c.Description)
	o.str("endpoint", c.Endpoint)
	o.value("graph", c.Graph)
	secrets(o, list)
}

// DecodeWorkflow reads what EncodeWorkflow wrote; like DecodeRun, its Values share data's memory.
// Errors: ErrCorrupt; its Code is UNKNOWN_EVENT if this build does not know the type.
func DecodeWorkflow(typ string, data []byte) (workflow.StoredEvent, error) {
	typ, data, err := upcast(typ, data)
	if err != nil {
		return nil, err
	}
	var r reader
	r.reset(data)
	var e workflow.StoredEvent
	switch typ {
	case WorkflowCreated:
		e = r.content()
	case WorkflowUpdated:
		e = workflow.Updated(r.content())
	case WorkflowDeleted:
		e = r.workflowDeleted()
	default:
		return nil, unknownType(typ)
	}
	if err := r.done("decode event", typ); err != nil {
		return nil, err
	}
	return e, nil
}

func (r *reader) content() workflow.Created {
	e := workflow.Created{Content: workflow.Content{Graph: domain.Value{JSON: null}}}
	for r.Object(); r.Next(); {
		switch string(r.Key()) {
		case "workflow_id":
			e.ID = r.Text()
		case "name":
			e.Content.Name = r.Text()
		case "description":
			e.Content.Description = r.Text()
		case "endpoint":
			e.Content.Endpoint = r.Text()
		case "graph":
			e.Content.Graph = r.value()
		case "secrets":
			e.Secrets = r.secrets()
		default:
			r.Unknown()
		}
	}
	return e
}

func (r *reader) workflowDeleted() (e workflow.Deleted) {
	for r.Object(); r.Next(); {
		switch string(r.Key()) {
		case "workflow_id":
			e.ID = r.Text()
		default:
			r.Unknown()
		}
	}
	return e
}
