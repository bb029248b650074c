package run

import (
	"strconv"

	"quipu/domain"
	"quipu/domain/rawjson"
)

// reused is what a task gave in the run that this one is a retry of.
type reused struct {
	offset domain.Revision
	output domain.Value
}

// Reuse builds Start.Reused; add is called with each task that is not done again, in any order.
func Reuse(list func(add func(task string, offset domain.Revision, output domain.Value))) domain.Value {
	var o domain.Object
	n := 0
	list(func(task string, offset domain.Revision, output domain.Value) {
		var entry domain.Object
		entry.Add("offset", domain.Raw(strconv.AppendInt(nil, int64(offset), 10)))
		entry.Add("output", tidy(output))
		o.Add(task, entry.Value())
		n++
	})
	if n == 0 {
		return domain.Value{}
	}
	return o.Value()
}

// indexReused reads what Reuse wrote.
func indexReused(v domain.Value) map[string]reused {
	if v.Absent() || rawjson.KindOf(v.JSON) != rawjson.Object {
		return nil
	}
	members := v.Members()
	out := make(map[string]reused, len(members))
	for _, m := range members {
		var r reused
		for _, f := range m.Value.Members() {
			switch f.Key {
			case "offset":
				n, _ := strconv.ParseInt(string(f.Value.JSON), 10, 64)
				r.offset = domain.Revision(n)
			case "output":
				r.output = f.Value
			}
		}
		out[m.Key] = r
	}
	return out
}

// reuse ends task i, which has just started, with what it gave in the run that is retried.
func (d *decider) reuse(i int, r reused) {
	node := &d.state.Graph.Nodes[i]
	d.emit(Fact{Event: TaskReused{Task: node.Name, TaskID: TaskID(d.state.RunID, node.Name, 0), Offset: r.offset}})
	stored := d.inline(r.output)
	if valueSize(stored) > valueBytesMax {
		d.failForGood(i, tooLarge("output"), domain.Value{}, nil)
		return
	}
	d.completed(i, r.output, stored, nil)
}
