package lao

import (
	"errors"
	"fmt"
	"slices"
	"strconv"

	"quipu/domain"
	"quipu/domain/rawjson"
	"quipu/domain/run"
	"quipu/domain/wire"
)

func asError(err error, target **domain.Error) bool { return errors.As(err, target) }

// sweepEventsMax is how many events one read of a results sweep asks for.
const sweepEventsMax = 256

// resultRef names the task_completed of one task.
type resultRef struct {
	task     string
	revision domain.Revision
	output   []byte
}

// results writes the outputs of the tasks that v ({task: revision}) names, in its order; if they
// are too large together, or cannot be read, a link: a run's end is shown in any case.
func (f *frame) results(k string, v domain.Value) {
	f.Key(k)
	refs, err := resultRefs(v)
	if err == nil {
		var fits bool
		if fits, err = f.sweep(refs); err == nil && !fits {
			f.link(len(refs))
			return
		}
	}
	if lost(err) {
		f.link(len(refs))
		return
	}
	if err != nil {
		f.err = err
		return
	}
	o := f.open()
	for i := range refs {
		o.Raw(refs[i].task, refs[i].output)
	}
	f.close(o)
}

func (f *frame) link(tasks int) {
	f.B = append(f.B, f.renderer.options.Link(f.run.ID, tasks)...)
}

// lost reports whether stored data is missing or damaged, so that trying again would not help.
func lost(err error) bool {
	return errors.Is(err, domain.ErrCorrupt) || errors.Is(err, domain.ErrNotFound)
}

func resultRefs(v domain.Value) ([]resultRef, error) {
	members := rawjson.Members(v.JSON)
	refs := make([]resultRef, len(members))
	for i, m := range members {
		n, err := strconv.ParseInt(string(m.Value), 10, 64)
		if err != nil || n < 0 {
			return nil, domain.E(domain.KindCorrupt, "render results", m.Key, "is not a revision")
		}
		refs[i] = resultRef{task: m.Key, revision: domain.Revision(n)}
	}
	return refs, nil
}

// sweep fills in the outputs in one pass over the stream, forward. It stops and reports false as
// soon as they are too large together. Pages with nothing of interest are jumped over.
func (f *frame) sweep(refs []resultRef) (fits bool, err error) {
	order := make([]*resultRef, len(refs))
	for i := range refs {
		order[i] = &refs[i]
	}
	slices.SortFunc(order, func(a, b *resultRef) int { return int(a.revision - b.revision) })
	size := 2
	for len(order) > 0 {
		from := order[0].revision
		want := min(int(order[len(order)-1].revision-from)+1, sweepEventsMax)
		page, err := f.renderer.log.ReadStream(f.ctx, f.recorded.Stream, from, want)
		if err != nil {
			return false, err
		}
		if len(page) == 0 || page[0].Revision != from {
			return false, domain.E(domain.KindCorrupt, "render results", string(f.recorded.Stream), fmt.Sprintf("revision %d is missing", from))
		}
		for i := range page {
			if len(order) == 0 || page[i].Revision != order[0].revision {
				continue
			}
			if order[0].output, err = f.output(&page[i]); err != nil {
				return false, err
			}
			size += len(order[0].output) + len(order[0].task) + 4
			if size > f.renderer.options.FrameInlineBytesMax {
				return false, nil
			}
			order = order[1:]
		}
	}
	return true, nil
}

func (f *frame) output(e *domain.Recorded) ([]byte, error) {
	decoded, err := wire.DecodeRun(e.Type, e.Data)
	if err != nil {
		return nil, err
	}
	completed, ok := decoded.(run.TaskCompleted)
	if !ok {
		return nil, domain.E(domain.KindCorrupt, "render results", string(e.Stream), fmt.Sprintf("revision %d is %s, not a result", e.Revision, e.Type))
	}
	b := f.rendered(completed.Output, "null")
	return b, f.err
}
