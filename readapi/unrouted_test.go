package readapi

import (
	"testing"

	"github.com/gofiber/fiber/v2"
	"github.com/stretchr/testify/require"
)

// A route is hidden by one above it, but for one that takes something else, in any order of adding.
func TestServed_ParametersAreRoutesOfTheirOwn(t *testing.T) {
	paths := []string{"/ws", "/ws/:flow/:run", "/api/runs", "/api/runs/:id", "/api/runs/:id/tasks", "/api/runsteps", "/"}
	app := fiber.New()
	for _, path := range paths {
		app.Get(path, func(*fiber.Ctx) error { return nil })
	}
	require.Equal(t, []string{"/ws", "/ws/:flow/:run", "/api/runs", "/api/runs/:id", "/api/runsteps"}, served(app))
}
