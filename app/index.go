package app

import "github.com/gofiber/fiber/v2"

// links are where a person with nothing but the address begins. Each is a route; {} are to be filled in.
var links = map[string]string{
	"run_dag":     "/run-dag",
	"task_status": "/task-status/{id}",
	"socket":      "/ws/{flow}/{run}",
	"agnt5":       "/ws",
	"executions":  "/api/executions",
	"events":      "/api/events",
	"workflows":   "/api/workflows",
	"endpoints":   "/api/endpoints",
	"ready":       "/health/ready",
	"live":        "/health/live",
	"metrics":     "/metrics",
	"docs":        "/docs",
	"openapi":     "/openapi.json",
}

// index answers GET / with what this is and where it goes on.
func (s *server) index(c *fiber.Ctx) error {
	return c.JSON(map[string]any{
		"name": "quipu", "version": s.Version, "log": s.log.ID(), "links": links,
		"docs": "/docs describes the routes, /docs/sockets the sockets",
	})
}
