package commands

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"sync/atomic"
	"time"

	"quipu/commands/definition"
	"quipu/commands/node"
	"quipu/commands/sealing"
	"quipu/domain"
	"quipu/domain/wire"
	"quipu/domain/workflow"
)

// Starter starts runs; the Executor is one.
type Starter interface {
	StartRun(ctx context.Context, q StartRequest) (Outcome, error)
	// Repeated gives the run of q.ID if there is one, the request's BodySHA256 permitting.
	Repeated(ctx context.Context, q StartRequest) (out Outcome, known bool, err error)
}

// DefinitionDeps are the collaborators of Definitions; all are required but Hooks.
type DefinitionDeps struct {
	Log      Log
	Blobs    Blobs
	Secrets  Secrets
	Clock    Clock
	IDs      IDs
	Registry *node.Registry
	Starter  Starter
	Hooks    Hooks // Appended and Command
}

// Definitions keeps stored workflows: it decides over their streams and starts runs pinned to a
// version. Safe for concurrent use.
//
// Nothing here reads a view, so a workflow is known the moment its creation is answered, on every
// node.
type Definitions struct {
	deps  DefinitionDeps
	cache workflowCache
	// written is the position of the newest event that was stored here.
	written atomic.Uint64
}

// NewDefinitions builds the service. It starts nothing.
func NewDefinitions(deps DefinitionDeps) *Definitions {
	return &Definitions{deps: deps, cache: newWorkflowCache()}
}

// Written is the position of the newest event of a workflow that was stored here, 0 if none was.
func (d *Definitions) Written() domain.Position { return domain.Position(d.written.Load()) }

// Repeated gives the run that an earlier request of the same id began, if there is one.
// Errors: as Executor.StartRun of a repeat.
func (d *Definitions) Repeated(ctx context.Context, q StartRequest) (Outcome, bool, error) {
	return d.deps.Starter.Repeated(ctx, q)
}

// Change is what a client says about a workflow. Nil means: as it is, or the default.
type Change struct {
	Name        *string
	Description *string
	Endpoint    *string
	Graph       *definition.Graph // parsed without faults
	// GraphAt is the JSON pointer of the graph in the client's body, for messages.
	GraphAt string
	// Match are the versions that the change may be made on; nil takes any, an empty list none.
	Match []int
	// ID is that of what is created if it was derived from an idempotency key, "" for a new one; Key and
	// Body are those of Ask.
	ID, Key, Body string
}

// By says who asks, and for what trace.
type By struct {
	Actor wire.Actor
	Trace string // W3C traceparent, "" if none
}

// Workflow is a stored workflow with the place of its newest event.
type Workflow struct {
	workflow.Stored
	Position domain.Position // 0 where only an older version was asked for
}

// Create stores a new workflow and returns once it is durable. Name and Graph are required. A repeat
// under the same key is answered with the workflow as it was made, whatever became of it since.
//
// Errors: ErrUnprocessable naming each field at fault, a secret that cannot be sealed where it stands
// among them, or with code IDEMPOTENCY_KEY_REUSED; ErrUnavailable if certainly nothing was stored;
// ErrIndeterminate if it may have been.
func (d *Definitions) Create(ctx context.Context, c Change, by By) (Workflow, error) {
	began := d.deps.Clock.Now()
	w, err := d.createOnce(ctx, c, by)
	d.observe("create_workflow", began, err)
	return w, err
}

// createOnce is create, but answers a repeat with what is there.
func (d *Definitions) createOnce(ctx context.Context, c Change, by By) (Workflow, error) {
	command, prefix := Ask{Key: c.Key, Body: c.Body}.commandID("create", d.deps.IDs)
	if prefix == "" {
		return d.create(ctx, d.deps.IDs.NewID(), command, c, by)
	}
	if w, known, err := d.made(ctx, c.ID, command); known || err != nil {
		return w, err
	}
	w, err := d.create(ctx, c.ID, command, c, by)
	if errors.Is(err, domain.ErrConflict) {
		// Another request with this key was first.
		w, _, err = d.made(ctx, c.ID, command)
	}
	return w, err
}

func (d *Definitions) create(ctx context.Context, id, command string, c Change, by By) (Workflow, error) {
	return d.write(ctx, id, command, true, by, func(ctx context.Context, s *Session, have workflow.Stored) (workflow.StoredCommand, error) {
		content, secrets, err := d.content(ctx, s, workflow.Content{Endpoint: workflow.EndpointDefault}, c)
		return workflow.Create{ID: have.ID, Content: content, Secrets: secrets}, err
	})
}

// made gives what a creation by that command stored, if a workflow of the id is there.
// Errors: ErrUnprocessable with code IDEMPOTENCY_KEY_REUSED if another command made it.
func (d *Definitions) made(ctx context.Context, id, command string) (w Workflow, known bool, err error) {
	stream := workflow.Stream(id)
	page, err := d.deps.Log.ReadStream(ctx, stream, 0, 1)
	if errors.Is(err, domain.ErrNotFound) || err == nil && len(page) == 0 {
		return Workflow{}, false, nil
	}
	if err != nil {
		return Workflow{}, false, fmt.Errorf("read %s: %w", stream, err)
	}
	m, err := wire.DecodeMetadata(page[0].Metadata)
	if err != nil {
		return Workflow{}, false, err
	}
	if m.CommandID != command {
		return Workflow{}, true, KeyReused("create workflow", id)
	}
	e := &workflowEntry{stored: workflow.NewStored(), head: wire.NewHead()}
	if err := e.take(&page[0]); err != nil {
		return Workflow{}, false, fmt.Errorf("load %s: %w", stream, err)
	}
	return Workflow{Stored: e.stored, Position: e.position}, true, nil
}

// Update stores a new version. A mask in the graph keeps the secret it stands for, below a key that
// names a secret or where the secret stands in the version before; a content that equals the stored one
// makes no version.
//
// Errors: as Create; ErrNotFound for a workflow that does not exist or is deleted; ErrPrecondition with
// code PRECONDITION_FAILED and details.version if it is at none of the versions of Match; ErrConflict if
// others kept writing to it.
func (d *Definitions) Update(ctx context.Context, id string, c Change, by By) (Workflow, error) {
	began := d.deps.Clock.Now()
	w, err := d.write(ctx, id, "update:"+d.deps.IDs.NewID(), false, by, func(ctx context.Context, s *Session, have workflow.Stored) (workflow.StoredCommand, error) {
		if have.Phase != workflow.StoredActive {
			return workflow.Update{}, nil // refused by the decider
		}
		if err := matches(have, c.Match); err != nil {
			return nil, err
		}
		content, secrets, err := d.content(ctx, s, have.Content, c)
		return workflow.Update{Content: content, Secrets: secrets, Expected: have.Version()}, err
	})
	d.observe("update_workflow", began, err)
	return w, err
}

// Delete ends a workflow (contract D23): it starts no more runs, those under way go on, and all of
// its history stays. match is that of Change. Errors: as Update.
func (d *Definitions) Delete(ctx context.Context, id string, match []int, by By) (Workflow, error) {
	began := d.deps.Clock.Now()
	w, err := d.write(ctx, id, "delete:"+d.deps.IDs.NewID(), false, by, func(_ context.Context, _ *Session, have workflow.Stored) (workflow.StoredCommand, error) {
		return workflow.Delete{}, matches(have, match)
	})
	d.observe("delete_workflow", began, err)
	return w, err
}

// matches refuses a change that was made on another version than the one there. It is asked anew for each
// state that a change is decided on, so nobody's write is lost between the look and the append.
func matches(have workflow.Stored, versions []int) error {
	if versions == nil || have.Phase != workflow.StoredActive || slices.Contains(versions, have.Version()) {
		return nil
	}
	return domain.E(domain.KindPrecondition, "change workflow", have.ID, fmt.Sprintf(
		"does not hold: the workflow is at version %d; read it and make the change again", have.Version())).
		WithField("header/If-Match").WithCode("PRECONDITION_FAILED").WithDetails(map[string]any{"version": have.Version()})
}

func (d *Definitions) observe(command string, began time.Time, err error) {
	if d.deps.Hooks.Command != nil {
		d.deps.Hooks.Command(command, d.deps.Clock.Now().Sub(began), err)
	}
}

// content is what the workflow says after a change, its secrets sealed.
func (d *Definitions) content(ctx context.Context, s *Session, have workflow.Content, c Change) (workflow.Content, []domain.Secret, error) {
	for _, f := range []struct {
		into *string
		from *string
	}{{&have.Name, c.Name}, {&have.Description, c.Description}, {&have.Endpoint, c.Endpoint}} {
		if f.from != nil {
			*f.into = *f.from
		}
	}
	if c.Graph == nil {
		return have, nil, nil
	}
	var secrets []domain.Secret
	maskAt, err := d.maskAt(ctx, have.Graph, c.Graph.Raw)
	if err != nil {
		return have, nil, err
	}
	have.Graph, secrets, err = s.SealGraph(ctx, c.Graph.Raw, maskAt)
	return have, secrets, relocated(err, c.GraphAt)
}

// relocated makes the place of a fault in the graph one in the body that the client sent.
func relocated(err error, at string) error {
	var e *domain.Error
	if !errors.As(err, &e) || e.Kind != domain.KindUnprocessable && e.Kind != domain.KindInvalid {
		return err
	}
	e = e.WithField(at + e.Field)
	if e.Code == "" {
		e = e.WithCode("INVALID_WORKFLOW")
	}
	e.Kind = domain.KindUnprocessable
	return e
}

// Show gives a workflow's graph as clients see it: whole, its secrets masked.
// Errors: those of the blobs; ErrCorrupt.
func (d *Definitions) Show(ctx context.Context, w Workflow) ([]byte, error) {
	return sealing.Mask(ctx, d.deps.Blobs, w.Graph, math.MaxInt64)
}

// RunInput asks for a run of a stored workflow.
type RunInput struct {
	Input      []byte // checked JSON object
	BodySHA256 string
	// ID, ConnectionID and Metadata are those of StartRequest.
	ID           string
	ConnectionID string
	Metadata     []byte
	Source       string // "" for SourceAPI
	// Only runs the workflow if it says so of the state that would run; else it is unknown. nil: always.
	Only func(workflow.Stored) bool
}

// Started is a run begun by Execute, with the version it is pinned to.
type Started struct{ Outcome }

// Execute starts a run of the newest version, which it stays with whatever happens to the workflow.
//
// Errors: ErrNotFound; ErrInvalid with code INVALID_WORKFLOW naming each thing that keeps the graph
// from running, the sentences beside it in details.errors; else as Executor.StartRun.
func (d *Definitions) Execute(ctx context.Context, id string, in RunInput, by By) (Started, error) {
	began := d.deps.Clock.Now()
	out, err := d.execute(ctx, id, in, by)
	d.observe("execute_workflow", began, err)
	return out, err
}

func (d *Definitions) execute(ctx context.Context, id string, in RunInput, by By) (Started, error) {
	if in.ID != "" {
		// The workflow may have gone on since, or be gone; the run has not.
		out, known, err := d.deps.Starter.Repeated(ctx, StartRequest{ID: in.ID, BodySHA256: in.BodySHA256})
		if known || err != nil {
			return Started{Outcome: out}, err
		}
	}
	entry, err := d.load(ctx, id)
	if err != nil {
		return Started{}, err
	}
	if entry.stored.Phase != workflow.StoredActive || in.Only != nil && !in.Only(entry.stored) {
		return Started{}, unknownWorkflow(id)
	}
	prepared, err := d.prepare(ctx, entry)
	if err != nil {
		return Started{}, err
	}
	if prepared.refused != nil {
		return Started{}, prepared.refused
	}
	out, err := d.deps.Starter.StartRun(ctx, StartRequest{
		ID: in.ID, ConnectionID: in.ConnectionID, Metadata: in.Metadata,
		Source: cmp.Or(in.Source, SourceAPI), FlowName: entry.stored.Name, WorkflowID: entry.stored.ID, WorkflowVersion: entry.stored.Version(), Endpoint: entry.stored.Endpoint,
		Definition: prepared.definition, Input: in.Input, BodySHA256: in.BodySHA256, Actor: by.Actor, Trace: by.Trace,
	})
	if !out.Repeated {
		out.WorkflowVersion = entry.stored.Version()
	}
	return Started{Outcome: out}, err
}

func unknownWorkflow(id string) error {
	return domain.E(domain.KindNotFound, "workflow", id, "names no workflow").WithField("id").WithCode(codeWorkflowUnknown)
}

const codeWorkflowUnknown = "WORKFLOW_UNKNOWN"

// prepared is a version ready to run: its definition with the secrets in clear, which lives in memory
// only, or the reason why it cannot.
type prepared struct {
	definition workflow.Definition
	refused    error
}

// prepare translates a version; once for as long as it is cached.
func (d *Definitions) prepare(ctx context.Context, e *workflowEntry) (*prepared, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.prepared != nil {
		return e.prepared, nil
	}
	session, err := d.deps.Secrets.Session(ctx, workflow.Stream(e.stored.ID), e.stored.Secrets)
	if err != nil {
		return nil, err
	}
	raw, err := session.Open(ctx, e.stored.Graph)
	if err != nil {
		return nil, fmt.Errorf("open workflow %s: %w", e.stored.ID, err)
	}
	graph, faults := definition.Parse(raw, d.deps.Registry)
	def, more := graph.Definition()
	var all definition.Faults
	all.AddAll("", faults) // node types may have changed since it was stored
	all.AddAll("", more)
	p := &prepared{definition: def}
	if len(all.List) > 0 {
		for i := range all.List {
			all.List[i].Message = session.Scrub(all.List[i].Message)
		}
		p.refused = definition.Refusal(domain.KindInvalid, "INVALID_WORKFLOW", all.List, graph.Texts(all.List))
	}
	e.prepared = p
	return p, nil
}
