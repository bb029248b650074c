package lao

import (
	"errors"

	"quipu/domain"
	"quipu/readapi/results"
)

func asError(err error, target **domain.Error) bool { return errors.As(err, target) }

// results writes the outputs of the tasks that v ({task: revision}) names, in its order; if they
// are too large together, or cannot be read, a link: a run's end is shown in any case.
func (f *frame) results(k string, v domain.Value) {
	f.Key(k)
	tasks, err := results.Parse(v)
	fits := false
	if err == nil {
		fits, err = results.Fill(f.ctx, f.renderer.log, f.recorded.Stream, tasks, f.renderer.options.FrameInlineBytesMax, f.output)
	}
	if results.Lost(err) || err == nil && !fits {
		f.B = append(f.B, f.renderer.options.Link(f.run.ID, len(tasks))...)
		return
	}
	if err != nil {
		f.err = err
		return
	}
	o := f.open()
	for i := range tasks {
		o.Raw(tasks[i].Name, tasks[i].Output)
	}
	f.close(o)
}

func (f *frame) output(v domain.Value) ([]byte, error) {
	b := f.rendered(v, "null")
	return b, f.err
}
