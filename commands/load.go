package commands

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"runtime/debug"

	"quipu/domain"
	"quipu/domain/run"
	"quipu/domain/wire"
	"quipu/domain/workflow"
)

// loaded is a run folded from its stream.
type loaded struct {
	state   *run.State
	head    wire.Head
	secrets []run.Secret
	trace   string // W3C traceparent that the run began with, "" if none
	keyed   map[string]keyed
	// since are the events after the revision asked for.
	since []stored
}

// stored is an event found in a stream.
type stored struct {
	event    run.Event
	id       domain.EventID
	command  string
	trace    string
	revision domain.Revision
	position domain.Position
}

// readPage is how many events one read of a stream asks for.
const readPage = 500

// load folds a run. after says from which revision on its events are kept; endOfStream keeps none.
// Errors: ErrNotFound if the run has no event; ErrCorrupt if it cannot be folded; ErrInternal if
// folding it panics, which must not end the process: it would again at each start.
func load(ctx context.Context, log Log, blobs Blobs, stream domain.StreamID, after domain.Revision) (l loaded, err error) {
	defer func() {
		if r := recover(); r != nil {
			l, err = loaded{}, panicError("load", string(stream), r)
		}
	}()
	l = loaded{state: run.New(), head: wire.NewHead()}
	for {
		page, err := log.ReadStream(ctx, stream, l.head.Revision+1, readPage)
		if err != nil {
			return l, fmt.Errorf("load %s: %w", stream, err)
		}
		if len(page) == 0 {
			return l, nil
		}
		facts := make([]run.Fact, len(page))
		for i := range page {
			if facts[i], err = l.fact(ctx, blobs, &page[i], after); err != nil {
				return l, fmt.Errorf("load %s at revision %d: %w", stream, page[i].Revision, err)
			}
		}
		if l.state, err = run.Fold(l.state, facts...); err != nil {
			return l, fmt.Errorf("load %s: %w", stream, err)
		}
	}
}

// panicError is a panic as an error. The value may hold a payload, so only the text of the runtime's
// own panics is kept; the stack tells the rest.
func panicError(op, subject string, value any) error {
	text := fmt.Sprintf("panic with a %T", value)
	if err, ok := value.(runtime.Error); ok {
		text = "panic: " + err.Error()
	}
	return domain.E(domain.KindInternal, op, subject, text+"\n"+string(debug.Stack()))
}

func (l *loaded) fact(ctx context.Context, blobs Blobs, r *domain.Recorded, after domain.Revision) (run.Fact, error) {
	m, err := wire.DecodeMetadata(r.Metadata)
	if err != nil {
		return run.Fact{}, err
	}
	e, err := wire.DecodeRun(r.Type, r.Data)
	if err != nil {
		return run.Fact{}, err
	}
	if r.Revision > after {
		l.since = append(l.since, stored{event: e, id: r.ID, command: m.CommandID, trace: m.Traceparent, revision: r.Revision, position: r.Position})
	}
	if r.Revision == 0 {
		l.trace = wire.Traceparent(m.Traceparent)
	}
	if keyOf(m.CommandID) != "" {
		l.keyed = rememberKey(l.keyed, m.CommandID, r.Revision, r.Position)
	}
	l.head = wire.Head{Revision: r.Revision, Hash: r.Hash(), At: m.At}
	f := run.Fact{Revision: r.Revision, At: m.At, Event: e}
	l.secrets = append(l.secrets, secretsIn(e)...)
	if started, ok := e.(run.Started); ok {
		if f.Graph, f.Input, err = hydrate(ctx, blobs, started); err == nil && !started.Reused.Absent() {
			f.Reused, err = loadBlobs(ctx, blobs, started.Reused)
		}
	}
	return f, err
}

// hydrate loads what deciding needs of a start: the definition as a graph, and the input.
//
// The flow of outputs into secret keys is read off the definition again, so that it never depends
// on what an old version thought of it.
func hydrate(ctx context.Context, blobs Blobs, e run.Started) (*workflow.Graph, domain.Value, error) {
	definition, err := loadBlobs(ctx, blobs, e.Definition)
	if err != nil {
		return nil, domain.Value{}, err
	}
	d, err := wire.DecodeDefinition(definition)
	if err != nil {
		return nil, domain.Value{}, err
	}
	g, err := workflow.Compile(d, nil)
	if err != nil {
		return nil, domain.Value{}, domain.Wrap(domain.KindCorrupt, "compile definition", e.RunID, err)
	}
	_, tasks := secretFlows(d, definition.JSON)
	g.SealOutputs(tasks)
	input, err := loadBlobs(ctx, blobs, e.Input)
	return g, input, err
}

// loadBlobs fills the blobs of v and keeps the holes of its secrets.
func loadBlobs(ctx context.Context, blobs Blobs, v domain.Value) (domain.Value, error) {
	var sealed, stored []domain.Hole
	for _, h := range v.Holes {
		if h.Blob != "" {
			stored = append(stored, h)
		} else {
			sealed = append(sealed, h)
		}
	}
	if len(stored) == 0 {
		return v, nil
	}
	b, err := domain.Value{JSON: v.JSON, Holes: stored}.Fill(func(h domain.Hole) ([]byte, error) { return blobs.Get(ctx, h.Blob) })
	if err != nil {
		if errors.Is(err, domain.ErrNotFound) {
			err = domain.Wrap(domain.KindCorrupt, "load blob", "", err)
		}
		return domain.Value{}, err
	}
	return domain.Value{JSON: b, Holes: sealed}, nil
}
