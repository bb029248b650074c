package commands

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"

	"quipu/domain"
	"quipu/domain/name"
	"quipu/domain/rawjson"
	"quipu/domain/run"
	"quipu/domain/wire"
	"quipu/domain/workflow"
)

// The doors that runs come in by, as stored in run.started.
const (
	SourceLAO   = "lao"
	SourceAPI   = "api"
	SourceAGNT5 = "agnt5"
)

// StartRequest asks for a new run.
type StartRequest struct {
	// ID is the run's id if it was derived from an idempotency key, "" for a new one. Equal ids are one
	// run: a repeat is answered with the run that is there.
	ID       string
	Source   string
	FlowName string
	// RunName is required of SourceLAO. A run without one is found by its id alone, and FlowName is only
	// shown.
	RunName    string
	WorkflowID string
	// WorkflowVersion is that of the stored workflow, 0 if the definition came along.
	WorkflowVersion int
	Endpoint        string              // of that workflow
	Definition      workflow.Definition // params as written, secrets in clear
	Input           []byte              // checked JSON object, secrets in clear
	BodySHA256      string
	ConnectionID    string // of the socket it was asked for on; "" if none
	Metadata        []byte // checked JSON object, secrets in clear; nil if none
	RetryOf         string // the run that this one goes on from; "" if none
	Reused          []ReusedTask
	Actor           wire.Actor
	Trace           string // W3C traceparent, "" if none
}

// ReusedTask is a task of the run that is retried which is not done again.
type ReusedTask struct {
	Task   string
	Offset domain.Revision // of its task_completed
	Output []byte          // checked JSON, secrets in clear
}

// StartRun names and starts a run and returns once both are durable (contract D6).
//
// Errors: ErrInvalid for a graph that breaks a rule; ErrUnprocessable for a bad name or a secret in
// an object key; ErrRefused with code RUN_NAME_TAKEN and details.execution_id while an earlier run
// of the name is unfinished; ErrUnprocessable with code IDEMPOTENCY_KEY_REUSED if ID stands for another
// request; ErrExhausted beyond Limits; ErrUnavailable if certainly nothing was
// started; ErrIndeterminate if it may have been.
func (e *Executor) StartRun(ctx context.Context, q StartRequest) (Outcome, error) {
	began := e.deps.Clock.Now()
	out, err := e.startOnce(ctx, q)
	e.observe("start", began, err)
	return out, err
}

func (e *Executor) startRun(ctx context.Context, q StartRequest) (Outcome, error) {
	named := q.RunName != "" || q.Source == SourceLAO
	if named {
		if err := name.Check(q.FlowName, q.RunName); err != nil {
			return Outcome{}, err
		}
	}
	q.Definition = withWaits(q.Definition, e.deps.Registry)
	graph, err := workflow.Compile(q.Definition, hasKey(q.Input))
	if err != nil {
		return Outcome{}, err
	}
	id := q.ID
	if id == "" {
		id = e.newRunID()
	}
	stream := RunStream(id)
	session, err := e.deps.Secrets.Session(ctx, stream, nil)
	if err != nil {
		return Outcome{}, fmt.Errorf("start run %s: %w", id, err)
	}
	start, err := e.seal(ctx, session, graph, q)
	if err != nil {
		return Outcome{}, fmt.Errorf("start run %s: %w", id, err)
	}
	start.RunID, start.Source, start.FlowName, start.RunName = id, q.Source, q.FlowName, q.RunName
	start.ConnectionID, start.RetryOf = q.ConnectionID, q.RetryOf
	start.WorkflowID, start.WorkflowVersion, start.Endpoint, start.BodySHA256, start.Node = q.WorkflowID, q.WorkflowVersion, q.Endpoint, q.BodySHA256, e.node

	if e.work.Err() != nil {
		return Outcome{}, context.Cause(e.work)
	}
	admitted, err := e.admit(id)
	if err != nil {
		return Outcome{}, err
	}
	start.Hold = !admitted
	e.names.begin(id)
	defer e.names.end(id)
	cause := wire.Cause{Actor: q.Actor, CommandID: startCommand(id), CorrelationID: id, Traceparent: q.Trace}
	if err := e.bindIfNamed(ctx, named, name.Bound{FlowName: q.FlowName, RunName: q.RunName, ExecutionID: id}, cause); err != nil {
		e.dismiss(admitted)
		if errors.Is(err, domain.ErrIndeterminate) || errors.Is(err, domain.ErrConflict) {
			// Whether the name is bound is not known or others keep getting it; that the run has not
			// started is. A binding without a run holds nobody up.
			err = domain.Wrap(domain.KindUnavailable, "start run", id, err)
		}
		return Outcome{}, err
	}
	out, err := e.begin(ctx, start, session, cause, admitted)
	if errors.Is(err, domain.ErrConflict) {
		// Another process took the name over before the run's first event was there.
		return Outcome{}, nameTaken(id, "run "+strconv.Quote(q.RunName)+" of flow "+strconv.Quote(q.FlowName)+
			" was started elsewhere at the same moment; wait for its end or choose another run_name")
	}
	return out, err
}

// hasKey tells which keys {"input": …} may name.
func hasKey(input []byte) func(string) bool {
	keys := map[string]struct{}{}
	for _, m := range rawjson.Members(input) {
		keys[m.Key] = struct{}{}
	}
	return func(k string) bool { _, ok := keys[k]; return ok }
}

// seal takes the secrets out of definition and input.
func (e *Executor) seal(ctx context.Context, session *Session, graph *workflow.Graph, q StartRequest) (run.Start, error) {
	raw := wire.Definition(q.Definition)
	at, tasks := secretFlows(q.Definition, raw.JSON)
	templates := slices.ContainsFunc(q.Definition.Nodes, func(n workflow.Node) bool { return n.Templates })
	definition, input, secrets, err := session.SealStart(ctx, raw.JSON, q.Input, at, templates)
	if err != nil {
		return run.Start{}, err
	}
	if input, err = loadBlobs(ctx, e.deps.Blobs, input); err != nil {
		return run.Start{}, err
	}
	if len(definition.Holes) > 0 {
		if definition, err = loadBlobs(ctx, e.deps.Blobs, definition); err != nil {
			return run.Start{}, err
		}
		d, err := wire.DecodeDefinition(definition)
		if err != nil {
			return run.Start{}, err
		}
		if graph, err = workflow.Compile(d, nil); err != nil {
			return run.Start{}, err
		}
	}
	graph.SealOutputs(tasks)
	start := run.Start{Definition: definition, Graph: graph, Input: input, Secrets: secrets}
	return start, sealBeside(ctx, session, q, &start)
}

// sealBeside takes the secrets out of what stands beside definition and input.
func sealBeside(ctx context.Context, session *Session, q StartRequest, start *run.Start) error {
	seal := func(raw []byte, at ...string) (domain.Value, error) {
		v, more, err := session.Seal(ctx, raw, at...)
		for _, s := range more {
			if !slices.ContainsFunc(start.Secrets, func(have run.Secret) bool { return have.ID == s.ID }) {
				start.Secrets = append(start.Secrets, s)
			}
		}
		return v, err
	}
	var err error
	if q.Metadata != nil {
		if start.Metadata, err = seal(q.Metadata); err != nil {
			return err
		}
	}
	start.Reused = run.Reuse(func(add func(string, domain.Revision, domain.Value)) {
		for _, t := range q.Reused {
			var at []string
			if i, ok := start.Graph.Index(t.Task); ok && start.Graph.SealsOutput(i) {
				at = []string{""}
			}
			v, failed := seal(t.Output, at...)
			if err = errors.Join(err, failed); err == nil {
				add(t.Task, t.Offset, v)
			}
		}
	})
	return err
}

// admit takes a place among the active runs, or says that the run must wait, or refuses it.
func (e *Executor) admit(id string) (bool, error) {
	if !e.owns(id) {
		e.reserveAnyway() // its owner finds it in the log
		return false, nil
	}
	if e.enter() {
		return true, nil
	}
	if !e.reserve() {
		return false, domain.E(domain.KindExhausted, "start run", id, fmt.Sprintf(
			"%d runs are active and %d wait; try again later", e.limits.ActiveRunsMax, max(e.limits.PendingRunsMax, 0))).WithCode("OVERLOADED")
	}
	return false, nil
}

// dismiss gives back what admit took.
func (e *Executor) dismiss(admitted bool) {
	if !admitted {
		e.unreserve()
		return
	}
	if next := e.leave(); next != "" {
		_ = e.send(e.work, next, inOpen{runID: next})
	}
}

// begin appends the run's first events and waits until they are durable.
func (e *Executor) begin(ctx context.Context, start run.Start, session *Session, cause wire.Cause, admitted bool) (Outcome, error) {
	id := start.RunID
	type answer struct {
		out Outcome
		err error
	}
	answered := make(chan answer, 1)
	err := e.send(ctx, id, inStart{runID: id, session: session, place: admitted, envelope: envelope{
		command: start, cause: cause, outside: true,
		reply: func(o Outcome, err error) { answered <- answer{o, err} },
	}})
	if err != nil {
		e.dismiss(admitted)
		return Outcome{}, err
	}
	select {
	case a := <-answered:
		return a.out, a.err
	case <-ctx.Done():
		return Outcome{}, domain.Wrap(domain.KindIndeterminate, "start run", id, ctx.Err())
	case <-e.work.Done():
		return Outcome{}, domain.Wrap(domain.KindIndeterminate, "start run", id, context.Cause(e.work))
	}
}
