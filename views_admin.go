package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/gofiber/fiber/v2"

	"quipu/domain"
	"quipu/infra/clock"
	"quipu/infra/config"
	"quipu/infra/embedded"
	"quipu/projections"
)

// viewsLine is one line of a rebuild or check under way: what the route streams and what the command
// prints. Exactly one of its parts is set.
type viewsLine struct {
	Step       projections.Step        `json:"step,omitempty"`
	Position   string                  `json:"position,omitempty"`
	Target     string                  `json:"target,omitempty"`
	Rows       int                     `json:"rows,omitempty"` // compared so far
	Note       string                  `json:"note,omitempty"`
	Difference *projections.Difference `json:"difference,omitempty"`
	Result     *viewsResult            `json:"result,omitempty"` // the last line, if it went well
	Error      string                  `json:"error,omitempty"`  // the last line otherwise
	Code       string                  `json:"code,omitempty"`
}

type viewsResult struct {
	Position    string  `json:"position"`
	Compared    bool    `json:"compared"`
	ComparedAt  string  `json:"compared_at,omitempty"`
	Rows        int     `json:"rows"`
	Differences int     `json:"differences"`
	Parked      int     `json:"parked"`
	TookSeconds float64 `json:"took_seconds"`
}

func progressLine(log domain.LogID, p projections.Progress) viewsLine {
	l := viewsLine{Step: p.Step, Rows: p.Rows, Note: p.Note, Difference: p.Difference}
	if p.Target > 0 {
		l.Position, l.Target = p.Position.Cursor(log), p.Target.Cursor(log)
	}
	return l
}

func lastLine(log domain.LogID, r projections.Result, err error) viewsLine {
	if err != nil {
		l := viewsLine{Error: err.Error()}
		var coded *domain.Error
		if errors.As(err, &coded) {
			l.Code = coded.Code
		}
		return l
	}
	out := &viewsResult{
		Position: r.Position.Cursor(log), Compared: r.Compared, Rows: r.Rows, Differences: r.Differences,
		Parked: r.Parked, TookSeconds: r.Took.Seconds(),
	}
	if r.Compared {
		out.ComparedAt = r.ComparedAt.Cursor(log)
	}
	return viewsLine{Result: out}
}

// text renders a line for people.
func (l viewsLine) text() string {
	switch {
	case l.Difference != nil:
		return "difference: " + l.Difference.String()
	case l.Result != nil && !l.Result.Compared:
		return fmt.Sprintf("built up to %s in %.1f s, %d events parked; nothing was compared", l.Result.Position, l.Result.TookSeconds, l.Result.Parked)
	case l.Result != nil:
		return fmt.Sprintf("built up to %s in %.1f s, %d events parked; %d rows compared at %s: %d differences",
			l.Result.Position, l.Result.TookSeconds, l.Result.Parked, l.Result.Rows, l.Result.ComparedAt, l.Result.Differences)
	case l.Error != "":
		return l.Error
	case l.Note != "":
		return l.Note
	case l.Rows > 0:
		return fmt.Sprintf("%s: %d rows", l.Step, l.Rows)
	}
	return fmt.Sprintf("%s: %s of %s", l.Step, l.Position, l.Target)
}

// viewsWork is Rebuild or Verify.
type viewsWork func(context.Context, func(projections.Progress)) (projections.Result, error)

// registerViewsAdmin adds the routes behind quipu views rebuild and verify.
func (s *server) registerViewsAdmin() {
	s.app.Post("/admin/views/rebuild", s.streamViews(s.views.Rebuild))
	s.app.Post("/admin/views/verify", s.streamViews(s.views.Verify))
}

// viewsLinesMax is how many lines wait for a slow client; the work then waits for it.
const viewsLinesMax = 64

// streamViews answers with one JSON object a line while the work goes on, as long as the client stays.
func (s *server) streamViews(work viewsWork) fiber.Handler {
	return func(c *fiber.Ctx) error {
		if c.Get(fiber.HeaderOrigin) != "" {
			return domain.E(domain.KindRefused, "", "", "this route is not for browsers; use quipu views with --server").WithCode("NOT_FOR_BROWSERS")
		}
		ctx, cancel := context.WithCancel(s.intake)
		lines, first := make(chan viewsLine, viewsLinesMax), make(chan error, 1)
		go func() {
			defer close(lines)
			var once sync.Once
			answer := func(err error) (mine bool) {
				once.Do(func() { first <- err; mine = true })
				return mine
			}
			// Work that is refused fails before it tells anything; what takes long must not look dead.
			stop := s.clock.AfterFunc(viewsAnswerAfter, func() { answer(nil) })
			defer stop()
			send := func(l viewsLine) {
				answer(nil)
				select {
				case lines <- l:
				case <-ctx.Done():
				}
			}
			result, err := work(ctx, func(p projections.Progress) { send(progressLine(s.log.ID(), p)) })
			if err == nil || !answer(err) {
				send(lastLine(s.log.ID(), result, err))
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

// viewsCommand carries out quipu views rebuild or verify.
func viewsCommand(ctx context.Context, inv config.Invocation, logger *slog.Logger, stdout io.Writer) error {
	name := strings.TrimPrefix(inv.Command, "views ")
	var last viewsLine
	show := func(l viewsLine) {
		last = l
		if l.Error == "" { // main prints errors
			fmt.Fprintln(stdout, l.text())
		}
	}
	var err error
	if inv.ViewsServer != "" {
		err = viewsThere(ctx, inv.ViewsServer, inv.APIKey, name, show)
	} else {
		err = viewsHere(ctx, inv.Config, name, logger, show)
	}
	switch {
	case err != nil:
		return fmt.Errorf("views %s: %w", name, err)
	case last.Result == nil:
		return fmt.Errorf("views %s: the server ended the answer before the work was done", name)
	case name == "verify" && last.Result.Differences > 0:
		return fmt.Errorf("views verify: %d differences; `quipu views rebuild` makes the views equal to the log", last.Result.Differences)
	}
	return nil
}

// viewsThere lets a running server do the work.
func viewsThere(ctx context.Context, server string, key config.Secret, name string, show func(viewsLine)) error {
	url := "http://" + serverHost(server) + "/admin/views/" + name
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, url, nil)
	if err != nil {
		return fmt.Errorf("--server: %w", err)
	}
	withKey(request.Header, key)
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return fmt.Errorf("set --server to where a server is, or leave it out to work on the folder that --data names: %w", err)
	}
	defer func() { _ = response.Body.Close() }()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s", response.Status, problemText(response))
	}
	lines := json.NewDecoder(response.Body)
	for {
		var line viewsLine
		switch err := lines.Decode(&line); {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		case line.Error != "":
			return errors.New(line.Error)
		}
		show(line)
	}
}

// viewsHere does the work on a folder: a check also beside the server, a rebuild only without one.
func viewsHere(ctx context.Context, c config.Config, name string, logger *slog.Logger, show func(viewsLine)) error {
	if c.Log.Remote() {
		if name == "verify" {
			return verifyViewsBeside(ctx, c, logger, show)
		}
		// Another node may own the views, and nothing here would keep the two apart.
		return errors.New("the views of a log that nodes share are built anew by one of them: name it with --server")
	}
	switch _, unopened, err := embedded.Unopened(logDir(c.Storage.Data)); {
	case err != nil:
		return fmt.Errorf("set --data to a server's data folder: %w", err)
	case unopened:
		return fmt.Errorf("%s is a backup that no server has opened: it has no views; start a server on it", c.Storage.Data)
	}
	if name == "verify" {
		return verifyViewsBeside(ctx, c, logger, show)
	}
	return rebuildViewsHere(ctx, c, logger, show)
}

func rebuildViewsHere(ctx context.Context, c config.Config, logger *slog.Logger, show func(viewsLine)) (err error) {
	log, err := embedded.Open(logDir(c.Storage.Data), embedded.Options{Logger: logger, Clock: clock.System{}.Now})
	if err != nil {
		return fmt.Errorf("a rebuild is done by the running server, which --server names, or on the folder of a stopped one: %w", err)
	}
	defer func() { err = errors.Join(err, log.Close()) }()
	store, err := openViews(ctx, c, log)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	return watched(ctx, log.ID(), newRunner(store, viewsFeed{log}, nil, c, logger, projections.Hooks{}).Rebuild, show)
}

// watched does the work and shows its lines.
func watched(ctx context.Context, log domain.LogID, work viewsWork, show func(viewsLine)) error {
	result, err := work(ctx, func(p projections.Progress) { show(progressLine(log, p)) })
	if err == nil {
		show(lastLine(log, result, nil))
	}
	return err
}
