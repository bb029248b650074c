// Package guard is the one door of the server: every request passes it before any route sees it.
//
// Three questions, in this order. Is the server addressed by a name of its own (against pages that
// had their name pointed at this machine)? If a page of a browser wants to change something or opens
// a socket, may pages of its origin? And, where keys are configured, whose key came along? What is
// not listed as open is closed, routes that do not exist among it. docs/operations.md says the same
// for operators.
package guard

import (
	"strings"
	"time"

	"github.com/gofiber/fiber/v2"

	"quipu/commands"
	"quipu/domain"
	"quipu/domain/wire"
)

// The reasons of refusals, as metrics and log lines name them.
const (
	ReasonHost       = "host"
	ReasonOrigin     = "origin"
	ReasonKeyMissing = "key_missing"
	ReasonKeyUnknown = "key_unknown"
)

// Options of a Guard. The zero value lets everybody in but pages of other origins.
type Options struct {
	// Keys open what is closed; none: nothing is closed.
	Keys []Key
	// LAOOpen leaves run-dag, task-status and the socket of a run's name open in spite of Keys. A key
	// that is sent there is still looked at: events shall tell who did something, or that nobody said.
	LAOOpen bool
	Origins Origins
	Hosts   Hosts
	// Refused is called for each refusal, and must not block; may be nil.
	Refused func(reason string)
	// Told is called for a refusal at most once each TellEvery and reason: from is the address of the
	// client, more how many refusals were not told of since the last call. May be nil.
	Told func(reason, from string, more int)
	// Now is needed for Told.
	Now func() time.Time
}

// Guard is made by New. Safe for concurrent use.
type Guard struct {
	options Options
	told    teller
}

// New makes a guard.
func New(options Options) *Guard { return &Guard{options: options} }

// Closed reports whether there are keys, so that not everything is open.
func (g *Guard) Closed() bool { return len(g.options.Keys) > 0 }

// Known reports whether the request may see everything: it came with a key, or there are none.
func (g *Guard) Known(c *fiber.Ctx) bool {
	return !g.Closed() || commands.ActorOf(c.UserContext(), "").Kind == wire.ActorKey
}

// Handle is the middleware. What it refuses is an error for the app's error handler: ErrForbidden or
// ErrUnauthenticated. Whose key it was stands in the request's context, for commands.ActorOf.
func (g *Guard) Handle(c *fiber.Ctx) error {
	if !g.options.Hosts.allow(c.Get(fiber.HeaderHost)) {
		return g.refuse(c, ReasonHost, domain.E(domain.KindForbidden, "", "",
			"the server is not called by this name; use its address, or list the name in hosts").WithCode("HOST_NOT_ALLOWED"))
	}
	socket := c.Get(fiber.HeaderUpgrade) != ""
	if (socket || changes(c.Method())) && !g.fromAllowedPage(c) {
		return g.refuse(c, ReasonOrigin, domain.E(domain.KindForbidden, "", "",
			"pages of this origin may not call this server; list the origin in cors-origins if they shall").WithCode("FORBIDDEN"))
	}
	area := areaOf(c.Path())
	if area == ownKey {
		return c.Next()
	}
	key, subprotocol := offered(c, socket)
	name, known := find(g.options.Keys, key)
	switch {
	case !g.Closed():
	case known:
		c.SetUserContext(commands.WithActor(c.UserContext(), wire.Actor{Kind: wire.ActorKey, ID: name}))
	case area == open:
	case area == lao && g.options.LAOOpen && key == "":
	case key == "":
		return g.refuse(c, ReasonKeyMissing, domain.E(domain.KindUnauthenticated, "", "",
			"a key is needed: send header x-api-key or Authorization: Bearer; sockets of browsers send subprotocol x-api-key.<key>").WithCode("KEY_MISSING"))
	default:
		return g.refuse(c, ReasonKeyUnknown, domain.E(domain.KindUnauthenticated, "", "",
			"the key is not one of this server's").WithCode("KEY_UNKNOWN"))
	}
	if subprotocol != "" {
		// A browser hangs up if what it offered does not come back.
		c.Set(fiber.HeaderSecWebSocketProtocol, subprotocol)
	}
	return c.Next()
}

func (g *Guard) refuse(c *fiber.Ctx, reason string, err error) error {
	if g.options.Refused != nil {
		g.options.Refused(reason)
	}
	if g.options.Told != nil {
		if more, now := g.told.ask(reason, g.options.Now()); now {
			g.options.Told(reason, c.IP(), more)
		}
	}
	return err
}

// fromAllowedPage looks at what browsers say about the page. Without Origin it is no page, unless
// the browser says that it is one of another site.
func (g *Guard) fromAllowedPage(c *fiber.Ctx) bool {
	origin := c.Get(fiber.HeaderOrigin)
	if origin == "" && strings.EqualFold(c.Get("Sec-Fetch-Site"), "cross-site") {
		return false
	}
	return g.options.Origins.allow(origin, c.Get(fiber.HeaderHost))
}

// changes reports whether requests with a method may change something.
func changes(method string) bool {
	return method != fiber.MethodGet && method != fiber.MethodHead && method != fiber.MethodOptions
}
