package eventbus_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"quipu/domain"
	"quipu/eventbus"
	"quipu/infra/memory"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// appendTo adds n events to stream, whatever its head.
func appendTo(t require.TestingT, log *memory.Log, stream domain.StreamID, n int) {
	head := domain.NoStream
	if page, err := log.ReadStreamBackward(context.Background(), stream, 1<<40, 1); err == nil {
		head = page[0].Revision
	}
	pending := make([]domain.Pending, n)
	for i := range pending {
		text := fmt.Sprintf("%s@%d", stream, int(head)+1+i)
		pending[i] = domain.Pending{ID: domain.UUIDv8(domain.HashEvent(stream, head+1+domain.Revision(i), text, nil)), Type: "run.x.v1", Data: []byte(text)}
	}
	_, err := log.Append(context.Background(), stream, head, pending)
	require.NoError(t, err)
}

// stepSource reads the log in batches of a size that the test chooses; Next never waits.
type stepSource struct {
	log   *memory.Log
	after domain.Position
	size  *int
	fail  *error
}

func (s *stepSource) Next(ctx context.Context) ([]domain.Recorded, domain.Position, bool, error) {
	if *s.fail != nil {
		return nil, 0, false, *s.fail
	}
	events, err := s.log.ReadAll(ctx, s.after, *s.size)
	if len(events) > 0 {
		s.after = events[len(events)-1].Position
	}
	return events, s.after, len(events) == 0, err
}

func (s *stepSource) Close() error { return nil }

// following adapts memory.Log as the composition root does.
func following(log *memory.Log) eventbus.OpenFunc {
	return func(ctx context.Context, after domain.Position, prefix string) (eventbus.Source, error) {
		sub, err := log.Subscribe(ctx, after, prefix)
		if err != nil {
			return nil, err
		}
		return subscription{next: func(ctx context.Context) ([]domain.Recorded, domain.Position, bool, error) {
			b, err := sub.Next(ctx)
			return b.Events, b.Position, b.CaughtUp, err
		}, close: sub.Close}, nil
	}
}

type subscription struct {
	next  func(context.Context) ([]domain.Recorded, domain.Position, bool, error)
	close func() error
}

func (s subscription) Next(ctx context.Context) ([]domain.Recorded, domain.Position, bool, error) {
	return s.next(ctx)
}
func (s subscription) Close() error { return s.close() }

// manualClock runs what it is asked to when the test says so.
type manualClock struct {
	mu      sync.Mutex
	pending []func()
	asked   chan time.Duration
}

func newManualClock() *manualClock { return &manualClock{asked: make(chan time.Duration, 100)} }

func (c *manualClock) Now() time.Time { return time.Unix(0, 0) }

func (c *manualClock) AfterFunc(d time.Duration, f func()) func() bool {
	c.mu.Lock()
	c.pending = append(c.pending, f)
	c.mu.Unlock()
	c.asked <- d
	return func() bool { return true }
}

func (c *manualClock) fire() {
	c.mu.Lock()
	pending := c.pending
	c.pending = nil
	c.mu.Unlock()
	for _, f := range pending {
		f()
	}
}

var errCut = errors.New("cut")

func texts(events []eventbus.Shared) []string {
	var out []string
	for _, e := range events {
		out = append(out, string(e.Recorded().Data))
	}
	return out
}

func expected(stream domain.StreamID, from, to int) []string {
	var out []string
	for i := from; i < to; i++ {
		out = append(out, fmt.Sprintf("%s@%d", stream, i))
	}
	return out
}
