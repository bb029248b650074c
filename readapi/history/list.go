package history

import (
	"context"
	"errors"
	"time"

	"github.com/gofiber/fiber/v2"

	"quipu/domain"
	"quipu/domain/rawjson"
	"quipu/projections/view"
	"quipu/readapi/object"
	"quipu/readapi/params"
)

// lister is how one list is asked for and shown.
type lister[Row any] struct {
	// asked are the parameters of the route, to find those that a client has nearly named.
	asked []params.Param
	query func(ctx context.Context, page view.Page) (view.Slice[Row], error)
	// show appends one row.
	show func(ctx context.Context, dst []byte, row *Row) ([]byte, error)
	key  func(row *Row) domain.Position
	// pinned says that the list's rows depend on the position it is read at, so that its cursor must
	// carry that.
	pinned bool
}

// serve answers with a page: {items, count, total?, limit, offset?, next_cursor?, view_position, fresh, warnings?}.
//
// It waits for freshness first, then takes its place among the readers, so that waiting costs none.
func serve[Row any](r *Routes, c *fiber.Ctx, p paging, l lister[Row]) error {
	seen, refused, err := r.await(c.UserContext(), p.atLeast)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(c.UserContext(), r.options.ReadTimeout)
	defer cancel()
	if err := r.lists.enter(ctx); err != nil {
		return err
	}
	defer r.lists.leave()
	slice, err := l.query(ctx, p.page)
	if err != nil {
		return viewsError(err)
	}
	if err := r.checkView(slice.As, p.atLeast, refused); err != nil {
		return err
	}
	o := object.New(make([]byte, 0, 4096))
	o.Open("data")
	o.Key("items")
	o.B = append(o.B, '[')
	began, shown := len(o.B), 0
	for ; shown < len(slice.Rows); shown++ {
		if shown > 0 && len(o.B)-began > r.options.PageBytesMax {
			break
		}
		o.Item()
		if o.B, err = l.show(ctx, o.B, &slice.Rows[shown]); err != nil {
			return timedOut(err)
		}
	}
	o.B = append(o.B, ']')
	o.Int("count", int64(shown))
	if p.page.Total {
		o.Int("total", int64(slice.Total))
		o.Bool("total_capped", slice.Total > view.TotalMax)
	}
	o.Int("limit", int64(p.page.Limit))
	if p.offset != nil {
		o.Int("offset", int64(*p.offset))
	}
	if shown > 0 && (slice.More || shown < len(slice.Rows)) {
		next := cursor{
			list: p.list, ascending: p.page.Ascending, filters: p.filters, log: r.deps.Log.ID(),
			key: l.key(&slice.Rows[shown-1]), asOf: p.asOf,
		}
		if l.pinned && next.asOf == 0 {
			next.asOf = slice.As.Position
		}
		o.Str("next_cursor", next.String())
	} else {
		o.Null("next_cursor")
	}
	o.Position("view_position", r.deps.Log.ID(), slice.As.Position)
	o.Bool("fresh", !refused && slice.As.Position >= seen)
	appendWarnings(o, params.Near(params.Read(c), l.asked))
	o.Close()
	o.Str("status", "success")
	return sendJSON(c, o.Done())
}

// appendWarnings adds what is no error and likely not what was meant; without any it adds nothing.
func appendWarnings(o *object.Builder, warnings []string) {
	if len(warnings) == 0 {
		return
	}
	b := []byte{'['}
	for i, w := range warnings {
		if i > 0 {
			b = append(b, ',')
		}
		b = rawjson.AppendString(b, w)
	}
	o.Raw("warnings", append(b, ']'))
}

// await waits, bounded, until the views have come as far as this node has seen the log, and as far as
// the client asks for. It returns the former: whether that was reached is told by the rows read, unless
// the views are refused. Their rows may then reach as far as those of this log and be of another.
func (r *Routes) await(ctx context.Context, atLeast domain.Position) (seen domain.Position, refused bool, err error) {
	if err := r.checkHead(ctx, atLeast); err != nil {
		return 0, false, err
	}
	seen = r.deps.Freshness.Seen()
	var target domain.Position // 0 is there at once
	if r.options.FreshWait >= 0 && r.waiters.try() {
		defer r.waiters.leave()
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, r.options.FreshWait)
		defer cancel()
		target = max(seen, atLeast)
	}
	// Why else it did not get there is the view's own business: the rows say how far it is, and reading
	// them says whether it can be asked at all.
	_, err = r.deps.Freshness.Wait(ctx, target)
	return seen, errors.Is(err, domain.ErrUnavailable), nil
}

// checkView refuses rows that are not of this log, or older than the client takes.
func (r *Routes) checkView(as view.Checkpoint, atLeast domain.Position, refused bool) error {
	log := r.deps.Log.ID()
	if as.Log != "" && as.Log != log {
		return domain.E(domain.KindUnavailable, "", "", "the views belong to another log; run `quipu views rebuild`").
			WithCode("VIEWS_UNAVAILABLE").WithDetails(map[string]any{"view_log": string(as.Log), "log": string(log)})
	}
	if as.Position < atLeast || refused && atLeast > 0 {
		return stale("the view has not reached that position yet; try again, or ask without at_least", "query/at_least", as.Position.Cursor(log))
	}
	return nil
}

// stale says that the views have not come far enough for an answer.
func stale(message, field, viewPosition string) error {
	return domain.E(domain.KindUnavailable, "", "", message).WithField(field).WithCode("STALE").
		WithDetails(map[string]any{"view_position": viewPosition})
}

// viewsError says in the client's words why a list cannot be had. What the database said stays in the
// log lines.
func viewsError(err error) error {
	switch {
	case isTimeout(err):
		return timedOut(err)
	case errors.Is(err, domain.ErrUnavailable), errors.Is(err, domain.ErrIndeterminate):
		return &domain.Error{
			Kind: domain.KindUnavailable, Op: "query views", Code: "VIEWS_UNAVAILABLE", Cause: err,
			Message: "the views cannot be read now, so lists cannot be had; reads by id, commands and sockets go on",
		}
	case errors.Is(err, domain.ErrCorrupt) && !isLogDamage(err):
		return &domain.Error{
			Kind: domain.KindUnavailable, Op: "query views", Code: "VIEWS_UNAVAILABLE", Cause: err,
			Message: "the views are damaged, so lists cannot be had until they are built anew; reads by id, commands and sockets go on",
		}
	}
	return err
}

// isLogDamage reports whether err is the log's own, which is no passing state.
func isLogDamage(err error) bool {
	var e *domain.Error
	return errors.As(err, &e) && e.Code == view.CodeLogDamaged
}

// timedOut turns the end of the read's time into an answer that says so.
func timedOut(err error) error {
	if !isTimeout(err) {
		return err
	}
	return &domain.Error{
		Kind: domain.KindDeadline, Op: "read", Code: "READ_TIMEOUT", Cause: err,
		Message: "reading took too long and was given up; narrow the filters or ask for less, unless /health/ready says that a part is slow",
	}
}

func isTimeout(err error) bool {
	return errors.Is(err, domain.ErrDeadline) || errors.Is(err, context.DeadlineExceeded)
}

// sendJSON answers with a body that is JSON already.
func sendJSON(c *fiber.Ctx, b []byte) error {
	c.Set(fiber.HeaderContentType, fiber.MIMEApplicationJSON)
	c.Set(fiber.HeaderCacheControl, "no-store")
	return c.Send(b)
}

// storedBound is a bound of a range in stored precision; the zero instant stays.
func storedBound(t time.Time) time.Time {
	if t.IsZero() {
		return t
	}
	return params.Ceil(t)
}
