package commands

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"sync"

	"quipu/domain"
	"quipu/domain/name"
	"quipu/domain/run"
	"quipu/domain/wire"
)

// nameTaken refuses a start whose name stands for an unfinished run.
func nameTaken(id, message string) *domain.Error {
	return domain.E(domain.KindRefused, "start run", id, message).WithField("run_name").WithCode("RUN_NAME_TAKEN")
}

// nameLocks serialises the starts of one name in this process; across processes the exact revision
// of the name's stream does.
type nameLocks struct {
	locks [256]sync.Mutex
	// starting holds the ids of starts that are under way here. A binding whose run is absent stands
	// for a start that was lost with its process, unless its id is in here: then it holds its name
	// as a run does, and is not abandoned under its client's hands.
	starting sync.Map
}

func (n *nameLocks) begin(id string) { n.starting.Store(id, nil) }

func (n *nameLocks) end(id string) { n.starting.Delete(id) }

func (n *nameLocks) underWay(id string) bool {
	_, ok := n.starting.Load(id)
	return ok
}

var nameSeed = maphash.MakeSeed()

func (n *nameLocks) of(stream domain.StreamID) *sync.Mutex {
	return &n.locks[maphash.String(nameSeed, string(stream))%uint64(len(n.locks))]
}

// bindAttemptsMax bounds how often a start fights another process for a name, or asks a log that does
// not know what it has stored.
const bindAttemptsMax = 5

// bindIfNamed is bindName for runs that have a name.
func (e *Executor) bindIfNamed(ctx context.Context, named bool, b name.Bound, cause wire.Cause) error {
	if !named {
		return nil
	}
	return e.bindName(ctx, b, cause)
}

// bindName makes the pair stand for b.ExecutionID, unless an unfinished run holds it.
func (e *Executor) bindName(ctx context.Context, b name.Bound, cause wire.Cause) error {
	stream := name.Stream(b.FlowName, b.RunName)
	lock := e.names.of(stream)
	lock.Lock()
	defer lock.Unlock()
	for try := 0; ; try++ {
		err := e.tryBind(ctx, stream, b, cause)
		if !errors.Is(err, domain.ErrConflict) && !errors.Is(err, domain.ErrIndeterminate) || try == bindAttemptsMax-1 {
			return err
		}
		if !e.pause(ctx, appendRetryFirst<<try, nil) {
			return err
		}
	}
}

func (e *Executor) tryBind(ctx context.Context, stream domain.StreamID, b name.Bound, cause wire.Cause) error {
	head, bound, err := e.boundName(ctx, stream)
	if err != nil {
		return err
	}
	if bound.ExecutionID == b.ExecutionID {
		return nil // an earlier try was stored after all
	}
	if bound.ExecutionID != "" {
		if err := e.release(ctx, bound, cause); err != nil {
			return err
		}
	}
	typ, data := wire.EncodeNameBound(b)
	p, _ := wire.Seal(stream, head, head.Instant(e.deps.Clock.Now()), cause, typ, data)
	_, err = e.deps.Log.Append(ctx, stream, head.Revision, []domain.Pending{p})
	if err != nil {
		return fmt.Errorf("bind %s: %w", stream, err)
	}
	return nil
}

// boundName reads the newest binding; an unknown name gives a fresh head and no binding.
func (e *Executor) boundName(ctx context.Context, stream domain.StreamID) (wire.Head, name.Bound, error) {
	page, err := e.deps.Log.ReadStreamBackward(ctx, stream, endOfStream, 1)
	if errors.Is(err, domain.ErrNotFound) {
		return wire.NewHead(), name.Bound{}, nil
	}
	if err != nil || len(page) == 0 {
		return wire.Head{}, name.Bound{}, fmt.Errorf("read %s: %w", stream, err)
	}
	last := &page[0]
	at, err := wire.DecodeAt(last.Metadata)
	if err != nil {
		return wire.Head{}, name.Bound{}, err
	}
	b, err := wire.DecodeNameBound(last.Type, last.Data)
	return wire.Head{Revision: last.Revision, Hash: last.Hash(), At: at}, b, err
}

// endOfStream reads backward from the head.
const endOfStream = domain.Revision(1<<62 - 1)

// release makes sure that the run a name is bound to has ended, or takes the place of one that
// never started.
func (e *Executor) release(ctx context.Context, bound name.Bound, cause wire.Cause) error {
	stream := RunStream(bound.ExecutionID)
	underWay := e.names.underWay(bound.ExecutionID) // asked before the log: it ends after the append
	page, err := e.deps.Log.ReadStreamBackward(ctx, stream, endOfStream, 1)
	if errors.Is(err, domain.ErrNotFound) && underWay {
		return stillRunning(bound)
	}
	if errors.Is(err, domain.ErrNotFound) {
		typ, data := wire.EncodeRun(run.Abandoned{RunID: bound.ExecutionID})
		head := wire.NewHead()
		p, _ := wire.Seal(stream, head, head.Instant(e.deps.Clock.Now()), cause, typ, data)
		_, err = e.deps.Log.Append(ctx, stream, domain.NoStream, []domain.Pending{p})
		if !errors.Is(err, domain.ErrConflict) {
			return err
		}
		page, err = e.deps.Log.ReadStreamBackward(ctx, stream, endOfStream, 1)
	}
	if err != nil {
		return fmt.Errorf("read %s: %w", stream, err)
	}
	if len(page) > 0 && wire.EndsRun(page[0].Type) {
		return nil
	}
	return stillRunning(bound)
}

func stillRunning(bound name.Bound) error {
	return nameTaken("", fmt.Sprintf("run %q of flow %q is still running as %s; wait for its end or choose another run_name",
		bound.RunName, bound.FlowName, bound.ExecutionID)).WithDetails(map[string]any{"execution_id": bound.ExecutionID})
}
