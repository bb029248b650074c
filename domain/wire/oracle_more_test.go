package wire_test

import (
	"encoding/json"
	"time"

	"quipu/domain"
	"quipu/domain/channel"
	"quipu/domain/endpoint"
	"quipu/domain/name"
	"quipu/domain/wire"
	"quipu/domain/workflow"
)

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

func oracleWorkflow(typ string, data []byte) (workflow.StoredEvent, error) {
	if typ == wire.WorkflowDeleted {
		var d struct {
			WorkflowID string `json:"workflow_id"`
		}
		err := strict(data, &d)
		return workflow.Deleted{ID: d.WorkflowID}, err
	}
	var w contentV1
	err := strict(data, &w)
	if typ == wire.WorkflowUpdated {
		return workflow.Updated{ID: w.WorkflowID, Content: w.content(), Secrets: secretsOf(w.Secrets)}, err
	}
	return workflow.Created{ID: w.WorkflowID, Content: w.content(), Secrets: secretsOf(w.Secrets)}, err
}

func oracleNameBound(data []byte) (name.Bound, error) {
	var w struct {
		FlowName    string `json:"flow_name"`
		RunName     string `json:"run_name"`
		ExecutionID string `json:"execution_id"`
	}
	err := strict(data, &w)
	return name.Bound(w), err
}

func oracleChannelMessage(data []byte) (channel.Message, error) {
	var w struct {
		Channel string     `json:"channel"`
		Payload value      `json:"payload"`
		Secrets []secretV1 `json:"secrets"`
	}
	err := strict(data, &w)
	return channel.Message{Channel: w.Channel, Payload: w.Payload.domain(), Secrets: secretsOf(w.Secrets)}, err
}

func oracleEndpointCreated(data []byte) (endpoint.Created, error) {
	var w struct {
		ID      string `json:"endpoint_id"`
		Slug    string `json:"slug"`
		KeyHash string `json:"key_sha256"`
	}
	err := strict(data, &w)
	return endpoint.Created(w), err
}

func oracleMetadata(b []byte) (wire.Metadata, error) {
	var m struct {
		At    instant `json:"at"`
		Actor struct {
			Kind string `json:"kind"`
			ID   string `json:"id"`
			Via  string `json:"via"`
		} `json:"actor"`
		CommandID     string `json:"command_id"`
		CorrelationID string `json:"$correlationId"`
		CausationID   string `json:"$causationId"`
		Traceparent   string `json:"traceparent"`
		Prev          string `json:"prev"`
		DataSHA256    string `json:"data_sha256"`
	}
	err := json.Unmarshal(b, &m)
	return wire.Metadata{
		At: m.At.Time, Actor: wire.Actor(m.Actor), CommandID: m.CommandID, CorrelationID: m.CorrelationID,
		CausationID: m.CausationID, Traceparent: m.Traceparent, Prev: m.Prev, DataSHA256: m.DataSHA256,
	}, err
}

type nodeJSON struct {
	Name      string          `json:"name"`
	Type      string          `json:"type"`
	Tag       string          `json:"tag"`
	Calls     string          `json:"calls"`
	Pure      bool            `json:"pure"`
	Timer     bool            `json:"timer"`
	Waits     string          `json:"waits"`
	Templates bool            `json:"templates"`
	Timeout   duration        `json:"timeout"`
	Retry     retryJSON       `json:"retry"`
	Params    json.RawMessage `json:"params"`
}

type retryJSON struct {
	Attempts int      `json:"attempts"`
	Initial  duration `json:"initial"`
	Factor   float64  `json:"factor"`
	Max      duration `json:"max"`
	Jitter   float64  `json:"jitter"`
}

type duration time.Duration

func (d *duration) UnmarshalJSON(b []byte) error {
	var s string
	if err := json.Unmarshal(b, &s); err != nil {
		return err
	}
	v, err := time.ParseDuration(s)
	*d = duration(v)
	return err
}

type definitionJSON struct {
	Nodes []nodeJSON      `json:"nodes"`
	Edges []workflow.Edge `json:"edges"`
}

// oracleDefinition leaves the holes to the code under test.
func oracleDefinition(data []byte) (workflow.Definition, error) {
	var w definitionJSON
	if err := strict(data, &w); err != nil {
		return workflow.Definition{}, err
	}
	d := workflow.Definition{Edges: w.Edges, Nodes: make([]workflow.Node, len(w.Nodes))}
	for i, n := range w.Nodes {
		d.Nodes[i] = workflow.Node{
			Name: n.Name, Type: n.Type, Tag: n.Tag, Calls: n.Calls, Pure: n.Pure, Timer: n.Timer, Waits: n.Waits, Templates: n.Templates, Timeout: time.Duration(n.Timeout),
			Retry: workflow.Retry{
				Attempts: n.Retry.Attempts, Initial: time.Duration(n.Retry.Initial), Factor: n.Retry.Factor,
				Max: time.Duration(n.Retry.Max), Jitter: n.Retry.Jitter,
			},
			Params: domain.Value{JSON: n.Params},
		}
	}
	return d, nil
}
