package app

import (
	"context"
	"errors"
	"time"

	"quipu/app/process"
	"quipu/app/views"
	"quipu/commands"
	"quipu/domain"
	"quipu/domain/endpoint"
	"quipu/infra/tracing"
	"quipu/projections/view"
	"quipu/readapi"
	"quipu/readapi/agnt5"
	"quipu/readapi/history"
)

// registerAGNT5 serves /ws: executions started, followed and cancelled by messages (contract S1).
func (s *server) registerAGNT5() {
	lists := named{s.views.Rows(), s.views.Freshness()}
	s.agnt5 = agnt5.New(agnt5.Deps{
		Log: s.log, Clock: s.Clock, Payloads: s.payloads(), Endpoints: s.endpoints,
		Readers: func(stream domain.StreamID, from domain.Revision, notify func()) readapi.Reader {
			return s.hub.Reader(stream, from, notify)
		},
		Executions: invocations{
			start: commands.NewInvocations(commands.InvocationDeps{Definitions: s.definitions, Workflows: lists, Clock: s.Clock}),
			runs:  s.executor, views: lists, begin: s.beginMessage,
		},
	}, agnt5.Options{
		Frames: agnt5.FrameOptions{FrameInlineBytesMax: s.Config.Sockets.FrameInlineBytesMax, Link: executionLink},
		Panicked: func(_ any, stack []byte) {
			s.Logger.Error("message panicked", "dialect", agnt5.Dialect, "stack", string(stack))
		},
	})
	s.agnt5.Register(s.web.App, s.sockets)
}

// drainSockets closes the sockets and then waits for what their messages have begun.
func (s *server) drainSockets(ctx context.Context) error {
	return errors.Join(s.sockets.Shutdown(ctx), s.agnt5.Drain(ctx))
}

// invocations fits the write side to what the socket asks of it.
type invocations struct {
	start *commands.Invocations
	runs  *commands.Executor
	views named
	begin func(name string, metadata []byte) tracing.Request
}

// Start implements agnt5.Executions.
func (i invocations) Start(ctx context.Context, q agnt5.StartRequest) (string, error) {
	span := i.begin("start execution", q.Metadata)
	out, err := i.start.Start(ctx, commands.Invocation{
		Endpoint: q.Endpoint, Name: q.Name, Parameters: q.Parameters, Metadata: q.Metadata,
		ConnectionID: q.ConnectionID, IdempotencyKey: q.IdempotencyKey,
		By: commands.By{Actor: agnt5.Actor(q.Endpoint.ID), Trace: span.Traceparent},
	})
	span.End(process.Outcome(err))
	return out.RunID, err
}

// Cancel implements agnt5.Executions.
func (i invocations) Cancel(ctx context.Context, e endpoint.Created, executionID, reason string) error {
	_, err := i.runs.Cancel(ctx, executionID, reason, agnt5.Actor(e.ID))
	return err
}

// Unfinished implements agnt5.Executions.
func (i invocations) Unfinished(ctx context.Context, _ endpoint.Created, connectionID string, max int) (ids []string, more bool, err error) {
	if err := i.views.await(ctx, i.views.Seen()); err != nil {
		return nil, false, err
	}
	for _, status := range []view.Status{view.Running, view.Paused} {
		page := view.Page{Ascending: true, Limit: view.LimitMax}
		for {
			slice, err := i.views.rows.Executions(ctx, view.ExecutionQuery{Source: commands.SourceAGNT5, ConnectionID: connectionID, Status: status, Page: page})
			if err != nil {
				return nil, false, err
			}
			for _, row := range slice.Rows {
				if len(ids) == max {
					return ids, true, nil
				}
				ids = append(ids, row.ID)
				page.Key = row.Position
			}
			if !slice.More {
				break
			}
		}
	}
	return ids, false, nil
}

// named looks up in the views what messages name.
type named struct {
	rows history.Views
	views.Freshness
}

// viewsWait is how long a message waits for the views.
const viewsWait = 2 * time.Second

// await returns when the views hold everything up to a position.
func (n named) await(ctx context.Context, since domain.Position) error {
	ctx, cancel := context.WithTimeout(ctx, viewsWait)
	defer cancel()
	if _, err := n.Wait(ctx, since); err != nil {
		return domain.E(domain.KindUnavailable, "", "", "the lists are behind what was written; try again in a moment").WithCode("STALE")
	}
	return nil
}

// Find implements commands.WorkflowFinder.
func (n named) Find(ctx context.Context, e endpoint.Created, name string, since domain.Position) (string, error) {
	if err := n.await(ctx, since); err != nil {
		return "", err
	}
	var newest view.Workflow
	for _, at := range []string{e.ID, e.Slug} {
		slice, err := n.rows.Workflows(ctx, view.WorkflowQuery{Endpoint: at, Name: name, Page: view.Page{Limit: 1}})
		if err != nil {
			return "", err
		}
		if len(slice.Rows) > 0 && slice.Rows[0].Position > newest.Position {
			newest = slice.Rows[0]
		}
	}
	return newest.ID, nil
}
