package projections

import (
	"slices"
	"strings"

	"quipu/domain"
	"quipu/domain/workflow"
	"quipu/projections/view"
)

// Known is what a fold starts from: the rows that its events change.
type Known struct {
	Runs      map[string]Run
	Workflows map[string]view.Workflow
}

// Folded is what a fold leads to.
type Folded struct {
	// Changes hold the rows; Log, After, To and Versions are left to the caller.
	Changes Changes
	// Runs are the executions that the events were about, as they are now, by id: those that go on in
	// full, of those that ended nothing but the execution.
	Runs map[string]Run
}

// Needs lists the executions and stored workflows whose rows Fold must be given: those with events
// here whose first event is not here.
func Needs(events []domain.Recorded) (runs, workflows []string) {
	var seenRuns, seenWorkflows map[string]bool
	last := domain.StreamID("") // events of one append stand together
	for i := range events {
		e := &events[i]
		if e.Stream == last {
			continue
		}
		last = e.Stream
		if id, ok := strings.CutPrefix(string(e.Stream), runStreamPrefix); ok {
			runs, seenRuns = need(runs, seenRuns, id, e.Revision)
		} else if id, ok := strings.CutPrefix(string(e.Stream), workflow.StreamPrefix); ok {
			workflows, seenWorkflows = need(workflows, seenWorkflows, id, e.Revision)
		}
	}
	return runs, workflows
}

func need(ids []string, seen map[string]bool, id string, revision domain.Revision) ([]string, map[string]bool) {
	if seen[id] {
		return ids, seen
	}
	if seen == nil {
		seen = map[string]bool{}
	}
	seen[id] = true
	if revision > 0 {
		ids = append(ids, id)
	}
	return ids, seen
}

// Fold turns events, in order of position, into rows. It is pure, and the rows are the same however
// the events are cut into batches.
func Fold(known Known, events []domain.Recorded) Folded {
	b := batch{known: known, runs: make(map[string]*active, 16)}
	b.changes.Events = make([]view.Event, 0, len(events))
	var f fact // one for all: a projector keeps what it needs of it, never the fact
	for i := range events {
		f = decode(&events[i])
		if f.aggregate == aRun {
			f.run = b.runOf(f.runID)
			f.nodeType = f.typeOf()
		}
		for _, p := range projectors {
			if err := p.apply(&b, &f); err != nil {
				b.changes.Parked = append(b.changes.Parked, park(p.name, &f, err))
			}
		}
	}
	return b.finish()
}

// batch is a fold under way.
type batch struct {
	known     Known
	runs      map[string]*active
	order     []*active // those of runs, by first touch
	workflows map[string]*view.Workflow
	names     map[[2]string]int       // index in changes.Names
	approvals map[domain.Position]int // index in changes.Approvals, by key
	changes   Changes
}

// active is a run within a batch.
type active struct {
	row      view.Execution
	open     []openTask
	ended    []view.Task // whose end or skip is in this batch
	statuses []view.StatusInterval
	changed  bool
}

type openTask struct {
	view.Task
	changed bool
}

// runOf finds a run, nil if it has no row.
func (b *batch) runOf(id string) *active {
	if a, ok := b.runs[id]; ok {
		return a
	}
	r, ok := b.known.Runs[id]
	if !ok {
		return nil
	}
	a := &active{row: r.Execution, open: make([]openTask, len(r.Open), len(r.Open)+4)}
	for i := range r.Open {
		a.open[i].Task = r.Open[i]
	}
	b.add(id, a)
	return a
}

func (b *batch) add(id string, a *active) {
	b.runs[id] = a
	b.order = append(b.order, a)
}

// find is the index of an open task, -1 if it is not open.
func (a *active) find(task string, iteration int) int {
	// From the end: what started last most often ends first.
	for i := len(a.open) - 1; i >= 0; i-- {
		if a.open[i].Iteration == iteration && a.open[i].Task.Task == task {
			return i
		}
	}
	return -1
}

func (b *batch) finish() Folded {
	out := Folded{Runs: make(map[string]Run, len(b.order))}
	c := &b.changes
	c.Executions = make([]view.Execution, 0, len(b.order))
	tasks := 0
	for _, a := range b.order {
		tasks += len(a.ended) + len(a.open)
	}
	if tasks > 0 {
		c.Tasks = make([]view.Task, 0, tasks)
	}
	for _, a := range b.order {
		if !a.row.Status.Ended() && len(a.open) > 0 {
			a.row.CurrentNode = a.open[len(a.open)-1].Task.Task
		} else {
			a.row.CurrentNode = ""
		}
		r := Run{Execution: a.row}
		c.Tasks = appendLast(c.Tasks, a.ended)
		if len(a.open) > 0 {
			r.Open = make([]view.Task, len(a.open))
			for i := range a.open {
				r.Open[i] = a.open[i].Task
				if a.open[i].changed {
					c.Tasks = append(c.Tasks, a.open[i].Task)
				}
			}
		}
		out.Runs[a.row.ID] = r
		if a.changed {
			c.Executions = append(c.Executions, a.row)
			c.Statuses = append(c.Statuses, a.statuses...)
		}
	}
	for _, w := range b.workflows {
		c.Workflows = append(c.Workflows, *w)
	}
	slices.SortFunc(c.Workflows, func(x, y view.Workflow) int { return int(int64(x.Position) - int64(y.Position)) })
	out.Changes = *c
	return out
}

// appendLast appends rows, of those with one key the last.
func appendLast(to, rows []view.Task) []view.Task {
	from := len(to)
	var index map[taskKey]int
	if len(rows) > 16 {
		index = make(map[taskKey]int, len(rows))
	}
	for i := range rows {
		key, at := taskKey{rows[i].Task, rows[i].Iteration}, -1
		if index != nil {
			if n, ok := index[key]; ok {
				at = n
			} else {
				index[key] = len(to)
			}
		} else {
			at = slices.IndexFunc(to[from:], func(t view.Task) bool { return t.Task == key.task && t.Iteration == key.iteration })
			if at >= 0 {
				at += from
			}
		}
		if at >= 0 {
			to[at] = rows[i]
		} else {
			to = append(to, rows[i])
		}
	}
	return to
}

type taskKey struct {
	task      string
	iteration int
}
