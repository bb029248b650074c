package run_test

import (
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"quipu/domain"
	"quipu/domain/domaintest"
	"quipu/domain/run"
)

// A stream that does not make sense is reported with its place; folding it must not panic, since
// one damaged run would end the process.
func TestFold_RefusesWhatDoesNotFit(t *testing.T) {
	h := domaintest.Given(t, domaintest.Start(t, chainOf2(), `{}`)).H
	ended := domaintest.Given(t, domaintest.Start(t, chainOf2(), `{}`), run.Cancel{At: domaintest.At(1)}).H
	started := h.Facts[0]
	for name, c := range map[string]struct {
		after []run.Fact
		event run.Event
	}{
		"task before start":      {nil, run.TaskStarted{Task: "a"}},
		"end before start":       {nil, run.Completed{}},
		"call before start":      {nil, run.CallStarted{Task: "a"}},
		"nothing":                {nil, nil},
		"second start":           {h.Facts, started.Event},
		"abandoned later":        {h.Facts, run.Abandoned{}},
		"start without graph":    {nil, run.Started{}},
		"unknown task":           {h.Facts, run.TaskStarted{Task: "x"}},
		"unknown task retried":   {h.Facts, run.TaskAttemptStarted{Task: "x"}},
		"task started twice":     {h.Facts, run.TaskStarted{Task: "a"}},
		"task not ready":         {h.Facts, run.TaskStarted{Task: "b"}},
		"waiting task retried":   {h.Facts, run.TaskAttemptStarted{Task: "b"}},
		"waiting task completed": {h.Facts, run.TaskCompleted{Task: "b"}},
		"running task skipped":   {h.Facts, run.TaskSkipped{Task: "a"}},
		"gate out of range":      {h.Facts, run.TaskCompleted{Task: "a", Gates: []run.GateResult{{Edge: 7}}}},
		"gate below zero":        {h.Facts, run.TaskCompleted{Task: "a", Gates: []run.GateResult{{Edge: -1}}}},
		"after the end":          {ended.Facts, run.CallStarted{Task: "a"}},
	} {
		state, err := run.Fold(run.New(), c.after...)
		require.NoError(t, err)
		f := run.Fact{Revision: domain.Revision(len(c.after)), Event: c.event}
		if name == "second start" {
			f.Graph = started.Graph
		}
		_, err = run.Fold(state, f)
		require.ErrorIs(t, err, domain.ErrCorrupt, name)
	}
	for _, revision := range []domain.Revision{-1, 1, 5} {
		f := started
		f.Revision = revision
		_, err := run.Fold(run.New(), f)
		require.ErrorIs(t, err, domain.ErrCorrupt)
	}
}

// Facts of random histories, dropped, doubled and swapped: an error or a state, never a panic.
func TestFold_IsTotal(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		h := domaintest.NewHistory()
		start := domaintest.StartOf(t, domaintest.Definition(t, 6, false))
		if _, err := h.Do(t, start); err != nil {
			t.Fatal(err)
		}
		finish(t, h)
		s := run.New()
		for range 40 {
			f := rapid.SampledFrom(h.Facts).Draw(t, "fact")
			f.Revision = s.Revision + 1
			if next, err := run.Fold(s, f); err == nil {
				s = next
			}
		}
	})
}
