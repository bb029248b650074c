// Package views is what the server does with the views of its log, whatever keeps them: it has them follow
// the log, alone or in turn with other nodes, says how far they are, and tells on rows that readers find
// damaged. Where views are and how they are opened is in package stores.
package views

import (
	"context"
	"errors"
	"fmt"
	"time"

	"quipu/app/nodes"
	"quipu/app/process"
	"quipu/app/stores"
	"quipu/commands"
	"quipu/projections"
	"quipu/projections/view"
	"quipu/readapi/history"
)

// Views are the views of this process.
type Views struct {
	process.Process
	// Runner keeps the views at the log's head.
	Runner *projections.Runner
	store  stores.Views
	log    commands.Log
	node   *nodes.Node
	seen   *Seen
}

// Open opens the views that the configuration names, over the log and for the node of this process. Nothing
// keeps them at the log's head before Run.
func Open(ctx context.Context, p process.Process, log commands.Log, node *nodes.Node, seen *Seen) (*Views, error) {
	store, err := stores.OpenViews(ctx, p.Config, log)
	if err != nil {
		return nil, fmt.Errorf("views: %w", err)
	}
	v := &Views{Process: p, log: log, node: node, seen: seen, store: store}
	hooks := projections.Hooks{
		Committed: v.Metrics.ViewsCommitted,
		Failed:    func(err error) { v.Metrics.ViewsFailed(process.Outcome(err)) },
		Rebuilt:   func(time.Duration) { v.Metrics.ViewsRebuilt() },
		Parked:    func(view.Parked) {}, // counted from the status, so that a rebuild can lower it
	}
	if v.Tracer != nil {
		hooks.Projected = v.Tracer.Projected
	}
	v.Runner = stores.NewRunner(store, stores.ViewsFeed{Log: log}, v.owner(), p.Config, p.Logger, hooks)
	return v, nil
}

// Measure says how far the views are behind the log at the moment of asking.
func (v *Views) Measure(ctx context.Context) {
	status := v.Runner.Status(ctx)
	v.TellLag(ctx, v.log, "views", status.Position, status.Lag)
	v.Metrics.ViewsParked(status.Parked)
}

// Check says what is wrong with the views. Commands and sockets do without them.
func (v *Views) Check(ctx context.Context) error {
	status := v.Runner.Status(ctx)
	if why := status.StandsStill(); why != "" {
		return errors.New("they stand still at " + status.Position.Cursor(v.log.ID()) + ": " + why)
	}
	if status.Parked > 0 {
		return fmt.Errorf("%d events could not be taken in; look for \"event parked\" in the log lines", status.Parked)
	}
	return nil
}

// Rows are the views for readers, whose damage is told on.
func (v *Views) Rows() history.Views { return heeded{v.store, v.Runner.Damaged} }

// Freshness says how far the views are beside what this node has seen.
func (v *Views) Freshness() Freshness { return Freshness{v.Runner, v.seen} }

// Run keeps the views at the log's head.
func (v *Views) Run(_, work context.Context) error { return v.Runner.Run(work) }

// Close closes the views' store.
func (v *Views) Close() error { return v.store.Close() }
