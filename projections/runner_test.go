package projections_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"quipu/domain"
	"quipu/domain/run"
	"quipu/domain/wire"
	"quipu/infra/clock"
	"quipu/infra/memory"
	"quipu/projections"
	"quipu/projections/view"
)

// aRun is a whole run of one task, under its own id.
func aRun(i int, task string) []stored {
	s := started
	s.RunID = fmt.Sprintf("r%d", i)
	var out []stored
	for _, e := range []run.Event{s, run.TaskStarted{Task: task, TaskID: "t", Function: "f"}, run.TaskCompleted{Task: task, TaskID: "t", Attempt: 1}, completed} {
		typ, data := wire.EncodeRun(e)
		out = append(out, stored{domain.StreamID("run-" + s.RunID), typ, data})
	}
	return out
}

// filled is a log of so many runs. Within a bubble of virtual time it has to be made there.
func filled(t *testing.T, runs int) *writer {
	w := newWriter(t)
	for i := range runs {
		w.append(aRun(i, "a")...)
	}
	return w
}

// rows are what an undisturbed runner makes of a log.
func rows(t *testing.T, w *writer) []string {
	t.Helper()
	views := memory.NewViews()
	catchUp(t, newRunner(w, views, projections.Options{}))
	return snapshot(t, current(t, views))
}

// insist runs a runner in virtual time until it has the whole log, whatever fails.
func insist(t *testing.T, log func(*testing.T) *writer, views projections.Generations, o projections.Options) (parked int) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		w := log(t)
		r := projections.NewRunner(views, logFeed{w.log}, clock.System{}, o)
		done := make(chan error)
		go func() { done <- r.Run(ctx) }()
		head, err := w.log.Head(ctx)
		require.NoError(t, err)
		limit, stop := context.WithTimeout(ctx, time.Hour)
		defer stop()
		at, err := r.Wait(limit, head)
		require.NoError(t, err)
		require.Equal(t, head, at)
		parked = r.Status(ctx).Parked
		cancel()
		require.NoError(t, <-done)
	})
	return parked
}

// A value that the database refuses must not stop the views or cost another event its rows.
func TestRunner_ParksTheOneEventThatADatabaseRefuses(t *testing.T) {
	log := func(t *testing.T) *writer {
		w := filled(t, 20)
		w.append(aRun(100, "poison")...)
		for i := range 20 {
			w.append(aRun(200+i, "a")...)
		}
		return w
	}
	for _, wholly := range []bool{false, true} {
		views := &faults{Generations: memory.NewViews()}
		views.commit = func(c projections.Changes, do func() error) error {
			for _, task := range c.Tasks {
				if task.Task == "poison" {
					return fault(domain.KindUnprocessable)
				}
			}
			for _, e := range c.Events {
				if wholly && e.Node == "poison" {
					return fault(domain.KindUnprocessable)
				}
			}
			return do()
		}
		var parked []view.Parked
		count := insist(t, log, views, projections.Options{Hooks: projections.Hooks{Parked: func(p view.Parked) { parked = append(parked, p) }}})
		store := current(t, views)
		kept, err := store.Parked(t.Context(), 100)
		require.NoError(t, err)
		require.Equal(t, kept, parked, "each was told of")
		require.Equal(t, len(kept), count)
		if wholly { // the two events of the task, each by the database
			require.Len(t, kept, 2)
		} else { // its end fits no begun task
			require.Len(t, kept, 3)
		}
		require.Equal(t, "store", kept[0].Projector)
		require.Equal(t, wire.RunTaskStarted, kept[0].Type)
		require.Contains(t, kept[0].Reason, "as the test wants")
		got := strings.Join(snapshot(t, store), "\n")
		require.Equal(t, 41, strings.Count(got, "\nexecution ")+1)
		require.Equal(t, 40, strings.Count(got, "\ntask "))
		want := 41 * 4
		if wholly {
			want -= 2
		}
		require.Equal(t, want, strings.Count(got, "\nevent "))
	}
}

// The answer to a commit may be lost, whether it happened or not: each event counts once.
func TestRunner_UnknownOutcomesCountOnce(t *testing.T) {
	log := func(t *testing.T) *writer { return filled(t, 200) }
	want := rows(t, log(t))
	for seed := range uint64(20) {
		random := rand.New(rand.NewPCG(seed, 0))
		views := &faults{Generations: memory.NewViews()}
		views.commit = func(_ projections.Changes, do func() error) error {
			switch random.IntN(6) {
			case 0:
				return fault(domain.KindIndeterminate)
			case 1:
				_ = do()
				return fault(domain.KindIndeterminate)
			case 2:
				return fault(domain.KindUnavailable)
			case 3:
				_ = do()
				return fault(domain.KindUnavailable) // a driver that is wrong about it
			case 4:
				panic("oh")
			}
			return do()
		}
		insist(t, log, views, projections.Options{BatchEvents: 1 + random.IntN(40)})
		require.Equal(t, want, snapshot(t, current(t, views)), "seed %d", seed)
	}
}

// Two processes on one database: the checkpoint lets one through, the other looks again.
func TestRunner_TwoOnOneDatabase(t *testing.T) {
	views := memory.NewViews()
	conflicts := 0
	var want []string
	synctest.Test(t, func(t *testing.T) {
		w := filled(t, 100)
		ctx, cancel := context.WithCancel(t.Context())
		var running sync.WaitGroup
		var mu sync.Mutex
		var runners []*projections.Runner
		for _, gens := range []projections.Generations{views, views.Again()} {
			r := projections.NewRunner(gens, logFeed{w.log}, clock.System{}, projections.Options{BatchEvents: 3, Hooks: projections.Hooks{Failed: func(err error) {
				require.ErrorIs(t, err, domain.ErrConflict)
				mu.Lock()
				conflicts++
				mu.Unlock()
			}}})
			runners = append(runners, r)
			running.Go(func() { require.NoError(t, r.Run(ctx)) })
		}
		limit, stop := context.WithTimeout(ctx, time.Hour)
		defer stop()
		_, err := runners[0].Wait(limit, 400)
		require.NoError(t, err)
		w.append(aRun(1000, "a")...)
		for _, r := range runners {
			_, err := r.Wait(limit, 404)
			require.NoError(t, err)
		}
		cancel()
		running.Wait()
		want = rows(t, w)
	})
	require.Positive(t, conflicts)
	require.Equal(t, want, snapshot(t, current(t, views)))
}

// Rows of another log, or beyond the end of this one, are never added to and never called fresh; a
// rebuild is the way out.
func TestRunner_RefusesRowsThatDoNotFitTheLog(t *testing.T) {
	for code, prepare := range map[string]func(log domain.LogID) projections.Changes{
		projections.CodeLogChanged: func(domain.LogID) projections.Changes { return projections.Changes{Log: "another", To: 5} },
		projections.CodeViewsAhead: func(log domain.LogID) projections.Changes { return projections.Changes{Log: log, To: 500} },
	} {
		synctest.Test(t, func(t *testing.T) { refuses(t, code, prepare) })
	}
}

// A log that was replaced by an older copy of itself and went on reaches the position of the rows
// again, with other events: they are as foreign as before.
func TestRunner_RefusesRowsOfAnEndThatTheLogLost(t *testing.T) {
	lost := filled(t, 5)
	for name, c := range map[string]struct {
		runs int
		code string
	}{"short": {3, projections.CodeViewsAhead}, "as long": {5, projections.CodeLogChanged}, "longer": {7, projections.CodeLogChanged}} {
		views := memory.NewViews()
		catchUp(t, newRunner(lost, views, projections.Options{}))
		again := newWriter(t)
		again.log = memory.NewLog(memory.WithID(lost.log.ID()))
		for i := range c.runs {
			again.append(aRun(i, "other")...)
		}
		r := newRunner(again, views, projections.Options{})
		_, err := r.Once(t.Context())
		var coded *domain.Error
		require.ErrorAs(t, err, &coded, name)
		require.Equal(t, c.code, coded.Code, name)
		_, err = r.Verify(t.Context(), nil)
		require.ErrorIs(t, err, domain.ErrRefused, name)
	}
}

func refuses(t *testing.T, code string, prepare func(log domain.LogID) projections.Changes) {
	w := filled(t, 3)
	views := memory.NewViews()
	c := prepare(w.log.ID())
	c.Versions = projections.Versions()
	require.NoError(t, current(t, views).Commit(t.Context(), c))
	r := newRunner(w, views, projections.Options{})
	_, err := r.Once(t.Context())
	require.ErrorIs(t, err, domain.ErrRefused)
	var coded *domain.Error
	require.ErrorAs(t, err, &coded)
	require.Equal(t, code, coded.Code)
	require.ErrorContains(t, err, "quipu views rebuild")
	_, err = r.Verify(t.Context(), nil)
	require.ErrorIs(t, err, domain.ErrRefused, "nothing to compare with")

	ctx, cancel := context.WithCancel(t.Context())
	live := projections.NewRunner(views, logFeed{w.log}, clock.System{}, projections.Options{})
	done := make(chan error)
	go func() { done <- live.Run(ctx) }()
	synctest.Wait()
	status := live.Status(ctx)
	require.Equal(t, projections.Refused, status.Phase)
	require.Equal(t, code, status.Code)
	require.Contains(t, status.Error, "quipu views rebuild")
	_, err = live.Wait(ctx, 1)
	require.ErrorIs(t, err, domain.ErrUnavailable, "it would wait for ever")

	var notes []string
	result, err := live.Rebuild(ctx, func(p projections.Progress) { notes = append(notes, p.Note) })
	require.NoError(t, err)
	require.False(t, result.Compared)
	require.Contains(t, strings.Join(notes, "\n"), "not compared: ")
	at, err := live.Wait(ctx, 12)
	require.NoError(t, err)
	require.EqualValues(t, 12, at)
	w.append(aRun(50, "a")...)
	_, err = live.Wait(ctx, 16)
	require.NoError(t, err, "it goes on with the new rows")
	cancel()
	require.NoError(t, <-done)
	require.Equal(t, rows(t, w), snapshot(t, current(t, views)))
}

// A newer program's views are left alone.
func TestRunner_LeavesNewerViewsAlone(t *testing.T) {
	w := filled(t, 3)
	newer := domain.E(domain.KindRefused, "open", "views", "a newer version wrote them").WithCode(projections.CodeViewsNewer)
	views := &faults{Generations: memory.NewViews(), open: func() error { return newer }}
	r := newRunner(w, views, projections.Options{})
	_, err := r.Once(t.Context())
	require.ErrorIs(t, err, newer)
	_, err = r.Rebuild(t.Context(), nil)
	require.ErrorIs(t, err, newer)
	_, err = r.Verify(t.Context(), nil)
	require.ErrorIs(t, err, newer)
}

// Rows made by other versions of the projectors are served and kept up until new ones are ready, and
// rows that cannot be read are replaced: both without anybody's help and without a step back.
func TestRunner_BuildsAnewBesideWhatIsServed(t *testing.T) {
	for _, damaged := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) { buildsAnew(t, damaged) })
	}
}

func buildsAnew(t *testing.T, damaged bool) {
	w := filled(t, 50)
	views := &faults{Generations: memory.NewViews()}
	old := map[string]int{"executions": 0}
	require.NoError(t, current(t, views).Commit(t.Context(), projections.Changes{Log: w.log.ID(), To: 100, Versions: old}))
	broken := damaged
	views.state = func() error {
		if broken {
			return fault(domain.KindCorrupt)
		}
		return nil
	}
	rebuilt := 0
	ctx, cancel := context.WithCancel(t.Context())
	r := projections.NewRunner(views, logFeed{w.log}, clock.System{}, projections.Options{BatchEvents: 7, Hooks: projections.Hooks{Rebuilt: func(time.Duration) {
		rebuilt++
		views.set(func(f *faults) { f.state = nil })
	}}})
	done := make(chan error)
	go func() { done <- r.Run(ctx) }()
	limit, stop := context.WithTimeout(ctx, time.Hour)
	defer stop()
	_, err := r.Wait(limit, 200)
	require.NoError(t, err)
	<-time.After(time.Minute) // virtual
	w.append(aRun(70, "a")...)
	_, err = r.Wait(limit, 204)
	require.NoError(t, err)
	cancel()
	require.NoError(t, <-done)
	require.Equal(t, 1, rebuilt)
	store := current(t, views)
	state, err := store.State(t.Context())
	require.NoError(t, err)
	require.Equal(t, projections.Versions(), state.Versions)
	require.Equal(t, rows(t, w), snapshot(t, store))
}

// Readers see whole rows at a position that never goes back, while the views are rebuilt again and
// again under writing.
func TestRebuild_ReadersSeeNoGap(t *testing.T) {
	w := filled(t, 30)
	views := memory.NewViews()
	r := projections.NewRunner(views, logFeed{w.log}, clock.System{}, projections.Options{Linger: time.Millisecond, BatchEvents: 5})
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
	defer cancel()
	var others sync.WaitGroup
	others.Go(func() { require.NoError(t, r.Run(ctx)) })
	_, err := r.Wait(ctx, 120)
	require.NoError(t, err)
	others.Go(func() {
		var last domain.Position
		for ctx.Err() == nil {
			page, err := views.Executions(ctx, view.ExecutionQuery{Page: view.Page{Limit: 200, Total: true}})
			if ctx.Err() != nil {
				return
			}
			require.NoError(t, err)
			require.GreaterOrEqual(t, page.As.Position, last, "a step back")
			last = page.As.Position
			require.Equal(t, int(last+3)/4, page.Total, "rows and position differ")
		}
	})
	for i := range 40 {
		w.append(aRun(1000+i, "a")...)
		result, err := r.Rebuild(ctx, func(p projections.Progress) { require.Nil(t, p.Difference) })
		require.NoError(t, err)
		require.True(t, result.Compared)
	}
	_, err = r.Wait(ctx, 280)
	require.NoError(t, err)
	cancel()
	others.Wait()
	require.Equal(t, rows(t, w), snapshot(t, current(t, views)))
}

// Damage behind the program's back is found, named by table, key and field, and mended by a rebuild.
func TestVerify_NamesEachDifference(t *testing.T) {
	w := filled(t, 3)
	views := memory.NewViews()
	r := newRunner(w, views, projections.Options{Differences: 5})
	catchUp(t, r)
	good := snapshot(t, current(t, views))
	task := view.Task{Execution: 5, Task: "a", TaskID: "t", Function: "f", Status: view.Failed, Attempts: 9}
	w.append(stored{"odd", "odd", []byte("{}")})
	require.NoError(t, current(t, views).Commit(t.Context(), projections.Changes{
		Log: w.log.ID(), After: 12, To: 13, Versions: projections.Versions(),
		Tasks: []view.Task{task}, Names: []view.Name{{FlowName: "never", RunName: "bound", Position: 13}},
	}))
	r = newRunner(w, views, projections.Options{Differences: 5})
	var got []string
	found := func(p projections.Progress) {
		if p.Difference != nil {
			got = append(got, p.Difference.String())
		}
	}
	result, err := r.Verify(t.Context(), found)
	require.NoError(t, err)
	require.Equal(t, []string{
		`tasks 5 "a" 0 Status: the views say failed, the log says completed`,
		`tasks 5 "a" 0 Attempts: the views say 9, the log says 1`,
		`tasks 5 "a" 0 StartedAt: the views say 0001-01-01T00:00:00.000Z, the log says 2026-01-02T03:04:11.000Z`,
		`tasks 5 "a" 0 EndedAt: the views say 0001-01-01T00:00:00.000Z, the log says 2026-01-02T03:04:12.000Z`,
		`tasks 5 "a" 0 StartedOffset: the views say 0, the log says 1`,
	}, got)
	require.Equal(t, 8, result.Differences, "those beyond the bound are counted")
	require.Equal(t, domain.Position(13), result.ComparedAt)

	got = nil
	rebuilt, err := newRunner(w, views, projections.Options{}).Rebuild(t.Context(), found)
	require.NoError(t, err)
	require.Equal(t, 8, rebuilt.Differences)
	require.Equal(t, `events 13: the views say absent, the log says present`, got[6])
	require.Equal(t, `names "never" "bound": the views say present, the log says absent`, got[7])
	require.Subset(t, snapshot(t, current(t, views)), good)
	result, err = newRunner(w, views, projections.Options{}).Verify(t.Context(), nil)
	require.NoError(t, err)
	require.Zero(t, result.Differences)
}

// While the views are caught up, commits keep their pace; a reader that waits is not kept waiting.
func TestRunner_PaceAndHurry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := filled(t, 1)
		ctx, cancel := context.WithCancel(t.Context())
		var commits []time.Time
		r := projections.NewRunner(memory.NewViews(), logFeed{w.log}, clock.System{}, projections.Options{
			Linger: 10 * time.Second,
			Hooks:  projections.Hooks{Committed: func(int, int, time.Duration) { commits = append(commits, time.Now()) }},
		})
		done := make(chan error)
		go func() { done <- r.Run(ctx) }()
		synctest.Wait()
		require.Len(t, commits, 1)
		require.Equal(t, projections.Live, r.Status(ctx).Phase)
		for range 8 {
			w.append(aRun(100+len(w.heads), "a")...)
			time.Sleep(time.Second)
			synctest.Wait()
		}
		require.Len(t, commits, 1, "events that come within the pace share a commit")
		began := time.Now()
		at, err := r.Wait(ctx, 36)
		require.NoError(t, err)
		require.EqualValues(t, 36, at)
		require.Zero(t, time.Since(began))
		synctest.Wait()
		require.Len(t, commits, 2)
		w.append(aRun(7, "a")...)
		time.Sleep(11 * time.Second)
		synctest.Wait()
		require.Len(t, commits, 3)

		limit, stop := context.WithTimeout(ctx, time.Second)
		defer stop()
		at, err = r.Wait(limit, 1000)
		require.ErrorIs(t, err, domain.ErrDeadline)
		require.EqualValues(t, 40, at)
		cancel()
		require.NoError(t, <-done)
	})
}

// A database that is down is waited for, and everything catches up when it is back.
func TestRunner_DatabaseDownAndBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := filled(t, 5)
		ctx, cancel := context.WithCancel(t.Context())
		views := &faults{Generations: memory.NewViews(), open: func() error { return fault(domain.KindUnavailable) }}
		tries := 0
		r := projections.NewRunner(views, logFeed{w.log}, clock.System{}, projections.Options{Hooks: projections.Hooks{Failed: func(error) { tries++ }}})
		done := make(chan error)
		go func() { done <- r.Run(ctx) }()
		time.Sleep(time.Hour)
		synctest.Wait()
		status := r.Status(ctx)
		require.Equal(t, projections.Failing, status.Phase)
		require.Contains(t, status.Error, "as the test wants")
		require.EqualValues(t, 20, status.Lag)
		require.Less(t, tries, 400, "the waits grow")
		views.set(func(f *faults) { f.open = nil })
		time.Sleep(projections.BackoffMaxDefault)
		synctest.Wait()
		status = r.Status(ctx)
		require.Equal(t, projections.Status{Phase: projections.Live, Log: w.log.ID(), Position: 20, Head: 20}, status)
		cancel()
		require.NoError(t, <-done)
	})
}

// Rows that break again right after they were built anew are built anew again, but not all the time.
func TestRunner_RowsThatBreakAgainAndAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := filled(t, 5)
		ctx, cancel := context.WithCancel(t.Context())
		views := &faults{Generations: memory.NewViews(), state: func() error { return fault(domain.KindCorrupt) }}
		rebuilt := 0
		r := projections.NewRunner(views, logFeed{w.log}, clock.System{}, projections.Options{Hooks: projections.Hooks{Rebuilt: func(time.Duration) { rebuilt++ }}})
		done := make(chan error)
		go func() { done <- r.Run(ctx) }()
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		require.Greater(t, rebuilt, 5)
		require.Less(t, rebuilt, 12)
		views.set(func(f *faults) { f.state = nil })
		at, err := r.Wait(ctx, 20)
		require.NoError(t, err)
		require.EqualValues(t, 20, at)
		time.Sleep(10 * time.Second)
		synctest.Wait()
		require.Equal(t, projections.Live, r.Status(ctx).Phase)
		cancel()
		require.NoError(t, <-done)
	})
}

func TestRebuild_OneAtATime(t *testing.T) {
	w := filled(t, 3)
	r := newRunner(w, memory.NewViews(), projections.Options{})
	asked := false
	_, err := r.Rebuild(t.Context(), func(projections.Progress) {
		asked = true
		require.True(t, r.Status(t.Context()).Rebuilding)
		_, err := r.Verify(t.Context(), nil)
		require.ErrorIs(t, err, domain.ErrConflict)
		var coded *domain.Error
		require.ErrorAs(t, err, &coded)
		require.Equal(t, projections.CodeViewsBusy, coded.Code)
	})
	require.NoError(t, err)
	require.True(t, asked)
	require.False(t, r.Status(t.Context()).Rebuilding)
}

// A build that is called off leaves what is served as it was.
func TestRebuild_CalledOff(t *testing.T) {
	w := filled(t, 3)
	views := memory.NewViews()
	r := newRunner(w, views, projections.Options{})
	catchUp(t, r)
	want := snapshot(t, current(t, views))
	ctx, cancel := context.WithCancel(t.Context())
	_, err := r.Rebuild(ctx, func(projections.Progress) { cancel() })
	require.ErrorIs(t, err, domain.ErrCanceled)
	require.Equal(t, want, snapshot(t, current(t, views)))
}

// pages hands out one large event at a time and counts them.
type pages struct {
	projections.Feed
	events int
	given  int
}

func (p *pages) Head(context.Context) (domain.Position, error) { return domain.Position(p.events), nil }

func (p *pages) Follow(context.Context, domain.Position) (projections.Source, error) { return p, nil }

func (p *pages) Next(context.Context) ([]domain.Recorded, domain.Position, bool, error) {
	p.given++
	at := domain.Position(p.given)
	e := domain.Recorded{Stream: "odd", Revision: domain.Revision(at - 1), Position: at, ID: domain.EventID{1}, Type: "odd", Metadata: []byte("{}"), Data: make([]byte, 1<<20)}
	return []domain.Recorded{e}, at, p.given == p.events, nil
}

func (p *pages) Close() error { return nil }

// A backlog of large events must not be read into memory at once.
func TestRunner_ReadsNoMoreThanItCommits(t *testing.T) {
	feed := &pages{Feed: logFeed{memory.NewLog()}, events: 100}
	r := projections.NewRunner(memory.NewViews(), feed, clock.System{}, projections.Options{})
	for caughtUp := false; !caughtUp; {
		before := r.Position()
		var err error
		caughtUp, err = r.Once(t.Context())
		require.NoError(t, err)
		require.LessOrEqual(t, feed.given-int(before), 9, "pages in memory")
		require.LessOrEqual(t, int(r.Position()-before), 8, "events in a commit")
	}
	require.EqualValues(t, 100, r.Position())
}

func TestOptions_Validate(t *testing.T) {
	require.NoError(t, projections.Options{}.Validate())
	require.NoError(t, projections.Options{Linger: -1}.Validate())
	for field, o := range map[string]projections.Options{
		"Linger": {Linger: time.Minute}, "BatchEvents": {BatchEvents: -1}, "BackoffMin": {BackoffMin: time.Hour}, "Differences": {Differences: -1},
	} {
		require.ErrorContains(t, o.Validate(), field)
	}
	require.Panics(t, func() { projections.NewRunner(nil, nil, nil, projections.Options{}) })
}
