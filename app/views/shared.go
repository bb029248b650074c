package views

import (
	"context"

	"quipu/infra/postgres"
	"quipu/projections"
)

// Projector is what the nodes share out: who projects the views that all of them read.
const Projector = "projector:views"

// shared are views that other nodes keep, too; nil if there are none.
func (v *Views) shared() *postgres.Views {
	if !v.node.Shared() {
		return nil
	}
	store, _ := v.store.(*postgres.Views)
	return store
}

// owner says which node projects, nil if each keeps its own views.
func (v *Views) owner() projections.Owner {
	if v.shared() == nil {
		return nil
	}
	return v.node.Work(Projector)
}

// Listen lets the runner look at once when another node has moved the rows.
func (v *Views) Listen(_, work context.Context) error {
	store := v.shared()
	if store == nil {
		<-work.Done()
		return nil
	}
	store.Listen(work, v.Clock.AfterFunc, v.Runner.Moved, func(err error) {
		if err != nil {
			v.Logger.Warn("no notifications from the views' database; their progress is found by polling", "error", err)
		}
	})
	return nil
}

// Shared reports whether other nodes keep these views, too, so that one of them has Projector.
func (v *Views) Shared() bool { return v.shared() != nil }
