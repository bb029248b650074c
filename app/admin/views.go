package admin

import (
	"bufio"
	"context"
	"encoding/json"
	"sync"
	"time"

	"github.com/gofiber/fiber/v2"

	"quipu/apidoc"
	"quipu/app/progress"
	"quipu/domain"
	"quipu/projections"
)

// viewsLinesMax is how many lines wait for a slow client; the work then waits for it.
const viewsLinesMax = 64

// streamViews answers with one JSON object a line while the work goes on, as long as the client stays.
func (r *routes) streamViews(work progress.Work) fiber.Handler {
	return func(c *fiber.Ctx) error {
		if c.Get(fiber.HeaderOrigin) != "" {
			return domain.E(domain.KindRefused, "", "", "this route is not for browsers; use quipu views with --server").WithCode("NOT_FOR_BROWSERS")
		}
		ctx, cancel := context.WithCancel(r.Stop)
		lines, first := make(chan progress.Line, viewsLinesMax), make(chan error, 1)
		go func() {
			defer close(lines)
			var once sync.Once
			answer := func(err error) (mine bool) {
				once.Do(func() { first <- err; mine = true })
				return mine
			}
			// Work that is refused fails before it tells anything; what takes long must not look dead.
			stop := r.AfterFunc(viewsAnswerAfter, func() { answer(nil) })
			defer stop()
			send := func(l progress.Line) {
				answer(nil)
				select {
				case lines <- l:
				case <-ctx.Done():
				}
			}
			result, err := work(ctx, func(p projections.Progress) { send(progress.Of(r.Log, p)) })
			if err == nil || !answer(err) {
				send(progress.Last(r.Log, result, err))
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

// viewsOperations describes the routes.
func viewsOperations() []apidoc.Operation {
	lines := apidoc.Answer{
		Status: 200, Doc: "One JSON object a line while the work goes on; the last has result or error.", MediaType: "application/x-ndjson", Of: apidoc.Text(""),
		Example: `{"result":{"position":"644bdb7e-a5f6-4f73-9fd3-067000e8c6c3-000000000000002a","compared":true,"rows":12,"differences":0,"parked":0,"took_seconds":0.1}}`,
	}
	busy := []apidoc.Refusal{
		{Status: 409, Code: "NOT_FOR_BROWSERS", Message: "this route is not for browsers; use quipu views with --server"},
		{Status: 503, Code: "VIEWS_UNAVAILABLE", Message: "the views cannot be reached now"},
	}
	return []apidoc.Operation{
		{
			Method: "POST", Path: "/admin/views/rebuild", ID: "rebuildViews", Tag: "operation", Summary: "Build the views anew beside the old, compare, swap",
			Answers: []apidoc.Answer{lines}, Refusals: busy,
		},
		{
			Method: "POST", Path: "/admin/views/verify", ID: "verifyViews", Tag: "operation", Summary: "Compare the views with the log",
			Answers: []apidoc.Answer{lines}, Refusals: busy,
		},
	}
}
