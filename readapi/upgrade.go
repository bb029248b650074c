package readapi

import (
	"fmt"
	"strings"

	"github.com/gofiber/contrib/websocket"
	"github.com/gofiber/fiber/v2"

	"quipu/domain"
)

// admittedKey is where admit leaves the checked request for serve.
const admittedKey = "quipu.socket"

// admitted is a request that may become a socket.
type admitted struct {
	upgrade *Upgrade
	dialect string
	deflate bool
}

// admit decides before the handshake, while an answer can still be JSON with a status: after it,
// every refusal would be a close code, and the library answers 426 to whatever it refuses.
func (s *Sockets) admit(c *fiber.Ctx, dialect string, of func(*fiber.Ctx) (*Upgrade, error)) error {
	u, err := s.check(c, of)
	if err != nil {
		if f := s.options.Hooks.Refused; f != nil {
			f(dialect, refusalCode(err))
		}
		return WriteProblem(c, err)
	}
	if !websocket.IsWebSocketUpgrade(c) {
		s.withdraw(u)
		return ErrorHandler(c, fiber.ErrUpgradeRequired)
	}
	if u.Accepted != nil {
		u.Accepted(c)
	}
	a := &admitted{upgrade: u, dialect: dialect, deflate: s.options.Compression && offersDeflate(c.Get(fiber.HeaderSecWebSocketExtensions))}
	c.Locals(admittedKey, a)
	trimHeaders(c)
	if a.deflate {
		c.Request().Header.Set(fiber.HeaderSecWebSocketExtensions, perMessageDeflate) // alone: the library agrees to what stands there
	}
	if u.Subprotocol != "" {
		// The library echoes what stands in the answer's header when it has no list of its own.
		c.Set(fiber.HeaderSecWebSocketProtocol, u.Subprotocol)
	}
	err = c.Next()
	if err != nil || c.Response().StatusCode() != fiber.StatusSwitchingProtocols {
		s.withdraw(u)
	}
	return err
}

func refusalCode(err error) string {
	_, p := NewProblem(err)
	return p.Error.Code
}

func (s *Sockets) check(c *fiber.Ctx, of func(*fiber.Ctx) (*Upgrade, error)) (*Upgrade, error) {
	u, err := of(c)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.draining {
		return nil, domain.E(domain.KindUnavailable, "", "", restarts).WithCode("RESTARTING")
	}
	if full, group := s.full(u); full {
		message := "too many sockets are open; try again later"
		if group > 0 {
			message = fmt.Sprintf("%d sockets are open here, which are all that one name or endpoint may have; close some, or try again later", group)
		}
		return nil, domain.E(domain.KindExhausted, "", "", message).WithCode("SOCKETS_EXHAUSTED")
	}
	s.promise(u)
	return u, nil
}

// trimHeaders drops what the handshake does not need: the library copies all headers, and the
// request stays in memory as long as the socket.
func trimHeaders(c *fiber.Ctx) {
	var drop []string
	for key := range c.Request().Header.All() {
		switch k := string(key); {
		case strings.EqualFold(k, fiber.HeaderSecWebSocketExtensions):
			drop = append(drop, k) // the library reads it otherwise than we do
		case strings.HasPrefix(k, "Sec-Websocket-"), strings.HasPrefix(k, "Sec-WebSocket-"), k == fiber.HeaderConnection, k == fiber.HeaderUpgrade, k == fiber.HeaderHost:
		default:
			drop = append(drop, k)
		}
	}
	for _, k := range drop {
		c.Request().Header.Del(k)
	}
}
