package eventbus_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"quipu/domain"
	evrun "quipu/domain/run"
	"quipu/domain/wire"
	"quipu/eventbus"
	"quipu/infra/memory"
)

// ledger writes runs of workflows and notes what a feed of each has to yield.
type ledger struct {
	log   *memory.Log
	heads map[domain.StreamID]domain.Revision
	owner map[domain.StreamID]string
	all   []entry
}

type entry struct{ workflow, text string }

func newLedger() *ledger {
	return &ledger{log: memory.NewLog(), heads: map[domain.StreamID]domain.Revision{}, owner: map[domain.StreamID]string{}}
}

func (l *ledger) append(t require.TestingT, stream domain.StreamID, typ string, data []byte) {
	next, ok := l.heads[stream]
	if !ok {
		next = 0
	}
	e := domain.Pending{ID: domain.UUIDv8(domain.HashEvent(stream, next, typ, data)), Type: typ, Data: data}
	_, err := l.log.Append(context.Background(), stream, next-1, []domain.Pending{e})
	require.NoError(t, err)
	l.heads[stream] = next + 1
	l.all = append(l.all, entry{l.owner[stream], fmt.Sprintf("%s@%d", stream, next)})
}

// start begins a run of a workflow; "" makes one that never begins.
func (l *ledger) start(t require.TestingT, id, workflow string) {
	stream := domain.StreamID("run-" + id)
	var e evrun.Event = evrun.Started{RunID: id, Source: "api", WorkflowID: workflow, Definition: domain.Raw([]byte(`{}`)), Input: domain.Raw([]byte(`{}`))}
	if workflow == "" {
		e = evrun.Abandoned{RunID: id}
	}
	l.owner[stream] = workflow
	typ, data := wire.EncodeRun(e)
	l.append(t, stream, typ, data)
}

func (l *ledger) more(t require.TestingT, id string) {
	typ, data := wire.EncodeRun(evrun.TaskSkipped{Task: "t", Reason: "r"})
	l.append(t, domain.StreamID("run-"+id), typ, data)
}

func (l *ledger) version(t require.TestingT, workflow string) {
	stream := domain.StreamID("workflow-" + workflow)
	l.owner[stream] = workflow
	l.append(t, stream, "workflow.x.v1", []byte(`{}`))
}

// want is what a feed yields after a position; positions of the memory log count events from 1.
func (l *ledger) want(workflow string, after domain.Position) []string {
	out := []string{}
	for i, e := range l.all {
		if domain.Position(i+1) > after && e.workflow == workflow {
			out = append(out, e.text)
		}
	}
	return out
}

func places(events []eventbus.Shared) []string {
	var out []string
	for _, e := range events {
		out = append(out, fmt.Sprintf("%s@%d", e.Recorded().Stream, e.Recorded().Revision))
	}
	return out
}

// flaky makes single reads of the log fail.
type flaky struct {
	*memory.Log
	fail atomic.Bool
}

func (l *flaky) ReadStream(ctx context.Context, s domain.StreamID, from domain.Revision, n int) ([]domain.Recorded, error) {
	if l.fail.Load() {
		return nil, errCut
	}
	return l.Log.ReadStream(ctx, s, from, n)
}

func (l *flaky) ReadAll(ctx context.Context, after domain.Position, n int) ([]domain.Recorded, error) {
	if l.fail.Load() {
		return nil, errCut
	}
	return l.Log.ReadAll(ctx, after, n)
}

// If this fails, a client that follows a workflow sees a gap, a duplicate or a wrong order: at any
// cursor and moment of connecting, while runs of several workflows begin and go on, with overflows,
// cut subscriptions, failing reads and Refreshes, a feed yields exactly its workflow's events.
func TestFeed_YieldsExactlyItsWorkflow(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		ctx := context.Background()
		l := newLedger()
		log := &flaky{Log: l.log}
		size, cut := 1, error(nil)
		open := func(_ context.Context, after domain.Position, _ string) (eventbus.Source, error) {
			return &stepSource{log: l.log, after: after, size: &size, fail: &cut}, cut
		}
		hub := eventbus.New(log, open, newManualClock(), eventbus.Options{HistoryEvents: rapid.IntRange(1, 5).Draw(t, "history")})
		workflows := []string{"w1", "w2", "lao-ü/ -x"}
		var runs []string
		type following struct {
			feed     *eventbus.Feed
			workflow string
			after    domain.Position
			got      []string
		}
		var feeds []*following
		var source eventbus.Source
		step := func() {
			if source == nil {
				source, _ = hub.Connect(ctx)
				return
			}
			if hub.Once(ctx, source) != nil {
				source = nil
			}
		}
		poll := func(f *following) (more bool) {
			events, more, err := f.feed.Poll(ctx)
			if err != nil {
				require.ErrorIs(t, err, errCut)
			}
			f.got = append(f.got, places(events)...)
			return more
		}
		pick := func(t *rapid.T) *following {
			if len(feeds) == 0 {
				feeds = append(feeds, &following{workflow: "w1", feed: hub.Feed("w1", 0, func() {})})
			}
			return feeds[rapid.IntRange(0, len(feeds)-1).Draw(t, "feed")]
		}
		t.Repeat(map[string]func(*rapid.T){
			"start": func(t *rapid.T) {
				id := fmt.Sprint("r", len(runs))
				l.start(t, id, rapid.SampledFrom(append([]string{""}, workflows...)).Draw(t, "workflow"))
				runs = append(runs, id)
			},
			"go on": func(t *rapid.T) {
				for n := rapid.IntRange(1, 10).Draw(t, "n"); n > 0 && len(runs) > 0; n-- {
					l.more(t, rapid.SampledFrom(runs).Draw(t, "run"))
				}
			},
			"overflow": func(t *rapid.T) { // more than is held
				l.start(t, fmt.Sprint("o", len(runs)), "w1")
				for range eventbus.FeedEventsMax + rapid.IntRange(0, 40).Draw(t, "n") {
					l.more(t, fmt.Sprint("o", len(runs)))
				}
				runs = append(runs, fmt.Sprint("o", len(runs)))
			},
			"version": func(t *rapid.T) { l.version(t, rapid.SampledFrom(workflows).Draw(t, "workflow")) },
			"open": func(t *rapid.T) {
				f := &following{workflow: rapid.SampledFrom(workflows).Draw(t, "workflow")}
				f.after = domain.Position(rapid.IntRange(0, len(l.all)).Draw(t, "after"))
				f.feed = hub.Feed(f.workflow, f.after, func() {})
				feeds = append(feeds, f)
			},
			"leave": func(t *rapid.T) {
				f := pick(t)
				f.feed.Close()
				require.Equal(t, strings.Join(l.want(f.workflow, f.after)[:len(f.got)], " "), strings.Join(f.got, " "))
				for i := range feeds {
					if feeds[i] == f {
						feeds = append(feeds[:i:i], feeds[i+1:]...)
						break
					}
				}
			},
			"hub": func(t *rapid.T) {
				size = rapid.IntRange(1, 300).Draw(t, "size")
				step()
			},
			"cut": func(*rapid.T) {
				cut = errCut
				step()
				cut = nil
			},
			"failing reads": func(t *rapid.T) {
				log.fail.Store(true)
				if source != nil {
					step()
				}
				if len(feeds) > 0 {
					poll(pick(t))
				}
				log.fail.Store(false)
			},
			"poll":    func(t *rapid.T) { poll(pick(t)) },
			"refresh": func(t *rapid.T) { pick(t).feed.Refresh() },
		})
		// Quiet now: the hub reaches the head, every feed takes what there is.
		size = 1000
		for range 20 {
			step()
		}
		for _, f := range feeds {
			for poll(f) {
			}
			require.Equal(t, strings.Join(l.want(f.workflow, f.after), " "), strings.Join(f.got, " "))
			f.feed.Close()
		}
	})
}

// With real goroutines: feeds that come at any moment and cursor while runs start all the time.
func TestFeed_OpenedWhileRunsStart(t *testing.T) {
	l := newLedger()
	hub := eventbus.New(l.log, following(l.log), newManualClock(), eventbus.Options{})
	run(t, hub)
	ctx, cancel := context.WithTimeout(context.Background(), 60*time.Second)
	defer cancel()
	const feeds, runs = 24, 1200
	type result struct {
		workflow string
		after    domain.Position
		got      []string
	}
	results := make([]result, feeds)
	begin := make([]chan struct{}, feeds)
	var wg sync.WaitGroup
	for i := range feeds {
		begin[i] = make(chan struct{})
		wg.Go(func() {
			<-begin[i]
			head, err := l.log.Head(ctx)
			if err != nil {
				t.Error(err)
				return
			}
			r := &results[i]
			r.workflow, r.after = fmt.Sprint("w", i%3), head*domain.Position(i%4)/4
			wake := make(chan struct{}, 1)
			f := hub.Feed(r.workflow, r.after, func() {
				select {
				case wake <- struct{}{}:
				default:
				}
			})
			defer f.Close()
			for end := "workflow-" + r.workflow + "@0"; len(r.got) == 0 || r.got[len(r.got)-1] != end; {
				events, more, err := f.Poll(ctx)
				if err != nil {
					t.Error(err)
					return
				}
				r.got = append(r.got, places(events)...)
				if more {
					continue
				}
				select {
				case <-wake:
				case <-ctx.Done():
					t.Error("a feed was not woken")
					return
				}
			}
		})
	}
	for n := range runs {
		if n%(runs/feeds) == 0 {
			close(begin[n/(runs/feeds)])
		}
		id := fmt.Sprint("r", n)
		l.start(t, id, fmt.Sprint("w", n%3))
		l.more(t, id)
		if n > 10 {
			l.more(t, fmt.Sprint("r", n-10)) // of a run begun before some feed
		}
	}
	for i := range 3 {
		l.version(t, fmt.Sprint("w", i)) // the last of each
	}
	wg.Wait()
	for _, r := range results {
		require.Equal(t, l.want(r.workflow, r.after), r.got)
	}
}

// What is held is bounded over all workflows; a feed that finds nothing held reads the log.
func TestFeed_HeldBytesAreBounded(t *testing.T) {
	l := newLedger()
	ctx := context.Background()
	lagged := 0
	hub := eventbus.New(l.log, following(l.log), newManualClock(), eventbus.Options{Hooks: eventbus.Hooks{Lagged: func() { lagged++ }}})
	source, err := hub.Connect(ctx)
	require.NoError(t, err)
	defer func() { require.NoError(t, source.Close()) }()
	const workflows = 2*eventbus.FeedsBytesMax/eventbus.FeedBytesMax + 10
	var feeds []*eventbus.Feed
	for i := range workflows {
		id := fmt.Sprint("w", i)
		f := hub.Feed(id, 0, func() {})
		defer f.Close()
		_, _, err := f.Poll(ctx)
		require.NoError(t, err)
		feeds = append(feeds, f)
		stream := domain.StreamID("workflow-" + id)
		l.owner[stream] = id
		for range 5 {
			l.append(t, stream, "workflow.x.v1", make([]byte, 30<<10))
		}
	}
	total := 0
	for seen := 0; seen < 5*workflows; {
		require.NoError(t, hub.Once(ctx, source))
		seen = hub.Held(&total)
		require.LessOrEqual(t, total, eventbus.FeedsBytesMax)
	}
	for i, f := range feeds {
		var got []string
		for {
			events, more, err := f.Poll(ctx)
			require.NoError(t, err)
			got = append(got, places(events)...)
			if !more {
				break
			}
		}
		require.Equal(t, l.want(fmt.Sprint("w", i), 0), got)
	}
	require.Positive(t, lagged)
}
