package agnt5

import (
	"context"

	"quipu/domain/endpoint"
	"quipu/readapi"
)

// Endpoints knows the keys.
type Endpoints interface {
	// Authenticate gives the endpoint if key is its key. Errors: ErrNotFound for an unknown endpoint;
	// another for a wrong key.
	Authenticate(ctx context.Context, endpointID, key string) (endpoint.Created, error)
}

// StartRequest asks for an execution of a workflow of an endpoint.
type StartRequest struct {
	Endpoint       endpoint.Created
	Name           string // of the workflow
	Parameters     []byte // checked JSON object, secrets in clear
	Metadata       []byte // checked JSON object, nil if there is none
	ConnectionID   string
	IdempotencyKey string // "" if there is none; else a repeat gives the same execution
}

// Executions is the write side.
type Executions interface {
	// Start returns the id of the execution once its first event is durable.
	Start(ctx context.Context, q StartRequest) (executionID string, err error)
	// Cancel asks for the end of an execution of the endpoint. Errors: ErrRefused if it has ended.
	Cancel(ctx context.Context, e endpoint.Created, executionID, reason string) error
	// Unfinished gives the ids of the endpoint's executions without an end that were started with
	// connectionID, oldest first, at most max; more says that there are further ones. It knows all
	// that this node has acknowledged. Errors: ErrUnavailable if it cannot say.
	Unfinished(ctx context.Context, e endpoint.Created, connectionID string, max int) (ids []string, more bool, err error)
}

// Deps are what Sockets stand on; all are required.
type Deps struct {
	Log        readapi.Log
	Readers    readapi.ReaderFunc
	Clock      readapi.Clock
	Payloads   Payloads
	Endpoints  Endpoints
	Executions Executions
}
