// Package results reads what the tasks of an ended run gave. A run's end names the revisions of its
// tasks' completions; every dialect that shows outputs beside the end reads those and nothing else.
package results

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"

	"quipu/domain"
	"quipu/domain/rawjson"
	"quipu/domain/run"
	"quipu/domain/wire"
)

// sweepEventsMax is how many events one read asks for.
const sweepEventsMax = 256

// Log is where results are read from.
type Log interface {
	ReadStream(ctx context.Context, stream domain.StreamID, from domain.Revision, max int) ([]domain.Recorded, error)
}

// Task is what one task gave.
type Task struct {
	Name     string
	Output   []byte // as rendered; nil until it is read
	revision domain.Revision
}

// Parse reads the results of a run's end, {task: revision of its task_completed}, in their order.
// Errors: ErrCorrupt.
func Parse(v domain.Value) ([]Task, error) {
	members := rawjson.Members(v.JSON)
	tasks := make([]Task, len(members))
	for i, m := range members {
		n, err := strconv.ParseInt(string(m.Value), 10, 64)
		if err != nil || n < 0 {
			return nil, domain.E(domain.KindCorrupt, "render results", m.Key, "is not a revision")
		}
		tasks[i] = Task{Name: m.Key, revision: domain.Revision(n)}
	}
	return tasks, nil
}

// Fill renders the outputs of tasks in one pass over the stream, forward. It stops and reports false
// as soon as they are larger than bytesMax together. Pages with nothing of interest are jumped over.
//
// Errors: those of the log and of render; ErrCorrupt if what the results name is not there.
func Fill(ctx context.Context, log Log, stream domain.StreamID, tasks []Task, bytesMax int, render func(domain.Value) ([]byte, error)) (fits bool, err error) {
	order := make([]*Task, len(tasks))
	for i := range tasks {
		order[i] = &tasks[i]
	}
	slices.SortFunc(order, func(a, b *Task) int { return int(a.revision - b.revision) })
	size := 2
	for len(order) > 0 {
		from := order[0].revision
		want := min(int(order[len(order)-1].revision-from)+1, sweepEventsMax)
		page, err := log.ReadStream(ctx, stream, from, want)
		if err != nil {
			return false, err
		}
		if len(page) == 0 || page[0].Revision != from {
			return false, domain.E(domain.KindCorrupt, "render results", string(stream), fmt.Sprintf("revision %d is missing", from))
		}
		for i := range page {
			if len(order) == 0 || page[i].Revision != order[0].revision {
				continue
			}
			if order[0].Output, err = output(&page[i], render); err != nil {
				return false, err
			}
			size += len(order[0].Output) + len(order[0].Name) + 4
			if size > bytesMax {
				return false, nil
			}
			order = order[1:]
		}
	}
	return true, nil
}

func output(e *domain.Recorded, render func(domain.Value) ([]byte, error)) ([]byte, error) {
	decoded, err := wire.DecodeRun(e.Type, e.Data)
	if err != nil {
		return nil, err
	}
	completed, ok := decoded.(run.TaskCompleted)
	if !ok {
		return nil, domain.E(domain.KindCorrupt, "render results", string(e.Stream), fmt.Sprintf("revision %d is %s, not a result", e.Revision, e.Type))
	}
	return render(completed.Output)
}

// Lost reports whether stored data is missing or damaged, so that trying again would not help.
func Lost(err error) bool {
	return errors.Is(err, domain.ErrCorrupt) || errors.Is(err, domain.ErrNotFound)
}
