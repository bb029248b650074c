package commands

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"

	"quipu/domain"
	"quipu/domain/endpoint"
	"quipu/domain/wire"
	"quipu/domain/workflow"
)

// Invocation asks for a run of a workflow by the name it has at an endpoint (contract D12, D15).
type Invocation struct {
	Endpoint     endpoint.Created // authenticated
	Name         string
	Parameters   []byte // checked JSON object, secrets in clear
	Metadata     []byte // checked JSON object, secrets in clear; nil if none
	ConnectionID string
	// IdempotencyKey makes repeats one run, whatever connection they come by; "" for a new run each time.
	IdempotencyKey string
	By             By
}

// InvocationDeps are the collaborators of Invocations; all are required.
type InvocationDeps struct {
	Definitions *Definitions
	Workflows   WorkflowFinder
	Clock       Clock
}

// Invocations starts runs of workflows by name. Safe for concurrent use.
//
// Names are found in a view, which may be behind; what runs is decided over the workflow's stream: a
// workflow that was deleted, renamed or moved away is never run under its old name.
type Invocations struct {
	deps  InvocationDeps
	names nameCache
}

// NewInvocations builds the service. It starts nothing.
func NewInvocations(deps InvocationDeps) *Invocations {
	return &Invocations{deps: deps, names: newNameCache()}
}

// Start starts a run of the newest version of the workflow that the name stands for at the endpoint; if
// several have the name, of the one made last.
//
// Errors: ErrNotFound with code WORKFLOW_UNKNOWN; ErrUnprocessable with code IDEMPOTENCY_KEY_REUSED if
// the key stood for another name or other parameters; ErrUnavailable if the name is not known here and
// the view cannot be asked; else as Definitions.Execute. Fields are JSON pointers into the message.
func (i *Invocations) Start(ctx context.Context, q Invocation) (Started, error) {
	in := RunInput{
		Source: SourceAGNT5, Input: q.Parameters, Metadata: q.Metadata, ConnectionID: q.ConnectionID,
		BodySHA256: invocationHash(q.Name, q.Parameters),
	}
	if q.IdempotencyKey != "" {
		in.ID = invocationID(q.Endpoint.ID, q.IdempotencyKey)
		if out, known, err := i.repeated(ctx, in); known || err != nil {
			return out, inMessage(err)
		}
	}
	reached := func(w workflow.Stored) bool {
		return w.Name == q.Name && (w.Endpoint == q.Endpoint.ID || w.Endpoint == q.Endpoint.Slug)
	}
	in.Only = reached
	for try := 0; ; try++ {
		id, fresh, err := i.find(ctx, q.Endpoint, q.Name, try > 0)
		if err != nil {
			return Started{}, err
		}
		out, err := i.deps.Definitions.Execute(ctx, id, in, q.By)
		var e *domain.Error
		if !errors.As(err, &e) || e.Code != codeWorkflowUnknown {
			return out, inMessage(err)
		}
		// It was changed since the view, or the cache, saw it.
		if fresh || try > 0 {
			return Started{}, unknownName()
		}
	}
}

// repeated answers a repeat with the run that is there, so that it is answered even if the workflow has
// changed since.
func (i *Invocations) repeated(ctx context.Context, in RunInput) (Started, bool, error) {
	out, known, err := i.deps.Definitions.Repeated(ctx, StartRequest{ID: in.ID, BodySHA256: in.BodySHA256})
	return Started{Outcome: out}, known, err
}

// inMessage makes the field of an error one of the message that the client sent.
func inMessage(err error) error {
	var e *domain.Error
	if !errors.As(err, &e) {
		return err
	}
	switch e.Code {
	case "IDEMPOTENCY_KEY_REUSED", "IDEMPOTENCY_KEY_SPENT":
		return e.WithField("/metadata/idempotency_key")
	}
	return err
}

func unknownName() error {
	return domain.E(domain.KindNotFound, "start", "", "names no workflow of this endpoint; create one with this name and endpoint by POST /api/workflows").
		WithField("/name").WithCode(codeWorkflowUnknown)
}

// invocationID is the run that a key stands for at an endpoint (contract D20).
func invocationID(endpointID, key string) string {
	return domain.UUIDv8(hashed("agnt5-start", endpointID, key)).String()
}

// invocationHash tells a repeat from another request. What a client says beside name and parameters,
// such as the connection it comes by, may change when it sends again.
func invocationHash(name string, parameters []byte) string {
	sum := hashed(name, string(parameters))
	return hex.EncodeToString(sum[:])
}

// hashed is the SHA-256 of texts, each preceded by its length.
func hashed(texts ...string) [sha256.Size]byte {
	var b []byte
	for _, t := range texts {
		b = append(binary.BigEndian.AppendUint32(b, uint32(len(t))), t...)
	}
	return sha256.Sum256(b)
}

// InvocationActor is who does what is asked for with an endpoint's key.
func InvocationActor(endpointID string) wire.Actor {
	return wire.Actor{Kind: wire.ActorKey, ID: endpointID, Via: SourceAGNT5}
}
