package app

import (
	"context"

	"quipu/commands"
	"quipu/domain"
	"quipu/domain/workflow"
	"quipu/readapi"
	"quipu/readapi/feeds"
	"quipu/readapi/history"
)

// registerHistory serves what happened: by id from the log, lists from the views.
func (s *server) registerHistory() {
	routes := history.New(history.Deps{
		Views: s.views.Rows(), Freshness: s.views.Freshness(),
		Log: s.log, Blobs: s.node.Blobs, Definitions: storedWorkflows{s.definitions}, Payloads: s.payloads(),
	}, history.Options{
		ListsMax: s.Config.Views.ReadersMax, ReadTimeout: s.Config.Views.ReadTimeout,
		InlineBytesMax: s.Config.Sockets.FrameInlineBytesMax,
	})
	routes.Register(s.web.App)
	s.registerFeeds(routes)
}

// registerFeeds serves the same events live. Its /ws/workflows/:id comes before the LAO socket's
// route (contract D2).
func (s *server) registerFeeds(routes *history.Routes) {
	feeds.New(feeds.Deps{
		Sockets: s.sockets, Log: s.log, Payloads: s.payloads(), NodeTypes: routes.NodeType,
		Readers: func(stream domain.StreamID, from domain.Revision, notify func()) readapi.Reader {
			return s.hub.Reader(stream, from, notify)
		},
		Feeds: func(workflowID string, after domain.Position, notify func()) feeds.Feed {
			return s.hub.Feed(workflowID, after, notify)
		},
	}, feeds.Options{
		SocketsPerIDMax: s.Config.Sockets.PerRunMax, InlineBytesMax: s.Config.Sockets.FrameInlineBytesMax, Random: s.Clock.Jitter,
	}).Register(s.web.App)
}

// storedWorkflows fits the stored workflows to what history reads.
type storedWorkflows struct{ *commands.Definitions }

// Get implements history.Definitions.
func (d storedWorkflows) Get(ctx context.Context, id string, version int) (workflow.Stored, domain.Position, error) {
	w, err := d.Definitions.Get(ctx, id, version)
	return w.Stored, w.Position, err
}
