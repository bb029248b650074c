package app

import (
	"context"

	"quipu/infra/postgres"
	"quipu/projections"
)

// viewsProjector is what the nodes share out: who projects the views that all of them read.
const viewsProjector = "projector:views"

// sharedViews are views that other nodes keep, too; nil if there are none.
func (s *server) sharedViews() *postgres.Views {
	if !s.node.Shared() {
		return nil
	}
	views, _ := s.viewStore.(*postgres.Views)
	return views
}

// viewsOwner says which node projects, nil if each keeps its own views.
func (s *server) viewsOwner() projections.Owner {
	if s.sharedViews() == nil {
		return nil
	}
	return s.node.Work(viewsProjector)
}

// listenViews lets the runner look at once when another node has moved the rows.
func (s *server) listenViews(_, work context.Context) error {
	views := s.sharedViews()
	if views == nil {
		<-work.Done()
		return nil
	}
	views.Listen(work, s.Clock.AfterFunc, s.views.Moved, func(err error) {
		if err != nil {
			s.Logger.Warn("no notifications from the views' database; their progress is found by polling", "error", err)
		}
	})
	return nil
}
