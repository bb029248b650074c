package main

import (
	"context"

	"quipu/commands"
	"quipu/domain"
	"quipu/domain/workflow"
	"quipu/readapi/history"
)

// registerHistory serves what happened: by id from the log, lists from the views.
func (s *server) registerHistory() {
	history.New(history.Deps{
		Views: heeded{s.viewStore, s.views.Damaged}, Freshness: freshness{s.views, &s.acknowledged, &s.published},
		Log: s.log, Blobs: s.blobs, Definitions: storedWorkflows{s.definitions}, Payloads: s.payloads(),
	}, history.Options{
		ListsMax: s.config.Views.ReadersMax, ReadTimeout: s.config.Views.ReadTimeout,
		InlineBytesMax: s.config.Sockets.FrameInlineBytesMax,
	}).Register(s.app)
}

// storedWorkflows fits the stored workflows to what history reads.
type storedWorkflows struct{ *commands.Definitions }

// Get implements history.Definitions.
func (d storedWorkflows) Get(ctx context.Context, id string, version int) (workflow.Stored, domain.Position, error) {
	w, err := d.Definitions.Get(ctx, id, version)
	return w.Stored, w.Position, err
}
