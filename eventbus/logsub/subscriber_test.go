package logsub_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/stretchr/testify/require"

	"quipu/commands"
	"quipu/domain"
	"quipu/eventbus"
	"quipu/eventbus/logsub"
	"quipu/infra/clock"
	"quipu/infra/memory"
)

const patience = time.Minute

// write appends n events to each of the streams, in turn.
func write(t *testing.T, log commands.Log, n int, streams ...domain.StreamID) {
	t.Helper()
	for i := range n {
		for _, stream := range streams {
			text := fmt.Sprintf("%s@%d", stream, i)
			_, err := log.Append(t.Context(), stream, domain.Revision(i)-1, []domain.Pending{{
				ID: domain.UUIDv8(domain.HashEvent(stream, domain.Revision(i), text, nil)), Type: "run.x.v1", Data: []byte(text), Metadata: []byte("{}"),
			}})
			require.NoError(t, err)
		}
	}
}

func streams(n int) []domain.StreamID {
	out := make([]domain.StreamID, n)
	for i := range out {
		out[i] = domain.StreamID(fmt.Sprintf("run-%d", i))
	}
	return out
}

func byStream(e *domain.Recorded) string { return string(e.Stream) }

func subscribe(t *testing.T, d logsub.Deps, o logsub.Options) (<-chan *message.Message, *logsub.Subscriber) {
	t.Helper()
	d.Clock, d.Message = clock.System{}, published
	s, err := logsub.New(d, o)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	messages, err := s.Subscribe(t.Context(), "run-")
	require.NoError(t, err)
	return messages, s
}

func take(t *testing.T, messages <-chan *message.Message) *message.Message {
	t.Helper()
	select {
	case m, ok := <-messages:
		require.True(t, ok, "the channel is closed")
		return m
	case <-time.After(patience):
		require.FailNow(t, "no message came")
		return nil
	}
}

// Many keys are out at once, each with one event; a refusal holds its own key only; nothing is missing,
// nothing out of order.
func TestSubscriber_KeysInParallelAndInOrder(t *testing.T) {
	log := memory.NewLog()
	const keys, each = 20, 50
	write(t, log, each, streams(keys)...)
	messages, _ := subscribe(t, logsub.Deps{Open: open(log)}, logsub.Options{
		Key: byStream, InFlight: 8, RetryMin: time.Microsecond, RetryMax: time.Millisecond,
	})
	var mu sync.Mutex
	out, acked, most := map[string]bool{}, map[string]int{}, 0
	random := rand.New(rand.NewPCG(1, 2))
	var wg sync.WaitGroup
	for left := keys * each; left > 0; {
		m := take(t, messages)
		d, ok := logsub.Of(m)
		require.True(t, ok)
		mu.Lock()
		key := string(d.Event.Stream)
		require.False(t, out[key], "two of %s at once", key)
		require.EqualValues(t, acked[key], d.Event.Revision, "%s out of order", key)
		out[key] = true
		most = max(most, len(out))
		refuse := random.IntN(4) == 0
		if !refuse {
			left--
		}
		mu.Unlock()
		wg.Go(func() {
			mu.Lock()
			delete(out, key)
			if !refuse {
				acked[key]++
			}
			mu.Unlock()
			if refuse {
				m.Nack()
			} else {
				m.Ack()
			}
		})
	}
	wg.Wait()
	require.Greater(t, most, 1)
	require.LessOrEqual(t, most, 8)
}

// A refused message comes again after waits that double up to the longest, with its attempts counted.
func TestSubscriber_RefusedComesAgainAfterAWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := memory.NewLog()
		write(t, log, 2, "run-a")
		messages, s := subscribe(t, logsub.Deps{Open: open(log)}, logsub.Options{RetryMin: time.Second, RetryMax: 3 * time.Second})
		at := time.Now()
		for i, wait := range []time.Duration{0, 1, 2, 3, 3} {
			m := <-messages
			d, _ := logsub.Of(m)
			require.EqualValues(t, 0, d.Event.Revision)
			require.Equal(t, i+1, d.Attempt)
			require.Equal(t, wait*time.Second, time.Since(at))
			at = time.Now()
			m.Nack()
		}
		(<-messages).Ack()
		d, _ := logsub.Of(<-messages)
		require.EqualValues(t, 1, d.Event.Revision)
		require.Equal(t, 1, d.Attempt)
		require.NoError(t, s.Close())
	})
}

// Closing does not lose what was acknowledged, and what was not comes again.
func TestSubscriber_GoesOnFromTheCheckpoint(t *testing.T) {
	log := memory.NewLog()
	write(t, log, 30, "run-a", "other-b")
	checkpoints := memory.NewCheckpoints(log.ID())
	o := logsub.Options{Checkpoint: func(string) string { return "c" }, SaveEvery: time.Hour}
	for from := 0; from < 30; from += 10 {
		messages, s := subscribe(t, logsub.Deps{Open: open(log), Checkpoints: checkpoints}, o)
		for i := from; i < from+10; i++ {
			m := take(t, messages)
			require.Equal(t, fmt.Sprintf("run-a@%d", i), string(m.Payload))
			m.Ack()
		}
		if from < 20 {
			require.Equal(t, fmt.Sprintf("run-a@%d", from+10), string(take(t, messages).Payload)) // and never says a word
		}
		require.NoError(t, s.Close())
		_, ok := <-messages
		require.False(t, ok, "the channel is closed")
	}
	at, err := checkpoints.Load(t.Context(), "c")
	require.NoError(t, err)
	head, err := log.Head(t.Context())
	require.NoError(t, err)
	require.Equal(t, head, at, "events of other streams are passed over")
}

// unsaved loses every save, as a crash does.
type unsaved struct{ *memory.Checkpoints }

func (unsaved) Save(context.Context, string, domain.Position, domain.Position) error {
	return domain.E(domain.KindUnavailable, "save", "", "the disk is gone")
}

func TestSubscriber_ACrashBeforeTheSaveRepeatsAndMissesNothing(t *testing.T) {
	log := memory.NewLog()
	write(t, log, 10, "run-a")
	checkpoints := memory.NewCheckpoints(log.ID())
	var mu sync.Mutex
	var failures []error
	o := logsub.Options{Checkpoint: func(string) string { return "c" }, SaveEvents: 2, SaveEvery: time.Millisecond, Hooks: logsub.Hooks{
		Failed: func(_ string, err error, _ time.Duration) { mu.Lock(); failures = append(failures, err); mu.Unlock() },
	}}
	var got []string
	messages, s := subscribe(t, logsub.Deps{Open: open(log), Checkpoints: unsaved{checkpoints}}, o)
	for range 6 {
		m := take(t, messages)
		got = append(got, string(m.Payload))
		m.Ack()
	}
	require.NoError(t, s.Close())
	mu.Lock()
	require.NotEmpty(t, failures, "a checkpoint that cannot be saved is told")
	mu.Unlock()
	messages, _ = subscribe(t, logsub.Deps{Open: open(log), Checkpoints: checkpoints}, o)
	for i := range 10 {
		m := take(t, messages)
		require.Equal(t, fmt.Sprintf("run-a@%d", i), string(m.Payload))
		m.Ack()
	}
	require.Len(t, got, 6)
}

// Two under one checkpoint: each goes on from where the other brought it, and together they see everything.
func TestSubscriber_TwoMoveOneCheckpoint(t *testing.T) {
	log := memory.NewLog()
	const events = 300
	write(t, log, events, "run-a")
	checkpoints := memory.NewCheckpoints(log.ID())
	o := logsub.Options{Checkpoint: func(string) string { return "c" }, SaveEvents: 7, SaveEvery: time.Millisecond}
	var mu sync.Mutex
	seen := map[string]bool{}
	over := make(chan struct{})
	var wg sync.WaitGroup
	for range 2 {
		messages, _ := subscribe(t, logsub.Deps{Open: open(log), Checkpoints: checkpoints}, o)
		wg.Go(func() {
			last := domain.Revision(-1)
			for {
				select {
				case m := <-messages:
					d, _ := logsub.Of(m)
					if d.Event.Revision <= last && d.Attempt > 1 {
						t.Errorf("%d after %d", d.Event.Revision, last)
					}
					last = d.Event.Revision
					mu.Lock()
					seen[string(m.Payload)] = true
					mu.Unlock()
					m.Ack()
				case <-over:
					return
				}
			}
		})
	}
	// Whoever finds the checkpoint moved by the other takes from there again: both listen until it is at the end.
	head, err := log.Head(t.Context())
	require.NoError(t, err)
	require.Eventually(t, func() bool {
		at, err := checkpoints.Load(t.Context(), "c")
		return err == nil && at == head
	}, patience, time.Millisecond)
	close(over)
	wg.Wait()
	require.Len(t, seen, events)
}

func TestSubscriber_ACheckpointOfAnotherLogIsAnError(t *testing.T) {
	log := memory.NewLog()
	checkpoints := memory.NewCheckpoints("another log")
	require.NoError(t, checkpoints.Save(t.Context(), "c", 0, 3))
	s, err := logsub.New(logsub.Deps{Open: open(log), Checkpoints: checkpoints.For(log.ID()), Clock: clock.System{}, Message: published},
		logsub.Options{Checkpoint: func(string) string { return "c" }})
	require.NoError(t, err)
	_, err = s.Subscribe(t.Context(), "run-")
	require.ErrorIs(t, err, domain.ErrConflict)
	e, _ := errors.AsType[*domain.Error](err)
	require.Equal(t, eventbus.CodeLogChanged, e.Code)
	require.NoError(t, s.Close())
	require.NoError(t, s.Close())
	_, err = s.Subscribe(t.Context(), "run-")
	require.ErrorIs(t, err, domain.ErrUnavailable)
}

// flaky fails every third call of what it wraps.
type flaky struct {
	mu    sync.Mutex
	calls int
}

func (f *flaky) fails() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.calls++
	return f.calls%3 == 0
}

type flakySource struct {
	eventbus.Source
	f *flaky
}

func (s flakySource) Next(ctx context.Context) ([]domain.Recorded, domain.Position, bool, error) {
	events, position, caughtUp, err := s.Source.Next(ctx)
	if s.f.fails() { // what it had read is lost with it
		return nil, 0, false, domain.E(domain.KindUnavailable, "read", "", "cut")
	}
	if len(events) > 3 { // small batches, so that it is cut in the middle
		events, position, caughtUp = events[:3], events[2].Position, false
	}
	return events, position, caughtUp, err
}

func TestSubscriber_TheLogFailsForAWhile(t *testing.T) {
	log := memory.NewLog()
	write(t, log, 20, "run-a", "run-b")
	var f flaky
	flakyOpen := func(ctx context.Context, after domain.Position, prefix string) (eventbus.Source, error) {
		if f.fails() {
			return nil, domain.E(domain.KindUnavailable, "subscribe", "", "cut")
		}
		source, err := open(log)(ctx, after, prefix)
		return oneBatch{flakySource{source, &f}, new(int)}, err
	}
	messages, _ := subscribe(t, logsub.Deps{Open: flakyOpen}, logsub.Options{RetryMin: time.Microsecond, RetryMax: time.Millisecond})
	for i := range 40 {
		m := take(t, messages)
		require.Equal(t, fmt.Sprintf("run-%c@%d", "ab"[i%2], i/2), string(m.Payload))
		m.Ack()
	}
}

// oneBatch fails after a batch, so that what flakySource cut off is read again.
type oneBatch struct {
	eventbus.Source
	n *int
}

func (o oneBatch) Next(ctx context.Context) ([]domain.Recorded, domain.Position, bool, error) {
	if *o.n++; *o.n > 1 {
		return nil, 0, false, domain.E(domain.KindUnavailable, "read", "", "cut")
	}
	return o.Source.Next(ctx)
}

// endless gives events of ever new streams, after one of stream "stuck", and counts them.
type endless struct {
	mu   sync.Mutex
	read int
}

func (e *endless) Next(ctx context.Context) ([]domain.Recorded, domain.Position, bool, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	stream := domain.StreamID(fmt.Sprintf("run-%d", e.read))
	if e.read == 0 {
		stream = "stuck"
	}
	e.read++
	p := domain.Position(e.read)
	return []domain.Recorded{{Stream: stream, Position: p, ID: domain.EventID{1}, Metadata: []byte("{}")}}, p, false, ctx.Err()
}
func (e *endless) Close() error { return nil }

// An event that is refused for ever holds nobody else's, up to a bound; beyond it reading stops.
func TestSubscriber_ReadsABoundedWayAhead(t *testing.T) {
	var e endless
	messages, _ := subscribe(t, logsub.Deps{Open: func(context.Context, domain.Position, string) (eventbus.Source, error) { return &e, nil }},
		logsub.Options{Key: byStream, InFlight: 4, RetryMin: time.Millisecond, RetryMax: time.Millisecond})
	others, refusals := 0, 0
	for refusals < 100 || others < logsub.WindowMax-1 {
		m := take(t, messages)
		if d, _ := logsub.Of(m); d.Event.Stream == "stuck" {
			refusals++
			m.Nack()
			continue
		}
		others++
		m.Ack()
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	require.LessOrEqual(t, e.read, logsub.WindowMax+1, "the window and the one that waits to be taken in")
}

// Whoever closes may wait for what is out.
func TestSubscriber_CloseGrace(t *testing.T) {
	log := memory.NewLog()
	write(t, log, 2, "run-a")
	checkpoints := memory.NewCheckpoints(log.ID())
	messages, s := subscribe(t, logsub.Deps{Open: open(log), Checkpoints: checkpoints},
		logsub.Options{Checkpoint: func(string) string { return "c" }, CloseGrace: time.Hour})
	m := take(t, messages)
	closed := make(chan struct{})
	go func() { _ = s.Close(); close(closed) }()
	require.NoError(t, m.Context().Err())
	m.Ack()
	select {
	case <-closed:
	case <-time.After(patience):
		require.FailNow(t, "Close did not return")
	}
	at, err := checkpoints.Load(t.Context(), "c")
	require.NoError(t, err)
	require.EqualValues(t, 1, at)
	<-m.Context().Done()
}

func TestNew_BadOptions(t *testing.T) {
	for _, o := range []logsub.Options{
		{InFlight: -1},
		{InFlight: logsub.InFlightMax + 1},
		{SaveEvents: -1},
		{RetryMin: 2, RetryMax: 1},
		{CloseGrace: -1},
		{Checkpoint: func(string) string { return "c" }},
	} {
		_, err := logsub.New(logsub.Deps{}, o)
		require.ErrorIs(t, err, domain.ErrInvalid)
	}
}
