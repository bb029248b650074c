package viewstest

import (
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"quipu/domain"
	"quipu/projections/view"
)

// differential runs random scripts on the views and on the reference model: a world in random
// batches, random questions in between, then all rows.
func differential(e *Env) {
	done := 0
	rapid.Check(e, func(t *rapid.T) {
		if done++; done > e.Caps.Scripts {
			return // enough; rapid asks for more
		}
		w := NewWorld(rapid.Uint64().Draw(t, "seed"))
		w.wild = rapid.Bool().Draw(t, "wild clocks")
		w.stride = rapid.SampledFrom([]uint64{1, 3, 5000, 1 << 32}).Draw(t, "stride")
		if rapid.Bool().Draw(t, "hostile names") {
			w.words = append([]string{"x", "y"}, hostile[w.n(len(hostile))])
		}
		p := e.pair(w)
		defer func() { _ = p.views.Close() }() // closing is a case of its own
		for range rapid.IntRange(1, 25).Draw(t, "batches") {
			c := w.Merge(p.at, w.Steps(rapid.IntRange(1, 60).Draw(t, "events")))
			require.NoError(t, p.store.Commit(e.Context(), c))
			require.NoError(t, p.twin.Commit(e.Context(), c))
			p.at = c.To
			for range rapid.IntRange(0, 6).Draw(t, "questions") {
				p.ask(t, w)
			}
		}
		same(t, e.Dump(p.twin), e.Dump(p.store))
	})
}

// ask puts a random question, mostly one that has an answer.
func (p *pair) ask(t require.TestingT, w *World) {
	pg := view.Page{Ascending: w.chance(2), Limit: 1 + w.n(30), Total: w.chance(2)}
	if w.chance(2) {
		pg.Key = w.place()
	}
	if w.chance(3) {
		pg.Offset = w.n(20)
	}
	if w.chance(5) {
		q := view.ApprovalQuery{Page: pg}
		w.maybe(func() { q.WorkflowID = w.word() }, func() {
			q.Status = []view.ApprovalStatus{view.ApprovalPending, view.ApprovalApproved, view.ApprovalExpired}[w.n(3)]
		}, func() {
			if len(w.ids) > 0 {
				q.ExecutionID = w.ids[w.n(len(w.ids))]
			}
		})
		want, err := p.model.Approvals(p.e.Context(), q)
		require.NoError(t, err)
		got, err := p.views.Approvals(p.e.Context(), q)
		require.NoError(t, err)
		same(t, want, got, fmt.Sprintf("%+v", q))
		return
	}
	if w.chance(2) {
		q := view.ExecutionQuery{Page: pg}
		w.maybe(func() { q.WorkflowID = w.word() }, func() { q.Source = w.word() }, func() { q.FlowName = w.word() },
			func() { q.RunName = w.word() }, func() { q.StartedFrom = w.instant() }, func() { q.StartedTo = w.instant() },
			func() { q.AsOf = w.place() }, func() { q.ConnectionID = w.word() },
			func() {
				if len(w.ids) > 0 {
					q.RetryOf = w.ids[w.n(len(w.ids))]
				}
			},
			func() {
				q.Status = []view.Status{view.Running, view.Paused, view.Completed, view.Failed, view.Cancelled}[w.n(5)]
			})
		p.executionsOnce(t, q)
		return
	}
	q := view.EventQuery{Page: pg}
	types := []string{"run.started.v1", "run.task_started.v1", "run.task_completed.v1", "run.completed.v1", "name.bound.v1", "no.v1"}
	w.maybe(func() { q.WorkflowID = w.word() }, func() { q.Node = w.word() }, func() { q.From = w.instant() }, func() { q.To = w.instant() },
		func() { q.After = w.place() }, func() { q.Before = w.place() },
		func() {
			rand.New(rand.NewPCG(uint64(w.n(100)), 0)).Shuffle(len(types), func(i, j int) { types[i], types[j] = types[j], types[i] })
			q.Types = types[:1+w.n(4)]
		},
		func() {
			if len(w.ids) > 0 {
				q.ExecutionID = w.ids[w.n(len(w.ids))]
			}
		})
	p.eventsOnce(t, q)
}

// maybe makes each choice one time in four.
func (w *World) maybe(choices ...func()) {
	for _, f := range choices {
		if w.chance(4) {
			f()
		}
	}
}

// place is a position in the world.
func (w *World) place() domain.Position {
	return domain.Position(w.rng.Uint64N(uint64(w.pos) + 2))
}

// instant is a time in the world.
func (w *World) instant() time.Time {
	if w.wild && w.chance(3) {
		return wildTimes[w.n(len(wildTimes))]
	}
	return w.at.Add(-time.Duration(w.n(100_000)) * time.Millisecond)
}
