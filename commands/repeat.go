package commands

import (
	"context"
	"errors"
	"fmt"

	"quipu/domain"
	"quipu/domain/run"
	"quipu/domain/wire"
)

// startOnce is startRun, but answers a repeat of a start with the run that is there.
func (e *Executor) startOnce(ctx context.Context, q StartRequest) (Outcome, error) {
	if q.ID == "" {
		return e.startRun(ctx, q)
	}
	lock := e.repeats.of(RunStream(q.ID))
	lock.Lock()
	defer lock.Unlock()
	if out, known, err := e.repeatedStart(ctx, q); known || err != nil {
		return out, err
	}
	out, err := e.startRun(ctx, q)
	if errors.Is(err, domain.ErrConflict) || errors.Is(err, domain.ErrRefused) {
		// Another process was first with the same request.
		if out, known, again := e.repeatedStart(ctx, q); known && again == nil {
			return out, nil
		}
	}
	return out, err
}

// Repeated answers a repeat of a start with the run of q.ID, if there is one; only ID and BodySHA256 of
// the request count. Errors: ErrUnprocessable with code IDEMPOTENCY_KEY_REUSED if it was begun by another
// request; ErrRefused with code IDEMPOTENCY_KEY_SPENT if it was given up; those of the log.
func (e *Executor) Repeated(ctx context.Context, q StartRequest) (out Outcome, known bool, err error) {
	return e.repeatedStart(ctx, q)
}

// repeatedStart answers with the run of q.ID if there is one.
func (e *Executor) repeatedStart(ctx context.Context, q StartRequest) (out Outcome, known bool, err error) {
	page, err := e.deps.Log.ReadStream(ctx, RunStream(q.ID), 0, domain.AppendEventsMax)
	if errors.Is(err, domain.ErrNotFound) || err == nil && len(page) == 0 {
		return Outcome{}, false, nil
	}
	if err != nil {
		return Outcome{}, false, fmt.Errorf("start run %s: %w", q.ID, err)
	}
	event, err := wire.DecodeRun(page[0].Type, page[0].Data)
	if err != nil {
		return Outcome{}, false, err
	}
	started, ok := event.(run.Started)
	switch {
	case !ok:
		return Outcome{}, true, domain.E(domain.KindRefused, "start run", q.ID, "an earlier try with this key was given up; use another key").WithCode("IDEMPOTENCY_KEY_SPENT")
	case started.BodySHA256 != q.BodySHA256:
		return Outcome{}, true, KeyReused("start run", q.ID)
	}
	position := page[0].Position
	for i := range page {
		// The first answer had the position of the last event of the start.
		m, err := wire.DecodeMetadata(page[i].Metadata)
		if err != nil {
			return Outcome{}, false, err
		}
		if m.CommandID != startCommand(q.ID) {
			break
		}
		position = page[i].Position
	}
	return Outcome{
		RunID: q.ID, Position: position, Repeated: true,
		FlowName: started.FlowName, RunName: started.RunName, WorkflowVersion: started.WorkflowVersion,
	}, true, nil
}

// startCommand is the id of the command that starts a run.
func startCommand(runID string) string { return "start:" + runID }

// KeyReused refuses a request whose idempotency key stood for another one.
func KeyReused(op, subject string) error {
	return domain.E(domain.KindUnprocessable, op, subject, "stood for a request with another body; use a new key for a new request").
		WithField("header/Idempotency-Key").WithCode("IDEMPOTENCY_KEY_REUSED")
}
