package kurrentport_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"testing"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/streams"
	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"quipu/infra/kurrentport"
	"quipu/infra/kurrentport/porttest"
)

// fill appends n events over the streams in turn, of two types in turn.
func fill(t testing.TB, c *esdb.Client, n int, names ...string) {
	t.Helper()
	for i := range n {
		_, err := c.AppendToStream(deadline(t), names[i%len(names)], esdb.AppendToStreamOptions{ExpectedRevision: esdb.Any{}},
			event([]string{"even", "odd"}[i%2], fmt.Sprint(i)))
		require.NoError(t, err)
	}
}

// Filters choose by prefix or regex, by name or type; checkpoints tell how far they came.
func TestSubscribe_Filters(t *testing.T) {
	c := official(t, start(t).URL())
	fill(t, c, 12, "orders-1", "quipu.run-1", "quotes-1")
	for name, f := range map[string]struct {
		filter esdb.SubscriptionFilter
		want   []string
	}{
		"a prefix of Quipu's own":          {esdb.SubscriptionFilter{Type: esdb.StreamFilterType, Prefixes: []string{"quipu."}}, []string{"1", "4", "7", "10"}},
		"a stream of Quipu's own":          {esdb.SubscriptionFilter{Type: esdb.StreamFilterType, Prefixes: []string{"quipu.run-"}}, []string{"1", "4", "7", "10"}},
		"a prefix of others":               {esdb.SubscriptionFilter{Type: esdb.StreamFilterType, Prefixes: []string{"orders-"}}, []string{"0", "3", "6", "9"}},
		"a prefix that both have":          {esdb.SubscriptionFilter{Type: esdb.StreamFilterType, Prefixes: []string{"qu"}}, []string{"1", "2", "4", "5", "7", "8", "10", "11"}},
		"two prefixes":                     {esdb.SubscriptionFilter{Type: esdb.StreamFilterType, Prefixes: []string{"orders", "quotes"}}, []string{"0", "2", "3", "5", "6", "8", "9", "11"}},
		"how the log calls others'":        {esdb.SubscriptionFilter{Type: esdb.StreamFilterType, Prefixes: []string{"ext-"}}, nil},
		"how the log calls its own":        {esdb.SubscriptionFilter{Type: esdb.StreamFilterType, Prefixes: []string{"run-"}}, nil},
		"another name for others' streams": {esdb.SubscriptionFilter{Type: esdb.StreamFilterType, Prefixes: []string{"quipu.ext-"}}, nil},
		"names by regex":                   {esdb.SubscriptionFilter{Type: esdb.StreamFilterType, Regex: "^(orders|quipu[.]run)-1$"}, []string{"0", "1", "3", "4", "6", "7", "9", "10"}},
		"types by prefix":                  {esdb.SubscriptionFilter{Type: esdb.EventFilterType, Prefixes: []string{"od"}}, []string{"1", "3", "5", "7", "9", "11"}},
		"types by regex":                   {esdb.SubscriptionFilter{Type: esdb.EventFilterType, Regex: "even|none"}, []string{"0", "2", "4", "6", "8", "10"}},
	} {
		t.Run(name, func(t *testing.T) {
			s, err := c.SubscribeToAll(deadline(t), esdb.SubscribeToAllOptions{From: esdb.Start{}, Filter: &f.filter, MaxSearchWindow: 100, CheckpointInterval: 1})
			require.NoError(t, err)
			defer s.Close()
			var want []string
			for _, data := range f.want {
				want = append(want, "event "+data)
			}
			want = append(want, "checkpoint 12", "live")
			require.Equal(t, want, take(t, s, len(want)))
		})
	}
}

// A checkpoint never lies behind what was sent, nor is the next one further away than asked for; to
// resume after it misses nothing.
func TestSubscribe_Checkpoints(t *testing.T) {
	c := official(t, start(t).URL())
	fill(t, c, 200, "orders-1", "orders-2", "orders-3", "quipu.run-1")
	const window, multiplier = 5, 3
	open := func(from esdb.AllPosition) *esdb.Subscription {
		s, err := c.SubscribeToAll(deadline(t), esdb.SubscribeToAllOptions{
			From: from, MaxSearchWindow: window, CheckpointInterval: multiplier,
			Filter: &esdb.SubscriptionFilter{Type: esdb.StreamFilterType, Prefixes: []string{"quipu.", "nothing"}},
		})
		require.NoError(t, err)
		return s
	}
	s := open(esdb.Start{})
	defer s.Close()
	checkpoints, last := []esdb.Position{}, uint64(0)
	for live := false; !live; {
		e := s.Recv()
		require.Nil(t, e.SubscriptionDropped)
		switch {
		case e.EventAppeared != nil:
			last = e.EventAppeared.Event.Position.Commit
		case e.CheckPointReached != nil:
			require.GreaterOrEqual(t, e.CheckPointReached.Commit, last)
			checkpoints = append(checkpoints, *e.CheckPointReached)
		case e.CaughtUp != nil:
			live = true
		}
	}
	require.Equal(t, uint64(200), checkpoints[len(checkpoints)-1].Commit)
	require.GreaterOrEqual(t, len(checkpoints), 200/(window*multiplier+4))
	resumed := open(checkpoints[len(checkpoints)/2])
	defer resumed.Close()
	e := resumed.Recv()
	for e.EventAppeared == nil {
		require.Nil(t, e.SubscriptionDropped)
		e = resumed.Recv()
	}
	at, next := checkpoints[len(checkpoints)/2].Commit, e.EventAppeared.Event.Position.Commit
	require.Greater(t, next, at)
	require.LessOrEqual(t, next, at+4)
}

// Where a subscription starts: exclusive of what it names.
func TestSubscribe_From(t *testing.T) {
	c := official(t, start(t).URL())
	fill(t, c, 4, "orders-1")
	ctx := deadline(t)
	for name, o := range map[string]struct {
		all    esdb.AllPosition
		stream esdb.StreamPosition
		want   []string
	}{
		"the start":      {esdb.Start{}, esdb.Start{}, []string{"event 0", "event 1", "event 2", "event 3", "live"}},
		"an event":       {esdb.Position{Commit: 2, Prepare: 2}, esdb.Revision(1), []string{"event 2", "event 3", "live"}},
		"the last event": {esdb.Position{Commit: 4, Prepare: 4}, esdb.Revision(3), []string{"live"}},
		"the end":        {esdb.End{}, esdb.End{}, []string{"live"}},
	} {
		t.Run(name, func(t *testing.T) {
			all, err := c.SubscribeToAll(ctx, esdb.SubscribeToAllOptions{From: o.all})
			require.NoError(t, err)
			defer all.Close()
			require.Equal(t, o.want, take(t, all, len(o.want)))
			stream, err := c.SubscribeToStream(ctx, "orders-1", esdb.SubscribeToStreamOptions{From: o.stream})
			require.NoError(t, err)
			defer stream.Close()
			require.Equal(t, o.want, take(t, stream, len(o.want)))
		})
	}
	future, err := c.SubscribeToStream(ctx, "orders-2", esdb.SubscribeToStreamOptions{From: esdb.Revision(0)})
	require.NoError(t, err, "a stream that does not exist yet can be followed")
	defer future.Close()
	require.Equal(t, []string{"live"}, take(t, future, 1))
	fill(t, c, 2, "orders-2")
	require.Equal(t, []string{"event 1"}, take(t, future, 1))
}

// A stream whose name begins like another's is not that one.
func TestSubscribe_StreamNamesAreWhole(t *testing.T) {
	c := official(t, start(t).URL())
	s, err := c.SubscribeToStream(deadline(t), "orders-1", esdb.SubscribeToStreamOptions{From: esdb.Start{}})
	require.NoError(t, err)
	defer s.Close()
	fill(t, c, 4, "orders-12", "orders-1")
	require.Equal(t, []string{"live", "event 1", "event 3"}, take(t, s, 3))
}

// Subscribers see, while appends go on, every event once and in order, wherever history ends and live
// begins.
func TestSubscribe_NoGapUnderAppends(t *testing.T) {
	p := start(t)
	c := official(t, p.URL())
	const writers, each = 8, 150
	var g errgroup.Group
	for w := range writers {
		do := single(raw(t, p))
		g.Go(func() error {
			for i := range each {
				var expected any = noStream{}
				if i > 0 {
					expected = i - 1
				}
				got, err := do(t.Context(), fmt.Sprintf("quipu.run-%d", w), expected, uuid.New())
				if err != nil {
					return fmt.Errorf("%s: %w", got, err)
				}
			}
			return nil
		})
	}
	for range 4 {
		all, err := c.SubscribeToAll(deadline(t), esdb.SubscribeToAllOptions{From: esdb.Start{}})
		require.NoError(t, err)
		one, err := c.SubscribeToStream(deadline(t), "quipu.run-3", esdb.SubscribeToStreamOptions{From: esdb.Start{}})
		require.NoError(t, err)
		g.Go(func() error {
			return inOrder(all, writers*each, func(e *esdb.RecordedEvent) uint64 { return e.Position.Commit - 1 })
		})
		g.Go(func() error { return inOrder(one, each, func(e *esdb.RecordedEvent) uint64 { return e.EventNumber }) })
	}
	require.NoError(t, g.Wait())
}

// inOrder takes n events whose numbers count up from 0.
func inOrder(s *esdb.Subscription, n int, number func(*esdb.RecordedEvent) uint64) error {
	defer s.Close()
	for next := uint64(0); next < uint64(n); {
		e := s.Recv()
		if e.SubscriptionDropped != nil {
			return fmt.Errorf("dropped at %d: %w", next, e.SubscriptionDropped.Error)
		}
		if e.EventAppeared == nil {
			continue
		}
		if got := number(e.EventAppeared.Event); got != next {
			return fmt.Errorf("event %d came instead of %d", got, next)
		}
		next++
	}
	return nil
}

// A reader that takes nothing costs the others nothing, and gets everything when it comes back.
func TestSubscribe_SlowReaderHoldsNobodyUp(t *testing.T) {
	p := start(t)
	slow, err := raw(t, p).Read(deadline(t), subscribeAll())
	require.NoError(t, err)
	_, err = slow.Recv() // the confirmation
	require.NoError(t, err)
	quick := official(t, p.URL())
	s, err := quick.SubscribeToAll(deadline(t), esdb.SubscribeToAllOptions{From: esdb.Start{}})
	require.NoError(t, err)
	const events, size = 400, 64 << 10 // 25 MiB: beyond what the connection of the slow one buffers
	var g errgroup.Group
	g.Go(func() error {
		return inOrder(s, events, func(e *esdb.RecordedEvent) uint64 { return e.Position.Commit - 1 })
	})
	data := string(make([]byte, size))
	for range events {
		_, err := quick.AppendToStream(deadline(t), "orders-1", esdb.AppendToStreamOptions{ExpectedRevision: esdb.Any{}}, event("made", data))
		require.NoError(t, err)
	}
	require.NoError(t, g.Wait())
	for next := uint64(1); next <= events; {
		m, err := slow.Recv()
		require.NoError(t, err)
		if e := m.GetEvent(); e != nil {
			require.Equal(t, next, e.GetCommitPosition())
			require.Len(t, e.GetEvent().GetId().GetString_(), 36, "ids in the form that was asked for")
			next++
		}
	}
}

// Reads of $all by filter, which the protocol has and the official client lacks.
func TestReadAll_Filtered(t *testing.T) {
	p := start(t)
	fill(t, official(t, p.URL()), 700, "orders-1", "orders-2", "orders-3", "quipu.run-1")
	c := raw(t, p)
	read := func(backwards bool, count uint64) (positions []uint64) {
		o := subscribeAll().GetOptions()
		o.CountOption = &streams.ReadReq_Options_Count{Count: count}
		o.FilterOption = &streams.ReadReq_Options_Filter{Filter: &streams.ReadReq_Options_FilterOptions{
			Filter: &streams.ReadReq_Options_FilterOptions_StreamIdentifier{StreamIdentifier: &streams.ReadReq_Options_FilterOptions_Expression{Prefix: []string{"quipu."}}},
		}}
		if backwards {
			o.ReadDirection = streams.ReadReq_Options_Backwards
			o.StreamOption.(*streams.ReadReq_Options_All).All.AllOption = &streams.ReadReq_Options_AllOptions_Position{Position: &streams.ReadReq_Options_Position{CommitPosition: math.MaxUint64}}
		}
		call, err := c.Read(deadline(t), &streams.ReadReq{Options: o})
		require.NoError(t, err)
		for {
			m, err := call.Recv()
			if err != nil {
				return positions
			}
			positions = append(positions, m.GetEvent().GetCommitPosition())
		}
	}
	require.Equal(t, []uint64{4, 8, 12}, read(false, 3))
	require.Equal(t, []uint64{700, 696}, read(true, 2))
	require.Len(t, read(false, math.MaxUint64), 175)
	require.Len(t, read(true, math.MaxUint64), 175)
}

// Appends of one call to one stream are carried out in the order they were sent, those to others
// beside them, and each is answered by its correlation id.
func TestBatchAppend_ManyAtOnce(t *testing.T) {
	p := start(t)
	call, err := raw(t, p).BatchAppend(deadline(t))
	require.NoError(t, err)
	const names, each = 40, 30
	want := map[string]string{}
	var g errgroup.Group
	var sent []*streams.BatchAppendReq
	for i := range each {
		for n := range names {
			id := uuid.New()
			o := options(fmt.Sprintf("quipu.run-%d", n), true).GetOptions()
			b := &streams.BatchAppendReq_Options{StreamIdentifier: o.GetStreamIdentifier(), ExpectedStreamPosition: &streams.BatchAppendReq_Options_NoStream{}}
			if i > 0 {
				b.ExpectedStreamPosition = &streams.BatchAppendReq_Options_StreamPosition{StreamPosition: uint64(i - 1)}
			}
			sent = append(sent, &streams.BatchAppendReq{
				CorrelationId: stringID(id), Options: b, IsFinal: true,
				ProposedMessages: []*streams.BatchAppendReq_ProposedMessage{{Id: stringID(id), Metadata: metadataOf()}},
			})
			want[id.String()] = fmt.Sprintf("quipu.run-%d at %d", n, i)
		}
	}
	g.Go(func() error {
		for _, m := range sent {
			if err := call.Send(m); err != nil {
				return err
			}
		}
		return call.CloseSend()
	})
	for range len(sent) {
		m, err := call.Recv()
		require.NoError(t, err)
		require.Nil(t, m.GetError())
		id := m.GetCorrelationId().GetString_()
		require.Equal(t, want[id], fmt.Sprintf("%s at %d", m.GetStreamIdentifier().GetStreamName(), m.GetSuccess().GetCurrentRevision()))
		delete(want, id)
	}
	require.NoError(t, g.Wait())
	_, err = call.Recv()
	require.Error(t, err, "nothing more is to come")
	require.Empty(t, want)
}

// An append of a batch that was not to be carried out any more is not.
func TestBatchAppend_Deadlines(t *testing.T) {
	p := start(t)
	call, err := raw(t, p).BatchAppend(deadline(t))
	require.NoError(t, err)
	o := &streams.BatchAppendReq_Options{
		StreamIdentifier:       options("orders-1", true).GetOptions().GetStreamIdentifier(),
		ExpectedStreamPosition: &streams.BatchAppendReq_Options_Any{},
		DeadlineOption:         &streams.BatchAppendReq_Options_Deadline{},
	}
	correlation := stringID(uuid.New())
	require.NoError(t, call.Send(&streams.BatchAppendReq{CorrelationId: correlation, Options: o}))
	require.NoError(t, call.Send(&streams.BatchAppendReq{CorrelationId: correlation, IsFinal: true}))
	m, err := call.Recv()
	require.NoError(t, err)
	require.Equal(t, "Timeout", m.GetError().GetMessage())
	ctx, cancel := context.WithTimeout(deadline(t), time.Second)
	defer cancel()
	_, err = single(raw(t, p))(ctx, "orders-1", streamExists{}, uuid.New())
	require.False(t, errors.Is(err, context.DeadlineExceeded))
	got, err := single(raw(t, p))(ctx, "orders-1", noStream{}, uuid.New())
	require.NoError(t, err)
	require.Equal(t, "0@1", got)
}

// Hundreds of subscriptions to streams, most of which rest: each gets its own events, and when the log is
// closed all of them end, those of streams as those of $all.
func TestSubscribe_ManyStreams(t *testing.T) {
	log := openLog(t, t.TempDir())
	p := porttest.Start(t, log, func(o *kurrentport.Options) { o.StreamsMax = 1000 })
	c := official(t, p.URL())
	const streamsOpen = 400
	var subscriptions []*esdb.Subscription
	for i := range streamsOpen {
		s, err := c.SubscribeToStream(deadline(t), fmt.Sprintf("orders-%d", i), esdb.SubscribeToStreamOptions{From: esdb.Start{}})
		require.NoError(t, err)
		defer s.Close()
		require.Equal(t, []string{"live"}, take(t, s, 1))
		subscriptions = append(subscriptions, s)
	}
	all, err := c.SubscribeToAll(deadline(t), esdb.SubscribeToAllOptions{From: esdb.End{}})
	require.NoError(t, err)
	defer all.Close()
	fill(t, c, 6, "orders-7", "orders-399", "orders-0")
	require.Equal(t, []string{"event 0", "event 3"}, take(t, subscriptions[7], 2))
	require.Equal(t, []string{"event 1", "event 4"}, take(t, subscriptions[399], 2))
	require.Equal(t, []string{"event 2", "event 5"}, take(t, subscriptions[0], 2))
	require.NoError(t, log.Close())
	for _, s := range append(subscriptions[:10], all) {
		e := s.Recv()
		for e.SubscriptionDropped == nil {
			e = s.Recv()
		}
		require.Equal(t, codes.Unavailable, status.Code(e.SubscriptionDropped.Error))
	}
}
