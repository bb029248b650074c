package sqlite

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"math"
	"time"

	"quipu/domain"
	"quipu/projections"
	"quipu/projections/view"
)

// reading is a transaction that sees one state of a generation.
type reading struct {
	tx    *sql.Tx
	gen   *generation
	state projections.State
	width int64
}

// load reads the state row, which also fixes what the transaction sees.
func (r *reading) load(ctx context.Context) error {
	var versions string
	var log string
	var position int64
	err := r.tx.QueryRowContext(ctx, "SELECT log, position, versions, parked, width FROM state").
		Scan(&log, &position, &versions, &r.state.Parked, &r.width)
	if errors.Is(err, sql.ErrNoRows) {
		return corrupt("read", "the checkpoint is missing")
	}
	if err != nil {
		return translate(ctx, "read", err)
	}
	r.state.Checkpoint = view.Checkpoint{Log: domain.LogID(log), Position: domain.Position(position)}
	if err := json.Unmarshal([]byte(versions), &r.state.Versions); err != nil || r.width < 1 {
		return corrupt("read", "the checkpoint cannot be read")
	}
	return nil
}

// end gives the connection back. Nothing was written, so nothing can fail that matters.
func (r *reading) end() { _ = r.tx.Rollback() }

// attemptsMax is how often a query begins anew because its generation was replaced under it.
const attemptsMax = 10

// read runs f on the current generation.
func (v *Views) read(ctx context.Context, f func(r *reading) error) error {
	for attempt := 1; ; attempt++ {
		g, err := v.holdCurrent(ctx, "read")
		if err != nil {
			return err
		}
		err = v.readOn(ctx, g, g.readers, func(p pointer) bool { return p.Current == g.number }, f)
		g.release()
		if err != errReplaced || attempt == attemptsMax { //nolint:errorlint // never wrapped
			return translate(ctx, "read", err)
		}
	}
}

// errReplaced says that a generation was replaced before the reading had fixed what it sees.
var errReplaced error = domain.E(domain.KindUnavailable, "read", "views", "the generation was replaced")

// readOn runs f in a transaction on g, if g is still wanted once the transaction has begun. The files
// of a generation are removed only after the pointer left it: if it has not left, the transaction has
// seen all of them.
func (v *Views) readOn(ctx context.Context, g *generation, db *sql.DB, wanted func(pointer) bool, f func(r *reading) error) error {
	r, err := g.begin(ctx, db)
	if err == nil {
		defer r.end()
	}
	if p, perr := v.pointer(); perr == nil && !wanted(p) {
		if g.number != p.Current && g.number != p.Building {
			v.forget(g.number, !v.opts.ReadOnly)
		}
		return errReplaced
	}
	if err != nil {
		return err
	}
	return f(r)
}

// word is the word with a number.
func (r *reading) word(ctx context.Context, id int64) (string, error) {
	if id == 0 {
		return "", nil
	}
	if s, ok := r.gen.words.word(id); ok {
		return s, nil
	}
	var s string
	err := r.tx.QueryRowContext(ctx, "SELECT word FROM words WHERE id = ?", id).Scan(&s)
	if errors.Is(err, sql.ErrNoRows) {
		return "", corrupt("read", "a word is missing")
	}
	if err != nil {
		return "", err
	}
	r.gen.words.keep(id, s)
	return s, nil
}

// wordID is the number of a word; found is false if no row has it.
func (r *reading) wordID(ctx context.Context, s string) (id int64, found bool, err error) {
	if id, ok := r.gen.words.id(s); ok {
		return id, true, nil
	}
	err = r.tx.QueryRowContext(ctx, "SELECT id FROM words WHERE word = ?", s).Scan(&id)
	if errors.Is(err, sql.ErrNoRows) {
		return 0, false, nil
	}
	if err != nil {
		return 0, false, err
	}
	r.gen.words.keep(id, s)
	return id, true, nil
}

// resolve turns numbers into words.
func (r *reading) resolve(ctx context.Context, list ...wordRef) error {
	for _, ref := range list {
		s, err := r.word(ctx, ref.id)
		if err != nil {
			return err
		}
		*ref.into = s
	}
	return nil
}

type wordRef struct {
	id   int64
	into *string
}

// window is a range of positions, both ends inside; empty if low > high.
type window struct{ low, high int64 }

var everything = window{1, math.MaxInt64}

func (w window) empty() bool { return w.low > w.high }

// after keeps what lies beyond p.
func (w window) after(p domain.Position) window {
	if p >= math.MaxInt64 {
		return window{1, 0}
	}
	return window{max(w.low, int64(p)+1), w.high}
}

// before keeps what lies below p; p is not 0.
func (w window) before(p domain.Position) window { return window{w.low, min(w.high, at64(p-1))} }

// page keeps what follows the page's key.
func (w window) page(p view.Page) window {
	switch {
	case p.Key == 0:
		return w
	case p.Ascending:
		return w.after(p.Key)
	default:
		return w.before(p.Key)
	}
}

// bound is the first stored instant that is not before t.
func bound(t time.Time) int64 {
	ms := t.UnixMilli()
	if t.After(time.UnixMilli(ms)) {
		ms++
	}
	return ms
}

// times narrows w to where instants from <= at < to can be; zero bounds are left out. The rows inside
// are to be asked all the same.
func (r *reading) times(ctx context.Context, kind int64, w window, from, to time.Time) (window, error) {
	if !from.IsZero() {
		b, found, err := r.span(ctx, kind, "high >= ?", "ASC", bound(from))
		if err != nil || !found {
			return window{1, 0}, err
		}
		w.low = max(w.low, b*r.width)
	}
	if !to.IsZero() {
		b, found, err := r.span(ctx, kind, "low < ?", "DESC", bound(to))
		if err != nil || !found {
			return window{1, 0}, err
		}
		last := int64(math.MaxInt64)
		if b < last/r.width {
			last = (b+1)*r.width - 1
		}
		w.high = min(w.high, last)
	}
	return w, nil
}

// span finds the first span, in an order, that meets a condition on an instant.
func (r *reading) span(ctx context.Context, kind int64, condition, order string, at int64) (bucket int64, found bool, err error) {
	query := "SELECT bucket FROM spans WHERE kind = ? AND level = ? AND bucket BETWEEN ? AND ? AND " + condition + " ORDER BY bucket " + order + " LIMIT 1"
	err = r.tx.QueryRowContext(ctx, query, kind, 1, 0, int64(math.MaxInt64), at).Scan(&bucket)
	if err == nil {
		err = r.tx.QueryRowContext(ctx, query, kind, 0, bucket*spanFan, bucket*spanFan+spanFan-1, at).Scan(&bucket)
	}
	if errors.Is(err, sql.ErrNoRows) {
		return 0, false, nil
	}
	return bucket, err == nil, err
}
