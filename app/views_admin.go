package app

import (
	"bufio"
	"context"
	"encoding/json"
	"sync"
	"time"

	"github.com/gofiber/fiber/v2"

	"quipu/app/progress"
	"quipu/domain"
	"quipu/projections"
)

// registerViewsAdmin adds the routes behind quipu views rebuild and verify.
func (s *server) registerViewsAdmin() {
	s.web.App.Post("/admin/views/rebuild", s.streamViews(s.views.Runner.Rebuild))
	s.web.App.Post("/admin/views/verify", s.streamViews(s.views.Runner.Verify))
}

// viewsLinesMax is how many lines wait for a slow client; the work then waits for it.
const viewsLinesMax = 64

// streamViews answers with one JSON object a line while the work goes on, as long as the client stays.
func (s *server) streamViews(work progress.Work) fiber.Handler {
	return func(c *fiber.Ctx) error {
		if c.Get(fiber.HeaderOrigin) != "" {
			return domain.E(domain.KindRefused, "", "", "this route is not for browsers; use quipu views with --server").WithCode("NOT_FOR_BROWSERS")
		}
		ctx, cancel := context.WithCancel(s.intake)
		lines, first := make(chan progress.Line, viewsLinesMax), make(chan error, 1)
		go func() {
			defer close(lines)
			var once sync.Once
			answer := func(err error) (mine bool) {
				once.Do(func() { first <- err; mine = true })
				return mine
			}
			// Work that is refused fails before it tells anything; what takes long must not look dead.
			stop := s.Clock.AfterFunc(viewsAnswerAfter, func() { answer(nil) })
			defer stop()
			send := func(l progress.Line) {
				answer(nil)
				select {
				case lines <- l:
				case <-ctx.Done():
				}
			}
			result, err := work(ctx, func(p projections.Progress) { send(progress.Of(s.log.ID(), p)) })
			if err == nil || !answer(err) {
				send(progress.Last(s.log.ID(), result, err))
			}
		}()
		if err := <-first; err != nil {
			cancel()
			return err
		}
		c.Set(fiber.HeaderContentType, "application/x-ndjson")
		c.Context().SetBodyStreamWriter(func(w *bufio.Writer) {
			defer cancel()
			for line := range lines {
				b, err := json.Marshal(line)
				if err == nil {
					_, err = w.Write(append(b, '\n'))
				}
				if err == nil {
					err = w.Flush()
				}
				if err != nil {
					cancel()
					for range lines { //nolint:revive // until the work has noticed
					}
					return
				}
			}
		})
		return nil
	}
}

// viewsAnswerAfter is when the stream begins at the latest.
const viewsAnswerAfter = 200 * time.Millisecond
