package web

import (
	"errors"
	"net"
	"time"

	"github.com/gofiber/fiber/v2"

	"quipu/readapi"
)

// Bounds of what is read of a refused body or head.
const (
	lingerBytesMax = 64 << 20
	lingerTimeout  = 5 * time.Second
	// lingerIdle is how long the client may pause. It is a delay for those that sent everything and
	// wait, too, since nobody can tell a pause from the end.
	lingerIdle = 100 * time.Millisecond
)

// answerError is Fiber's error handler.
//
// A body or head that is too large is read to its end, within bounds, before the 413 or 431 goes out:
// closing a connection with unread bytes resets it, and the client, still writing, would see a broken
// pipe in place of the answer.
func (s *Server) answerError(c *fiber.Ctx, err error) error {
	var fe *fiber.Error
	if errors.As(err, &fe) && (fe.Code == fiber.StatusRequestEntityTooLarge || fe.Code == fiber.StatusRequestHeaderFieldsTooLarge) {
		s.readAway(c.Context().Conn())
	}
	return readapi.ErrorHandler(c, err)
}

func (s *Server) readAway(conn net.Conn) {
	end := s.Clock.Now().Add(lingerTimeout)
	waste := make([]byte, 64<<10)
	for read := 0; read < lingerBytesMax; {
		now := s.Clock.Now()
		if now.After(end) || conn.SetReadDeadline(now.Add(lingerIdle)) != nil {
			break
		}
		n, err := conn.Read(waste)
		read += n
		var timeout net.Error
		if err != nil && (n == 0 || !errors.As(err, &timeout)) {
			break
		}
	}
	_ = conn.SetReadDeadline(time.Time{})
}
