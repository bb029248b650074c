package readapi

import (
	"errors"
	"net/url"
	"strings"

	"github.com/gofiber/contrib/websocket"
	"github.com/gofiber/fiber/v2"
	"github.com/gofiber/fiber/v2/utils"

	"quipu/domain"
	"quipu/domain/name"
)

// requestKey is where admit leaves the checked request for serve.
const requestKey = "quipu.live.request"

// admit decides before the handshake, while an answer can still be JSON with a status: after it,
// every refusal would be a close code, and the library answers 426 to whatever it refuses.
func (l *Live) admit(c *fiber.Ctx) error {
	req, err := l.check(c)
	if err != nil {
		if f := l.options.Hooks.Refused; f != nil {
			f(refusalCode(err))
		}
		return WriteProblem(c, err)
	}
	if !websocket.IsWebSocketUpgrade(c) {
		return ErrorHandler(c, fiber.ErrUpgradeRequired)
	}
	if cookie := l.breaker.admit(req, c.Cookies(breakerCookie), l.clock.Now()); cookie != "" {
		c.Cookie(&fiber.Cookie{Name: breakerCookie, Value: cookie, Path: "/ws", HTTPOnly: true, SameSite: fiber.CookieSameSiteLaxMode})
	}
	c.Locals(requestKey, req)
	trimHeaders(c)
	return c.Next()
}

func refusalCode(err error) string {
	if errors.Is(err, errOrigin) {
		return "FORBIDDEN"
	}
	_, p := NewProblem(err)
	return p.Error.Code
}

func (l *Live) check(c *fiber.Ctx) (*request, error) {
	if !l.origins.allow(c.Get(fiber.HeaderOrigin), c.Get(fiber.HeaderHost)) {
		return nil, errOrigin
	}
	req, err := parseRequest(utils.CopyString(c.Params("flow")), utils.CopyString(c.Params("run")), func(key string) string {
		return utils.CopyString(c.Query(key))
	}, l.log.ID())
	if err != nil {
		return nil, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.draining:
		return nil, domain.E(domain.KindUnavailable, "", "", "the server restarts").WithCode("RESTARTING")
	case l.full(name.Stream(req.flow, req.run)):
		return nil, domain.E(domain.KindExhausted, "", "", "too many sockets are open; try again later").WithCode("SOCKETS_EXHAUSTED")
	}
	return req, nil
}

// trimHeaders drops what the handshake does not need: the library copies all headers, and the
// request stays in memory as long as the socket.
func trimHeaders(c *fiber.Ctx) {
	var drop []string
	for key := range c.Request().Header.All() {
		switch k := string(key); {
		case strings.HasPrefix(k, "Sec-Websocket-"), strings.HasPrefix(k, "Sec-WebSocket-"), k == fiber.HeaderConnection, k == fiber.HeaderUpgrade, k == fiber.HeaderHost:
		default:
			drop = append(drop, k)
		}
	}
	for _, k := range drop {
		c.Request().Header.Del(k)
	}
}

// origins is the check of browsers' origins: exact, without case, on scheme, host and port.
type origins struct {
	any  bool
	list map[string]bool
}

// errOrigin is answered with 403: no Kind stands for it, since it is no failure of Quipu's own.
var errOrigin = &originError{}

type originError struct{}

func (*originError) Error() string { return "the origin is not allowed" }

func newOrigins(allowed []string) origins {
	o := origins{list: map[string]bool{}}
	for _, a := range allowed {
		if a == "*" {
			o.any = true
		}
		o.list[strings.ToLower(strings.TrimSuffix(a, "/"))] = true
	}
	return o
}

// allow: no Origin means no browser. The server's own host is allowed by whatever scheme, since a
// proxy in front may end TLS.
func (o origins) allow(origin, host string) bool {
	if origin == "" || o.any {
		return true
	}
	origin = strings.ToLower(origin)
	if o.list[origin] {
		return true
	}
	u, err := url.Parse(origin)
	return err == nil && u.Host != "" && u.Host == strings.ToLower(host)
}
