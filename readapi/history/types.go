package history

import (
	"context"
	"sync"

	"quipu/domain"
	"quipu/domain/run"
	"quipu/domain/wire"
)

// nodeTypes remembers the types of executions' nodes, for events whose row does not say it, as those of
// skipped tasks. They never change.
type nodeTypes struct {
	mu    sync.Mutex
	byRun map[string]map[string]string
	names int
}

// nodeTypesMax is how many nodes are remembered; beyond it all are dropped.
const nodeTypesMax = 50_000

// of is the type of an execution's node, "" if it cannot be told now.
func (t *nodeTypes) of(ctx context.Context, r *Routes, executionID, node string) string {
	t.mu.Lock()
	types, ok := t.byRun[executionID]
	t.mu.Unlock()
	if !ok {
		var err error
		if types, err = r.typesOf(ctx, executionID); err != nil {
			return ""
		}
		t.keep(executionID, types)
	}
	return types[node]
}

// NodeType is the type of an execution's node, "" if it cannot be told now.
func (r *Routes) NodeType(ctx context.Context, executionID, node string) string {
	return r.types.of(ctx, r, executionID, node)
}

func (t *nodeTypes) keep(executionID string, types map[string]string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.byRun == nil || t.names+len(types) > nodeTypesMax {
		t.byRun, t.names = make(map[string]map[string]string), 0
	}
	t.byRun[executionID] = types
	t.names += len(types) + 1
}

func (r *Routes) typesOf(ctx context.Context, executionID string) (map[string]string, error) {
	started, err := r.startOf(ctx, executionID)
	if err != nil {
		return nil, err
	}
	d, err := r.definition(ctx, started.Definition)
	if err != nil {
		return nil, err
	}
	types := make(map[string]string, len(d.Nodes))
	for _, n := range d.Nodes {
		types[n.Name] = n.Type
	}
	return types, nil
}

// startOf reads the first event of an execution. Errors: ErrNotFound if there is none, or it was
// abandoned; those of the log.
func (r *Routes) startOf(ctx context.Context, executionID string) (*run.Started, error) {
	page, err := r.deps.Log.ReadStream(ctx, domain.StreamID(runStreamPrefix+executionID), 0, 1)
	if err != nil {
		return nil, known(err)
	}
	if len(page) == 0 {
		return nil, unknownExecution()
	}
	e, err := wire.DecodeRun(page[0].Type, page[0].Data)
	if err != nil {
		return nil, err
	}
	if started, ok := e.(run.Started); ok {
		return &started, nil
	}
	return nil, unknownExecution()
}
