// Package admin has the routes for whoever runs the server, all below /admin: rebuilds and checks of the
// views, webhooks and what they gave up, and the nodes that share the log.
package admin

import (
	"context"
	"slices"
	"time"

	"github.com/gofiber/fiber/v2"

	"quipu/apidoc"
	"quipu/app/nodes"
	"quipu/app/progress"
	"quipu/domain"
	"quipu/eventbus/webhooks"
)

// Deps are what the routes act on.
type Deps struct {
	// Stop ends when the process is to stop: work that clients watch ends with it.
	Stop context.Context
	// Log is the log of this server; positions of another are refused.
	Log       domain.LogID
	AfterFunc func(time.Duration, func()) (stop func() bool)
	// Rebuild and Verify are those of the views.
	Rebuild, Verify progress.Work
	Webhooks        *webhooks.Sender // nil for a server without any
	Node            *nodes.Node
}

type routes struct{ Deps }

// Register adds the routes.
func Register(app fiber.Router, d Deps) {
	r := &routes{d}
	app.Post("/admin/views/rebuild", r.streamViews(d.Rebuild))
	app.Post("/admin/views/verify", r.streamViews(d.Verify))
	app.Get("/admin/webhooks", r.listWebhooks)
	app.Get("/admin/webhooks/:name/poison", r.listPoison)
	app.Post("/admin/webhooks/:name/poison/replay", r.replayPoison)
	app.Post("/admin/webhooks/:name/poison/discard", r.discardPoison)
	app.Get("/admin/nodes", r.nodes)
}

// Operations describes the routes.
func Operations() []apidoc.Operation {
	return slices.Concat(viewsOperations(), []apidoc.Operation{nodesOperation()}, webhookOperations())
}
