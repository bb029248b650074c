package commands

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"quipu/domain"
	"quipu/domain/wire"
	"quipu/domain/workflow"
)

// writeAttemptsMax bounds how often a command fights others for a workflow, or asks a log that does
// not know what it has stored.
const writeAttemptsMax = 5

// decideFunc makes the command for the state a workflow is in. It is called anew after each conflict.
type decideFunc func(ctx context.Context, s *Session, have workflow.Stored) (workflow.StoredCommand, error)

// write decides a command over the newest state and appends at its exact revision. Somebody else's
// write leads to a new decision; an unknown outcome to the same bytes again.
func (d *Definitions) write(ctx context.Context, id, command string, create bool, by By, decide decideFunc) (Workflow, error) {
	cause := wire.Cause{Actor: by.Actor, CommandID: command, CorrelationID: id, Traceparent: by.Trace}
	for try := 0; ; try++ {
		w, retry, err := d.tryWrite(ctx, id, create, cause, decide)
		if !retry || try == writeAttemptsMax-1 {
			return w, err
		}
		if pause(ctx, d.deps.Clock, appendRetryFirst<<try) != nil {
			return Workflow{}, err
		}
	}
}

// tryWrite is one decision; retry says that another may go better.
func (d *Definitions) tryWrite(ctx context.Context, id string, create bool, cause wire.Cause, decide decideFunc) (_ Workflow, retry bool, err error) {
	entry := &workflowEntry{stored: workflow.NewStored(), head: wire.NewHead()}
	entry.stored.ID = id
	if !create {
		if entry, err = d.load(ctx, id); err != nil {
			return Workflow{}, false, err
		}
	}
	stream := workflow.Stream(id)
	// A session of its own: what a lost decision has sealed must not be referred to by the next.
	session, err := d.deps.Secrets.Session(ctx, stream, entry.stored.Secrets)
	if err != nil {
		return Workflow{}, false, fmt.Errorf("write workflow %s: %w", id, err)
	}
	command, err := decide(ctx, session, entry.stored)
	if err != nil {
		return Workflow{}, false, err
	}
	events, err := entry.stored.Decide(command)
	if err != nil || len(events) == 0 {
		return Workflow{Stored: entry.stored, Position: entry.position}, false, err
	}
	at := entry.head.Instant(d.deps.Clock.Now())
	next := entry.stored
	head := entry.head
	var pending []domain.Pending
	for _, e := range events {
		if next, err = next.Fold(workflow.StoredFact{Revision: head.Revision + 1, At: at, Event: e}); err != nil {
			return Workflow{}, false, err
		}
		typ, data := wire.EncodeWorkflow(e)
		var p domain.Pending
		p, head = wire.Seal(stream, head, at, cause, typ, data)
		pending = append(pending, p)
	}
	appended, err := d.append(ctx, stream, entry.head.Revision, pending)
	if err != nil {
		return Workflow{}, !create && errors.Is(err, domain.ErrConflict), err
	}
	d.cache.put(&workflowEntry{stored: next, head: head, position: appended.Position})
	d.note(appended.Position)
	return Workflow{Stored: next, Position: appended.Position}, false, nil
}

// note raises written.
func (d *Definitions) note(p domain.Position) {
	for {
		old := d.written.Load()
		if uint64(p) <= old || d.written.CompareAndSwap(old, uint64(p)) {
			return
		}
	}
}

// append stores the events, asking with the same bytes again while nobody knows whether they are.
// Errors: ErrConflict, ErrUnavailable, ErrIndeterminate.
func (d *Definitions) append(ctx context.Context, stream domain.StreamID, expected domain.Revision, events []domain.Pending) (Appended, error) {
	for try := 0; ; try++ {
		began := d.deps.Clock.Now()
		appended, err := d.deps.Log.Append(ctx, stream, expected, events)
		if d.deps.Hooks.Appended != nil {
			d.deps.Hooks.Appended(len(events), d.deps.Clock.Now().Sub(began), err)
		}
		if err == nil {
			return appended, nil
		}
		err = fmt.Errorf("append to %s: %w", stream, err)
		if !errors.Is(err, domain.ErrIndeterminate) || try == writeAttemptsMax-1 || pause(ctx, d.deps.Clock, appendRetryFirst<<try) != nil {
			return Appended{}, err
		}
	}
}

// Get gives a version of a workflow, 0 the newest, by folding its stream: never by a view.
// Errors: ErrNotFound for a workflow that does not exist or is deleted, and for a version it does not
// have; ErrCorrupt.
func (d *Definitions) Get(ctx context.Context, id string, version int) (Workflow, error) {
	entry, err := d.load(ctx, id)
	if err != nil {
		return Workflow{}, err
	}
	switch {
	case entry.stored.Phase != workflow.StoredActive:
		return Workflow{}, unknownWorkflow(id)
	case version == 0 || version == entry.stored.Version():
		return Workflow{Stored: entry.stored, Position: entry.position}, nil
	case version < 0 || version > entry.stored.Version():
		return Workflow{}, domain.E(domain.KindNotFound, "workflow", id, fmt.Sprintf("has no version %d; it has 1 to %d", version, entry.stored.Version())).
			WithField("version").WithCode("VERSION_UNKNOWN")
	}
	old, err := d.fold(ctx, id, domain.Revision(version-1))
	if err != nil {
		return Workflow{}, err
	}
	return Workflow{Stored: old.stored, Position: old.position}, nil
}

// load gives the newest state. What is cached counts only while the stream's head is the same.
func (d *Definitions) load(ctx context.Context, id string) (*workflowEntry, error) {
	stream := workflow.Stream(id)
	if stream.Check() != nil {
		return nil, unknownWorkflow("")
	}
	page, err := d.deps.Log.ReadStreamBackward(ctx, stream, endOfStream, 1)
	if errors.Is(err, domain.ErrNotFound) {
		return nil, unknownWorkflow(id)
	}
	if err != nil || len(page) == 0 {
		return nil, fmt.Errorf("read %s: %w", stream, err)
	}
	if have := d.cache.get(id); have != nil && have.head.Revision == page[0].Revision && have.head.Hash == page[0].Hash() {
		return have, nil
	}
	entry, err := d.fold(ctx, id, endOfStream)
	if err == nil {
		d.cache.put(entry)
	}
	return entry, err
}

// fold reads a workflow's stream up to a revision.
func (d *Definitions) fold(ctx context.Context, id string, last domain.Revision) (*workflowEntry, error) {
	stream := workflow.Stream(id)
	e := &workflowEntry{stored: workflow.NewStored(), head: wire.NewHead()}
	for e.stored.Revision < last {
		page, err := d.deps.Log.ReadStream(ctx, stream, e.stored.Revision+1, readPage)
		if errors.Is(err, domain.ErrNotFound) {
			return nil, unknownWorkflow(id)
		}
		if err != nil {
			return nil, fmt.Errorf("load %s: %w", stream, err)
		}
		if len(page) == 0 {
			return e, nil
		}
		for i := range page {
			if e.stored.Revision == last {
				break
			}
			if err := e.take(&page[i]); err != nil {
				return nil, fmt.Errorf("load %s at revision %d: %w", stream, page[i].Revision, err)
			}
		}
	}
	return e, nil
}

// workflowEntry is a workflow folded up to its head.
type workflowEntry struct {
	stored   workflow.Stored
	head     wire.Head
	position domain.Position // of the event at head

	mu       sync.Mutex
	prepared *prepared
}

func (e *workflowEntry) take(r *domain.Recorded) error {
	at, err := wire.DecodeAt(r.Metadata)
	if err != nil {
		return err
	}
	event, err := wire.DecodeWorkflow(r.Type, r.Data)
	if err != nil {
		return err
	}
	if e.stored, err = e.stored.Fold(workflow.StoredFact{Revision: r.Revision, At: at, Event: event}); err != nil {
		return err
	}
	e.head, e.position = wire.Head{Revision: r.Revision, Hash: r.Hash(), At: at}, r.Position
	return nil
}

// The bounds of the cache of folded workflows. Beyond them the ones put in first go.
const (
	workflowsCachedMax     = 256
	workflowsCachedByteMax = 64 << 20
)

// workflowCache keeps the newest state of the workflows that were used last. It is never believed
// without a look at the stream's head.
type workflowCache struct {
	mu    sync.Mutex
	byID  map[string]*workflowEntry
	order []string // as put in, oldest first
	bytes int
}

func newWorkflowCache() workflowCache {
	return workflowCache{byID: make(map[string]*workflowEntry)}
}

func (c *workflowCache) get(id string) *workflowEntry {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.byID[id]
}

func (c *workflowCache) put(e *workflowEntry) {
	size := entryBytes(e)
	c.mu.Lock()
	defer c.mu.Unlock()
	id := e.stored.ID
	if old := c.byID[id]; old != nil {
		if old.head.Revision > e.head.Revision {
			return
		}
		c.bytes += size - entryBytes(old)
		c.byID[id] = e
		c.shrink()
		return
	}
	c.byID[id] = e
	c.order = append(c.order, id)
	c.bytes += size
	c.shrink()
}

func (c *workflowCache) shrink() {
	for len(c.order) > workflowsCachedMax || c.bytes > workflowsCachedByteMax && len(c.order) > 1 {
		c.bytes -= entryBytes(c.byID[c.order[0]])
		delete(c.byID, c.order[0])
		c.order = c.order[1:]
	}
}

// entryBytes reckons what an entry holds, its translated definition included: about the graph again.
func entryBytes(e *workflowEntry) int {
	n := 1024 + len(e.stored.Name) + len(e.stored.Description) + 3*len(e.stored.Graph.JSON)
	for _, h := range e.stored.Graph.Holes {
		n += 128 + len(h.At) + 3*int(h.Bytes)
	}
	for _, s := range e.stored.Secrets {
		n += 128 + len(s.Ciphertext)
	}
	return n
}
