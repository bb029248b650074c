package projections

import (
	"quipu/domain/name"
	"quipu/projections/view"
)

// applyName keeps one row for each pair of names: the newest binding counts.
func applyName(b *batch, f *fact) error {
	if f.aggregate != aName {
		return nil
	}
	if f.err != nil {
		return f.err
	}
	e, ok := f.event.(name.Bound)
	if !ok {
		return nil
	}
	if name.Stream(e.FlowName, e.RunName) != f.Stream {
		return contradiction(f, "binds another pair of names than its stream's")
	}
	row := view.Name{FlowName: e.FlowName, RunName: e.RunName, ExecutionID: e.ExecutionID, Position: f.Position, Offset: f.Revision}
	key := [2]string{e.FlowName, e.RunName}
	if i, again := b.names[key]; again {
		b.changes.Names[i] = row
		return nil
	}
	if b.names == nil {
		b.names = map[[2]string]int{}
	}
	b.names[key] = len(b.changes.Names)
	b.changes.Names = append(b.changes.Names, row)
	return nil
}
