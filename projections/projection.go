package projections

import (
	"context"
	"errors"
	"maps"
	"math"
	"slices"

	"quipu/domain"
	"quipu/projections/view"
)

// everything is the target of a projection that has none.
const everything = domain.Position(math.MaxUint64)

// projection brings one generation up to the log. It belongs to one goroutine, but for the parts that
// Runner guards with its turn.
type projection struct {
	feed        Feed
	batchEvents int

	store    Store
	state    State
	versions map[string]int // what commits say made the rows
	cache    *cache

	source     Source
	pending    []domain.Recorded // read and not committed yet
	considered domain.Position   // how far the log was read
	caughtUp   bool              // that was its head
	limit      int               // events of the next commit; fewer while an event at fault is sought
	suspects   domain.Position   // up to here the commit is kept small
}

// committed tells what a step did.
type committed struct {
	events, rows int
	batch        []domain.Recorded // the events themselves, if they were stored in one go
	parked       []view.Parked
}

// feedError marks a failure of the log, to tell it from one of the database.
type feedError struct{ error }

func (e feedError) Unwrap() error { return e.error }

func newProjection(feed Feed, batchEvents int, store Store, state State) *projection {
	p := &projection{feed: feed, batchEvents: batchEvents}
	p.use(store, state)
	return p
}

// use makes p go on with another generation, keeping what was read of the log if it fits.
func (p *projection) use(store Store, state State) {
	p.store, p.state, p.cache, p.limit = store, state, newCache(), p.batchEvents
	if p.versions = state.Versions; len(p.versions) == 0 {
		p.versions = Versions()
	}
	if p.source != nil && p.firstMissing() > state.Position {
		p.disconnect() // it has to be read from further back
	}
}

// firstMissing is the position after which p holds everything: rows up to there are needed.
func (p *projection) firstMissing() domain.Position {
	if len(p.pending) > 0 {
		return p.pending[0].Position - 1
	}
	return p.considered
}

// reload reads the checkpoint again after somebody else may have moved it.
func (p *projection) reload(ctx context.Context) error {
	state, err := p.store.State(ctx)
	if err != nil {
		return err
	}
	p.use(p.store, state)
	return nil
}

func (p *projection) disconnect() {
	if p.source != nil {
		_ = p.source.Close() // it is over either way
	}
	p.source, p.pending, p.considered, p.caughtUp = nil, nil, 0, false
}

// read fills pending with what the log has after the checkpoint: it waits for one page if there is
// none, then takes further ones while the log has more and the bound allows.
func (p *projection) read(ctx context.Context) error {
	if p.source == nil {
		source, err := p.feed.Follow(ctx, p.state.Position)
		if err != nil {
			return feedError{err}
		}
		p.source, p.considered = source, p.state.Position
	}
	p.trim()
	size := bytesOf(p.pending)
	for len(p.pending) == 0 && p.considered <= p.state.Position || len(p.pending) < p.batchEvents && size < BatchBytesMax && !p.caughtUp {
		events, position, caughtUp, err := p.source.Next(ctx)
		if err != nil {
			if kind := domain.KindOf(err); kind != domain.KindCanceled && kind != domain.KindDeadline {
				p.disconnect()
			}
			return feedError{err}
		}
		events = ours(events)
		if len(p.pending) == 0 {
			p.pending = events[:len(events):len(events)] // shared: never appended to in place
		} else {
			p.pending = append(p.pending, events...)
		}
		size += bytesOf(events)
		p.considered, p.caughtUp = max(p.considered, position), caughtUp
		p.trim()
	}
	return nil
}

// ours leaves out the events of streams that are not Quipu's own. What it is given is shared, and
// mostly all of it is ours.
func ours(events []domain.Recorded) []domain.Recorded {
	external := func(e domain.Recorded) bool { return e.Stream.External() }
	if !slices.ContainsFunc(events, external) {
		return events
	}
	return slices.DeleteFunc(slices.Clone(events), external)
}

// bytesOf is what events take in memory, about.
func bytesOf(events []domain.Recorded) (n int) {
	for i := range events {
		n += len(events[i].Data) + len(events[i].Metadata)
	}
	return n
}

// trim drops what the rows hold already.
func (p *projection) trim() {
	for len(p.pending) > 0 && p.pending[0].Position <= p.state.Position {
		p.pending = p.pending[1:]
	}
}

// behind reports whether there is something to commit up to a position.
func (p *projection) behind(until domain.Position) bool {
	return p.state.Position < min(until, p.considered)
}

// commit folds and stores the next of what was read, none beyond until.
//
// Errors: those of the store. Nothing is skipped on any of them: the next call goes on where the
// rows are.
func (p *projection) commit(ctx context.Context, until domain.Position) (committed, error) {
	p.trim()
	events, to := p.next(until)
	if to <= p.state.Position {
		return committed{}, nil
	}
	known, err := p.load(ctx, events)
	if err != nil {
		return committed{}, err
	}
	folded := Fold(known, events)
	c := folded.Changes
	err = p.store.Commit(ctx, p.complete(&c, to))
	switch {
	case err == nil:
		p.cache.put(folded.Runs)
		done := p.done(&c, len(events))
		done.batch = events
		return done, nil
	case errors.Is(err, domain.ErrUnprocessable) && len(events) > 1:
		// One of them is at fault; halves find it.
		p.suspects, p.limit = max(p.suspects, events[len(events)-1].Position), len(events)/2
		return committed{}, nil
	case errors.Is(err, domain.ErrUnprocessable):
		return p.commitParked(ctx, known, events[0], to, err)
	case errors.Is(err, domain.ErrIndeterminate):
		if again := p.reload(ctx); again != nil {
			return committed{}, again
		}
		if p.state.Position == to {
			return committed{len(events), rowsOf(&c), events, c.Parked}, nil // it had happened
		}
	}
	return committed{}, err
}

// next cuts the events of one commit off pending, and says where the checkpoint moves.
func (p *projection) next(until domain.Position) ([]domain.Recorded, domain.Position) {
	if p.state.Position >= p.suspects {
		p.limit = p.batchEvents
	}
	n, size := 0, 0
	for n < len(p.pending) && n < p.limit && p.pending[n].Position <= until {
		size += len(p.pending[n].Data) + len(p.pending[n].Metadata)
		if n > 0 && size > BatchBytesMax {
			break
		}
		n++
	}
	if n < len(p.pending) && p.pending[n].Position <= until {
		return p.pending[:n], p.pending[n-1].Position
	}
	return p.pending[:n], min(until, p.considered)
}

// load gets the rows that events change, from memory if they are there.
func (p *projection) load(ctx context.Context, events []domain.Recorded) (Known, error) {
	runs, workflows := Needs(events)
	known := Known{Runs: make(map[string]Run, len(runs))}
	if missing := p.cache.take(runs, known.Runs); len(missing) > 0 {
		loaded, err := p.store.Runs(ctx, missing)
		if err != nil {
			return known, err
		}
		maps.Copy(known.Runs, loaded)
	}
	if len(workflows) > 0 {
		var err error
		if known.Workflows, err = p.store.Workflows(ctx, workflows); err != nil {
			return known, err
		}
	}
	return known, nil
}

func (p *projection) complete(c *Changes, to domain.Position) Changes {
	c.Log, c.After, c.To, c.Versions = p.feed.ID(), p.state.Position, to, p.versions
	return *c
}

func (p *projection) done(c *Changes, events int) committed {
	p.state.Log, p.state.Position, p.state.Versions = c.Log, c.To, c.Versions
	p.state.Parked += len(c.Parked)
	p.trim()
	return committed{events: events, rows: rowsOf(c), parked: c.Parked}
}

// commitParked stores the one event whose rows the database refuses for what they are: its row in
// events alone and, if that is refused too, nothing but the note.
func (p *projection) commitParked(ctx context.Context, known Known, e domain.Recorded, to domain.Position, cause error) (committed, error) {
	f := decode(&e)
	row := Fold(known, []domain.Recorded{e}).Changes.Events[0]
	if row.Execution == e.Position {
		row.Execution, row.ExecutionID, row.WorkflowID = 0, "", "" // the execution it begins is not stored
	}
	e.Type = cleanText(e.Type, domain.EventTypeBytesMax)
	e.Stream = domain.StreamID(cleanText(string(e.Stream), domain.StreamIDBytesMax))
	note := park("store", &f, cause)
	for _, c := range []Changes{{Events: []view.Event{row}, Parked: []view.Parked{note}}, {Parked: []view.Parked{note}}} {
		err := p.store.Commit(ctx, p.complete(&c, to))
		if err == nil {
			return p.done(&c, 1), nil
		}
		if !errors.Is(err, domain.ErrUnprocessable) {
			return committed{}, err
		}
		cause = err
	}
	return committed{}, cause
}

func rowsOf(c *Changes) int {
	return len(c.Executions) + len(c.Statuses) + len(c.Tasks) + len(c.Events) + len(c.Workflows) +
		len(c.WorkflowVersions) + len(c.Names) + len(c.Endpoints) + len(c.Parked)
}
