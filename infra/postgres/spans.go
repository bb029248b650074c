package postgres

import (
	"time"

	"quipu/domain"
	"quipu/projections/view"
)

// spanEvents is how many events a span covers, about: a filter by time reads one row for so many.
const spanEvents = 1024

// span says in which instants the events at positions [from, to] lie. Spans may overlap; together they
// cover all events.
type span struct {
	from, to domain.Position
	events   int64
	min, max time.Time
}

// spansOf returns the spans that events, in order of position, add or widen, tail among them if it has
// room left.
func spansOf(tail span, events []view.Event) (out []span) {
	if tail.events > 0 && tail.events < spanEvents {
		out = append(out, tail)
	}
	for i := range events {
		e := &events[i]
		at := domain.Instant(e.At)
		n := len(out) - 1
		if n < 0 || out[n].events >= spanEvents {
			out = append(out, span{e.Position, e.Position, 1, at, at})
			continue
		}
		s := &out[n]
		s.to = e.Position
		s.events++
		if at.Before(s.min) {
			s.min = at
		}
		if at.After(s.max) {
			s.max = at
		}
	}
	return out
}

func (r *rows) span(s *span) {
	r.begin()
	r.position(s.from)
	r.position(s.to)
	r.big(s.events)
	r.instant(s.min)
	r.instant(s.max)
}
