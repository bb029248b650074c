package logcopy_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"quipu/commands"
	"quipu/commands/logtest"
	"quipu/domain"
	"quipu/domain/wire"
	"quipu/infra/embedded"
	"quipu/infra/logcopy"
	"quipu/infra/memory"
)

// filler appends random events: chained ones of Quipu's own, and some from elsewhere.
type filler struct {
	t     testing.TB
	r     *rand.Rand
	log   commands.Log
	heads map[domain.StreamID]wire.Head
	all   []domain.StreamID
}

func newFiller(t testing.TB, seed uint64, log commands.Log) *filler {
	return &filler{t: t, r: rand.New(rand.NewPCG(seed, 1)), log: log, heads: map[domain.StreamID]wire.Head{}}
}

// fill makes n appends.
func (f *filler) fill(n int) {
	f.t.Helper()
	for range n {
		var stream domain.StreamID
		switch k := f.r.IntN(10); {
		case k == 0 || len(f.all) == 0:
			stream = domain.StreamID(fmt.Sprintf("run-%d", len(f.all)))
			if f.r.IntN(5) == 0 {
				stream = domain.StreamID(fmt.Sprintf("ext-ü/%d", len(f.all)))
			}
			f.all = append(f.all, stream)
		case k < 4:
			stream = f.all[f.r.IntN(len(f.all))]
		default: // a run under way has many appends behind each other
			stream = f.all[len(f.all)-1]
		}
		head, known := f.heads[stream]
		if !known {
			head = wire.NewHead()
		}
		before := head.Revision
		var events []domain.Pending
		for range 1 + f.r.IntN(4) {
			data := []byte(fmt.Sprintf(`{"n":%d,"pad":%q}`, f.r.Uint64(), strings.Repeat("x", f.r.IntN(300))))
			if strings.HasPrefix(string(stream), "ext-") {
				e := logtest.Events(1)[0]
				e.Data = data
				if f.r.IntN(2) == 0 {
					e.Metadata = nil
				}
				events = append(events, e)
				head.Revision++
				continue
			}
			cause := wire.Cause{Actor: wire.Actor{Kind: wire.ActorSystem}, CommandID: "c", CorrelationID: "r"}
			var e domain.Pending
			e, head = wire.Seal(stream, head, head.Instant(time.UnixMilli(1e12+f.r.Int64N(1e9))), cause, "run.tested.v1", data)
			events = append(events, e)
		}
		_, err := f.log.Append(f.t.Context(), stream, before, events)
		require.NoError(f.t, err)
		f.heads[stream] = head
	}
}

// content is a log as a copy must have it: everything but the positions.
func content(t testing.TB, log logcopy.Source) []domain.Recorded {
	t.Helper()
	var all []domain.Recorded
	var after domain.Position
	for {
		page, err := log.ReadAll(t.Context(), after, 1000)
		require.NoError(t, err)
		if len(page) == 0 {
			return all
		}
		for _, e := range page {
			require.Greater(t, e.Position, after)
			after = e.Position
			e.Position = 0
			if len(e.Metadata) == 0 {
				e.Metadata = nil
			}
			all = append(all, e)
		}
	}
}

func openEmbedded(t testing.TB, dir string) *embedded.Log {
	t.Helper()
	log, err := embedded.Open(dir, embedded.Options{SegmentBytes: 1 << 20})
	require.NoError(t, err)
	t.Cleanup(func() { _ = log.Close() })
	return log
}

// noBatches hides what a log offers beside commands.Log.
type noBatches struct{ commands.Log }

// A copy is the source, whatever keeps the two, and a copy of it is too.
func TestCopy_RandomLogs(t *testing.T) {
	for seed := range uint64(6) {
		source := memory.NewLog()
		f := newFiller(t, seed, source)
		f.fill(50 + f.r.IntN(1500))
		want := content(t, source)
		dir := t.TempDir()
		disk := openEmbedded(t, dir)
		slow := noBatches{openEmbedded(t, t.TempDir())}
		o := logcopy.Options{PageEventsMax: 1 + f.r.IntN(100), ChainsMax: 1 + f.r.IntN(20)}
		for _, step := range []struct {
			name string
			from logcopy.Source
			to   logcopy.Target
		}{{"memory to embedded", source, disk}, {"without batches", source, slow}, {"embedded to memory", disk, memory.NewLog()}} {
			phases := map[string]int{}
			o.Progress = func(p logcopy.Progress) {
				phases[p.Phase] = p.Events
				require.LessOrEqual(t, p.Position, p.Goal)
			}
			done, err := logcopy.Copy(t.Context(), step.from, step.to, o)
			require.NoError(t, err, "seed %d %s", seed, step.name)
			require.Equal(t, want, content(t, step.to), "seed %d %s", seed, step.name)
			require.Equal(t, len(want), done.Events)
			require.Equal(t, len(want), done.Copied)
			require.Zero(t, done.Found)
			require.Equal(t, len(f.all), done.Streams)
			require.LessOrEqual(t, done.Appends, len(want))
			require.NotEqual(t, done.Source, done.Target)
			require.Equal(t, len(want), phases[logcopy.PhaseVerify])
			require.Positive(t, phases[logcopy.PhaseCopy])

			again, err := logcopy.Copy(t.Context(), step.from, step.to, o)
			require.NoError(t, err, "seed %d %s again", seed, step.name)
			require.Equal(t, len(want), again.Found)
			require.Zero(t, again.Copied)
		}
		require.NoError(t, disk.Close())
		summary, err := embedded.VerifyDir(t.Context(), dir, nil, func(p embedded.Problem) { t.Error(p) })
		require.NoError(t, err)
		require.Equal(t, len(want), summary.Events)
	}
}

// What is recorded later is added, as long as the source only grows; positions may differ.
func TestCopy_GoesOnWithWhatIsNew(t *testing.T) {
	source, target := memory.NewLog(), openEmbedded(t, t.TempDir())
	f := newFiller(t, 7, source)
	copied := 0
	for range 5 {
		f.fill(100)
		done, err := logcopy.Copy(t.Context(), source, target, logcopy.Options{})
		require.NoError(t, err)
		require.Equal(t, copied, done.Found)
		copied += done.Copied
		require.Equal(t, copied, done.Events)
		require.Equal(t, content(t, source), content(t, target))
	}
}

// Streams that are left out are neither copied nor in the way of a copy.
func TestCopy_LeavesOutWhatItIsTold(t *testing.T) {
	source, target := memory.NewLog(), memory.NewLog()
	newFiller(t, 9, source).fill(300)
	leftOut := func(s domain.StreamID) bool { return strings.HasPrefix(string(s), "ext-") || s == "mine" }
	_, err := target.Append(t.Context(), "mine", domain.NoStream, logtest.Events(3))
	require.NoError(t, err)
	var want []domain.Recorded
	for _, e := range content(t, source) {
		if !leftOut(e.Stream) {
			want = append(want, e)
		}
	}
	for _, found := range []int{0, len(want)} {
		done, err := logcopy.Copy(t.Context(), source, target, logcopy.Options{LeaveOut: leftOut, PageEventsMax: 3})
		require.NoError(t, err)
		require.Equal(t, found, done.Found)
		require.Equal(t, want, content(t, target)[3:])
	}
}

func TestCopy_EmptyLogs(t *testing.T) {
	target := memory.NewLog()
	done, err := logcopy.Copy(t.Context(), memory.NewLog(), target, logcopy.Options{})
	require.NoError(t, err)
	require.Zero(t, done.Events)
	newFiller(t, 1, target).fill(1)
	_, err = logcopy.Copy(t.Context(), memory.NewLog(), target, logcopy.Options{})
	requireRefused(t, err, "TARGET_DIFFERS", "holds more than the source")
}

func requireRefused(t *testing.T, err error, code, text string) {
	t.Helper()
	var e *domain.Error
	require.ErrorAs(t, err, &e)
	require.Equal(t, code, e.Code, err)
	require.ErrorContains(t, err, text)
}

func TestCopy_RefusesATargetThatHoldsSomethingElse(t *testing.T) {
	source := memory.NewLog()
	newFiller(t, 1, source).fill(40)
	all := content(t, source)
	pending := func(e domain.Recorded) domain.Pending {
		return domain.Pending{ID: e.ID, Type: e.Type, Metadata: e.Metadata, Data: e.Data}
	}
	fill := func(n int) *memory.Log { // the first n events of the source
		target := memory.NewLog()
		for _, e := range all[:n] {
			_, err := target.Append(t.Context(), e.Stream, e.Revision-1, []domain.Pending{pending(e)})
			require.NoError(t, err)
		}
		return target
	}
	add := func(to *memory.Log, e domain.Recorded) *memory.Log {
		_, err := to.Append(t.Context(), e.Stream, e.Revision-1, []domain.Pending{pending(e)})
		require.NoError(t, err)
		return to
	}
	other, bytes := all[20], all[20]
	other.ID[0]++
	bytes.Data = []byte("{}")
	for name, c := range map[string]struct {
		target *memory.Log
		text   string
	}{
		"a stream of its own":    {add(memory.NewLog(), domain.Recorded{Stream: "mine", ID: domain.EventID{1}, Type: "t"}), "is no copy"},
		"another event":          {add(fill(20), other), "the event's id is"},
		"other bytes":            {add(fill(20), bytes), "not the bytes"},
		"a stream behind":        {add(fill(20), domain.Recorded{Stream: "mine", ID: domain.EventID{1}, Type: "t"}), "is no copy"},
		"more behind everything": {add(fill(len(all)), domain.Recorded{Stream: "mine", ID: domain.EventID{1}, Type: "t"}), "holds more"},
	} {
		before := content(t, c.target)
		_, err := logcopy.Copy(t.Context(), source, c.target, logcopy.Options{PageEventsMax: 7})
		requireRefused(t, err, "TARGET_DIFFERS", c.text)
		require.Equal(t, before, content(t, c.target), "%s: nothing is written", name)
	}
	_, err := logcopy.Copy(t.Context(), source, source, logcopy.Options{})
	requireRefused(t, err, "SAME_LOG", "the same log")
	done, err := logcopy.Copy(t.Context(), source, fill(20), logcopy.Options{PageEventsMax: 7})
	require.NoError(t, err)
	require.Equal(t, 20, done.Found)
	require.Equal(t, len(all)-20, done.Copied)
}

// forged is a source with one event changed.
type forged struct {
	logcopy.Source
	at     domain.Position
	change func(*domain.Recorded)
}

func (f forged) ReadAll(ctx context.Context, after domain.Position, max int) ([]domain.Recorded, error) {
	page, err := f.Source.ReadAll(ctx, after, max)
	page = append([]domain.Recorded(nil), page...)
	for i := range page {
		if page[i].Position == f.at {
			f.change(&page[i])
		}
	}
	return page, err
}

// A chain that is broken at the source is named, and nothing from there on is copied.
func TestCopy_StopsAtABrokenChain(t *testing.T) {
	source := memory.NewLog()
	stream := domain.StreamID("run-1")
	head := wire.NewHead()
	for i := range 30 {
		before := head.Revision
		var e domain.Pending
		e, head = wire.Seal(stream, head, time.UnixMilli(1e12), wire.Cause{}, "run.tested.v1", []byte(fmt.Sprint(i)))
		_, err := source.Append(t.Context(), stream, before, []domain.Pending{e})
		require.NoError(t, err)
		_, err = source.Append(t.Context(), domain.StreamID(fmt.Sprintf("ext-%d", i)), domain.NoStream, logtest.Events(1))
		require.NoError(t, err)
	}
	for name, c := range map[string]struct {
		change func(*domain.Recorded)
		text   string
	}{
		"data":     {func(e *domain.Recorded) { e.Data = []byte("99") }, "the data is not what the event was hashed with"},
		"id":       {func(e *domain.Recorded) { e.ID[3]++ }, "its hash gives"},
		"type":     {func(e *domain.Recorded) { e.Type = "run.other.v1" }, "its hash gives"},
		"metadata": {func(e *domain.Recorded) { e.Metadata = []byte(`{}`) }, "says nothing of the event before"},
		"revision": {func(e *domain.Recorded) { e.Revision++ }, "revision"},
		"past": {func(e *domain.Recorded) {
			p, _ := wire.Seal(e.Stream, wire.Head{Revision: e.Revision - 1, Hash: domain.Hash{1}}, time.UnixMilli(1e12), wire.Cause{}, e.Type, e.Data)
			e.ID, e.Metadata = p.ID, p.Metadata
		}, "names another event before it"},
	} {
		for _, chains := range []int{1, 100} {
			target := memory.NewLog()
			_, err := logcopy.Copy(t.Context(), forged{source, 21, c.change}, target, logcopy.Options{PageEventsMax: 8, ChainsMax: chains})
			require.Equal(t, domain.KindCorrupt, domain.KindOf(err), "%s: %v", name, err)
			require.ErrorContains(t, err, c.text, name)
			require.ErrorContains(t, err, `stream "run-1"`, name)
			require.ErrorContains(t, err, "position 21", name)
			require.Len(t, content(t, target), 20, "%s: what comes before is copied", name)
		}
	}
}

// shaky fails calls at random; some appends are carried out all the same.
type shaky struct {
	commands.Log
	r *rand.Rand
}

var errAway = domain.E(domain.KindUnavailable, "call", "log", "is away")

func (s *shaky) Append(ctx context.Context, stream domain.StreamID, expected domain.Revision, events []domain.Pending) (commands.Appended, error) {
	switch s.r.IntN(6) {
	case 0:
		return commands.Appended{}, errAway
	case 1:
		_, _ = s.Log.Append(ctx, stream, expected, events)
		return commands.Appended{}, domain.E(domain.KindIndeterminate, "append", "log", "who knows")
	}
	return s.Log.Append(ctx, stream, expected, events)
}

// Logs that are away for a moment do not end a copy, nor double an event.
func TestCopy_RetriesWhileALogIsAway(t *testing.T) {
	source := memory.NewLog()
	newFiller(t, 3, source).fill(30)
	target := &shaky{memory.NewLog(), rand.New(rand.NewPCG(3, 3))}
	_, err := logcopy.Copy(t.Context(), source, target, logcopy.Options{})
	require.NoError(t, err)
	require.Equal(t, content(t, source), content(t, target.Log))

	gone := memory.NewLog()
	require.NoError(t, gone.Close())
	_, err = logcopy.Copy(t.Context(), source, gone, logcopy.Options{RetryFor: time.Millisecond})
	require.Equal(t, domain.KindUnavailable, domain.KindOf(err))
}

// breaking ends the copy after some appends, as a kill would.
type breaking struct {
	*embedded.Log
	left int
}

var errBroken = errors.New("broken off")

func (b *breaking) AppendBatch(ctx context.Context, writes []commands.Write) (commands.Appended, error) {
	if b.left--; b.left < 0 {
		return commands.Appended{}, errBroken
	}
	return b.Log.AppendBatch(ctx, writes)
}

func TestCopy_GoesOnWhereItWasInterrupted(t *testing.T) {
	source := memory.NewLog()
	f := newFiller(t, 11, source)
	f.fill(4000)
	dir := t.TempDir()
	for found, last := 0, 0; ; {
		target := openEmbedded(t, dir)
		done, err := logcopy.Copy(t.Context(), source, &breaking{target, 1 + f.r.IntN(2)}, logcopy.Options{PageEventsMax: 64})
		require.Equal(t, found, done.Found)
		found += done.Copied
		if err == nil {
			require.Equal(t, content(t, source), content(t, target))
			require.NoError(t, target.Close())
			break
		}
		require.ErrorIs(t, err, errBroken)
		require.Greater(t, found, last, "it comes forward")
		last = found
		require.NoError(t, target.Close())
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := logcopy.Copy(ctx, source, memory.NewLog(), logcopy.Options{})
	require.Equal(t, domain.KindCanceled, domain.KindOf(err))
}
