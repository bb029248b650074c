package history

import (
	"errors"

	"github.com/gofiber/fiber/v2"

	"quipu/domain"
)

// Routes serves history. Safe for concurrent use.
type Routes struct {
	deps    Deps
	options Options
	lists   gate
	folds   gate
	waiters gate
	types   nodeTypes
}

// New makes Routes. It panics if a dependency is missing.
func New(deps Deps, options Options) *Routes {
	if deps.Views == nil || deps.Freshness == nil || deps.Log == nil || deps.Blobs == nil || deps.Definitions == nil || deps.Payloads == nil {
		panic("history: New needs all of Deps")
	}
	o := options.withDefaults()
	return &Routes{
		deps: deps, options: o,
		lists: newGate(o.ListsMax, o.GateWait), folds: newGate(o.FoldsMax, o.GateWait), waiters: newGate(o.WaitersMax, 0),
	}
}

// Register adds the routes.
func (r *Routes) Register(app fiber.Router) {
	app.Get("/api/executions", r.executions)
	app.Get("/api/executions/:id", r.execution)
	app.Get("/api/executions/:id/tasks", r.tasks)
	app.Get("/api/approvals", r.approvals)
	app.Get("/api/events", r.events)
	app.Get("/api/workflows", r.workflows)
	app.Get("/api/workflows/:id", r.workflow)
	app.Get("/api/workflows/:id/versions", r.versions)
	app.Get("/api/workflows/:id/events", r.workflowEvents)
	app.Get("/api/endpoints", r.endpoints)
	app.Get("/api/endpoints/:id", r.endpoint)
}

// lost reports whether stored data is missing or damaged, so that trying again would not help.
func lost(err error) bool {
	return errors.Is(err, domain.ErrCorrupt) || errors.Is(err, domain.ErrNotFound)
}
