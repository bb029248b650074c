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

type contentV1 struct {
	WorkflowID  string     `json:"workflow_id"`
	Name        string     `json:"name"`
	Description string     `json:"description"`
	Endpoint    string     `json:"endpoint"`
	Graph       value      `json:"graph"`
	Secrets     []secretV1 `json:"secrets"`
}

func (w contentV1) content() workflow.Content {
	return workflow.Content{Name: w.Name, Description: w.Description, Endpoint: w.Endpoint, Graph: w.Graph.domain()}
}

// DecodeWorkflow reads what EncodeWorkflow wrote.
// Errors: ErrCorrupt; its Code is UNKNOWN_EVENT if this build does not know the type.
func DecodeWorkflow(typ string, data []byte) (workflow.StoredEvent, error) {
	typ, data, err := upcast(typ, data)
	if err != nil {
		return nil, err
	}
	var w contentV1
	var e workflow.StoredEvent
	switch typ {
	case WorkflowCreated:
		err = strict(data, &w)
		e = workflow.Created{ID: w.WorkflowID, Content: w.content(), Secrets: secretsOf(w.Secrets)}
	case WorkflowUpdated:
		err = strict(data, &w)
		e = workflow.Updated{ID: w.WorkflowID, Content: w.content(), Secrets: secretsOf(w.Secrets)}
	case WorkflowDeleted:
		var d struct {
			WorkflowID string `json:"workflow_id"`
		}
		err = strict(data, &d)
		e = workflow.Deleted{ID: d.WorkflowID}
	default:
		return nil, domain.E(domain.KindCorrupt, "decode event", typ, "this version does not know the type; a newer one wrote it").WithCode("UNKNOWN_EVENT")
	}
	if err != nil {
		return nil, domain.Wrap(domain.KindCorrupt, "decode event", typ, err)
	}
	return e, nil
}
