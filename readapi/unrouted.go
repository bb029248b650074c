package readapi

import (
	"slices"
	"strings"

	"github.com/gofiber/fiber/v2"
)

// unrouted says what to do about a request that has no route: 404 names those there are, 405 the
// methods of this one, which are in Allow too. It is "" for other errors.
func unrouted(c *fiber.Ctx, status int) string {
	switch allow := c.GetRespHeader(fiber.HeaderAllow); {
	case status == fiber.StatusNotFound:
		return "no such route; there are " + strings.Join(served(c.App()), ", ") + ", and GET / says more"
	case status == fiber.StatusMethodNotAllowed && allow != "":
		return "method not allowed; this route takes " + allow
	}
	return ""
}

// served lists the routes of an app, those for GET first, each without those below it: /api/workflows
// stands for its versions too. What begins with a parameter is a route of another kind: /ws/:flow/:run
// is not below /ws.
func served(app *fiber.App) []string {
	var out []string
	for _, route := range app.GetRoutes(true) {
		below := func(known string) bool {
			rest, ok := strings.CutPrefix(route.Path, known)
			return ok && (rest == "" || strings.HasPrefix(rest, "/") && !strings.HasPrefix(rest, "/:"))
		}
		if route.Path != "/" && !slices.ContainsFunc(out, below) {
			out = append(out, route.Path)
		}
	}
	return out
}
