package web

import (
	"sync"
	"time"

	"github.com/gofiber/fiber/v2"
)

// tellFailedEvery is how often a line tells that a route cannot be served. While a part is away every request
// fails for the same reason, and lines about each would bury the one that says why, or fill the disk.
const tellFailedEvery = time.Second

// failures knows which lines about failed requests were written of late. There are as many entries as routes
// and statuses. The zero value is ready.
type failures struct {
	mu   sync.Mutex
	told map[failure]told
}

type failure struct {
	route  string
	status int
}

type told struct {
	until time.Time
	more  int // since the last line
}

// ask reports whether to write a line now, and how many were left out before it.
func (f *failures) ask(what failure, now time.Time) (more int, tell bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	was := f.told[what]
	if now.Before(was.until) {
		was.more++
		f.told[what] = was
		return 0, false
	}
	if f.told == nil {
		f.told = map[failure]told{}
	}
	f.told[what] = told{until: now.Add(tellFailedEvery)}
	return was.more, true
}

// tellFailed writes a line about a request that was answered with a 5xx. Each fault of ours is told; of what a
// part that is away makes fail one line a second and route.
func (s *Server) tellFailed(route string, status int, err error) {
	more := 0
	if status != fiber.StatusInternalServerError {
		var tell bool
		if more, tell = s.failed.ask(failure{route, status}, s.Clock.Now()); !tell {
			return
		}
	}
	s.Logger.Error("request failed", "route", route, "status", status, "error", err, "more_since_last_line", more)
}
