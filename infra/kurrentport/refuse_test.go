package kurrentport_test

import (
	"bytes"
	"context"
	"strings"
	"testing"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/shared"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/streams"
	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"quipu/domain"
	"quipu/infra/kurrentport"
)

// Names that cannot be written, each with what the caller is told.
func TestAppend_Names(t *testing.T) {
	p := start(t)
	do := map[string]appender{"Append": single(raw(t, p)), "BatchAppend": batched(raw(t, p))}
	for name, c := range map[string]struct {
		stream string
		code   codes.Code
		says   string
	}{
		"metadata of a stream":     {"$$orders-1", codes.Unimplemented, "metadata is not kept"},
		"a system stream":          {"$ce-orders", codes.PermissionDenied, "system stream"},
		"$all":                     {"$all", codes.PermissionDenied, "system stream"},
		"another name for others'": {"quipu.ext-orders", codes.PermissionDenied, "is not Quipu's"},
		"no name":                  {"", codes.InvalidArgument, "is empty"},
		"the prefix alone":         {"quipu.", codes.InvalidArgument, "is empty"},
		"control characters":       {"a\x00b", codes.InvalidArgument, "control character"},
		"not UTF-8":                {"a\xffb", codes.InvalidArgument, "not valid UTF-8"},
		"too long":                 {strings.Repeat("x", domain.StreamIDBytesMax), codes.InvalidArgument, "at most 512"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := do["Append"](deadline(t), c.stream, anyRevision{}, uuid.New())
			require.Equal(t, c.code, status.Code(err), "%v", err)
			require.ErrorContains(t, err, c.says)
			_, err = do["BatchAppend"](deadline(t), c.stream, anyRevision{}, uuid.New())
			require.ErrorContains(t, err, c.says)
		})
	}
	for _, stream := range []string{"orders-1", "ext-orders", "a b/ü#😀-$x", "x$", strings.Repeat("y", 500), "quipu", "Quipu.run-1"} {
		got, err := do["Append"](deadline(t), stream, noStream{}, uuid.New())
		require.NoError(t, err, stream)
		require.True(t, strings.HasPrefix(got, "0@"), stream)
		c := official(t, p.URL())
		s, err := c.ReadStream(deadline(t), stream, esdb.ReadStreamOptions{From: esdb.Start{}}, 1)
		events, err := drain(t, s, err)
		require.NoError(t, err, stream)
		require.Equal(t, stream, events[0].StreamID)
	}
}

// A breach of the bound on an append is told by code and trailer, as on the server.
func TestAppend_Size(t *testing.T) {
	p := start(t, func(o *kurrentport.Options) { o.AppendBytesMax = 2000 })
	c := raw(t, p)
	try := func(events, size int) (metadata.MD, error) {
		var trailer metadata.MD
		call, err := c.Append(deadline(t), grpc.Trailer(&trailer))
		require.NoError(t, err)
		_ = call.Send(options("orders-1", true))
		for range events {
			id := uuid.New()
			_ = call.Send(&streams.AppendReq{Content: &streams.AppendReq_ProposedMessage_{ProposedMessage: &streams.AppendReq_ProposedMessage{
				Id: stringID(id), Metadata: metadataOf(), Data: bytes.Repeat([]byte("x"), size),
			}}})
		}
		_, err = call.CloseAndRecv()
		return trailer, err
	}
	_, err := try(1, 2000-2*len("made"))
	require.NoError(t, err, "the bound itself is allowed")
	trailer, err := try(1, 2001-2*len("made"))
	require.Equal(t, codes.InvalidArgument, status.Code(err))
	require.Equal(t, []string{"maximum-append-size-exceeded"}, trailer.Get("exception"))
	require.Equal(t, []string{"2000"}, trailer.Get("maximum-append-size"))
	_, err = try(3, 700)
	require.Equal(t, codes.InvalidArgument, status.Code(err), "all events of an append count")
	_, err = try(domain.AppendEventsMax+1, 0)
	require.Equal(t, codes.InvalidArgument, status.Code(err))
	_, err = try(1, kurrentport.MessageBytesMax+1)
	require.Equal(t, codes.ResourceExhausted, status.Code(err))

	_, err = batched(c)(deadline(t), "orders-2", noStream{}, manyIDs(200)...)
	require.ErrorContains(t, err, "Maximum Append Size of 2000 Exceeded.")
}

// The log counts a little for each event: the largest append of many events is refused like any that
// is too large.
func TestAppend_SizeAsTheLogCounts(t *testing.T) {
	c := raw(t, start(t))
	var trailer metadata.MD
	call, err := c.Append(deadline(t), grpc.Trailer(&trailer))
	require.NoError(t, err)
	_ = call.Send(options("orders-1", true))
	for range domain.AppendEventsMax {
		_ = call.Send(&streams.AppendReq{Content: &streams.AppendReq_ProposedMessage_{ProposedMessage: &streams.AppendReq_ProposedMessage{
			Id: stringID(uuid.New()), Metadata: metadataOf(), Data: make([]byte, domain.AppendBytesMax/domain.AppendEventsMax-10),
		}}})
	}
	_, err = call.CloseAndRecv()
	require.Equal(t, codes.InvalidArgument, status.Code(err))
	require.Equal(t, []string{"maximum-append-size-exceeded"}, trailer.Get("exception"))
}

func manyIDs(n int) (all []uuid.UUID) {
	for range n {
		all = append(all, uuid.New())
	}
	return all
}

func options(stream string, any bool) *streams.AppendReq {
	o := &streams.AppendReq_Options{StreamIdentifier: &shared.StreamIdentifier{StreamName: []byte(stream)}}
	if any {
		o.ExpectedStreamRevision = &streams.AppendReq_Options_Any{Any: &shared.Empty{}}
	}
	return &streams.AppendReq{Content: &streams.AppendReq_Options_{Options: o}}
}

// A client that is refused while it still sends learns why, not that its stream has ended: the official
// one would show the latter.
func TestOfficialClient_LearnsWhyItIsRefused(t *testing.T) {
	p := start(t, func(o *kurrentport.Options) { o.OwnWritable = false })
	c := official(t, p.URL())
	events := make([]esdb.EventData, 30)
	for range 30 {
		for i := range events {
			events[i] = event("made", string(make([]byte, 40<<10)))
		}
		_, err := c.AppendToStream(deadline(t), "orders-1", esdb.AppendToStreamOptions{ExpectedRevision: esdb.Any{}}, events...)
		require.ErrorContains(t, err, "Maximum Append Size")
		_, err = c.AppendToStream(deadline(t), "quipu.run-1", esdb.AppendToStreamOptions{ExpectedRevision: esdb.Any{}}, events...)
		require.Equal(t, esdb.ErrorCodeAccessDenied, code(t, err))
	}
}

// Messages that no client of good faith sends.
func TestAppend_BadMessages(t *testing.T) {
	c := raw(t, start(t))
	message := func(change func(*streams.AppendReq_ProposedMessage)) *streams.AppendReq {
		m := &streams.AppendReq_ProposedMessage{Id: stringID(uuid.New()), Metadata: metadataOf()}
		change(m)
		return &streams.AppendReq{Content: &streams.AppendReq_ProposedMessage_{ProposedMessage: m}}
	}
	good := options("orders-1", true)
	for name, messages := range map[string][]*streams.AppendReq{
		"nothing":        {},
		"no options":     {message(func(*streams.AppendReq_ProposedMessage) {})},
		"options twice":  {good, good},
		"no expectation": {options("orders-1", false)},
		"empty message":  {good, {}},
		"no id":          {good, message(func(m *streams.AppendReq_ProposedMessage) { m.Id = nil })},
		"zero id":        {good, message(func(m *streams.AppendReq_ProposedMessage) { m.Id = stringID(uuid.Nil) })},
		"id that is no UUID": {good, message(func(m *streams.AppendReq_ProposedMessage) {
			m.Id = &shared.UUID{Value: &shared.UUID_String_{String_: "x"}}
		})},
		"structured id, missing": {good, message(func(m *streams.AppendReq_ProposedMessage) { m.Id = &shared.UUID{Value: &shared.UUID_Structured_{}} })},
		"no type":                {good, message(func(m *streams.AppendReq_ProposedMessage) { delete(m.Metadata, "type") })},
		"no content type":        {good, message(func(m *streams.AppendReq_ProposedMessage) { delete(m.Metadata, "content-type") })},
		"type too long":          {good, message(func(m *streams.AppendReq_ProposedMessage) { m.Metadata["type"] = strings.Repeat("t", 129) })},
	} {
		t.Run(name, func(t *testing.T) {
			call, err := c.Append(deadline(t))
			require.NoError(t, err)
			for _, m := range messages {
				_ = call.Send(m)
			}
			_, err = call.CloseAndRecv()
			require.Equal(t, codes.InvalidArgument, status.Code(err), "%v", err)
		})
	}
	var trailer metadata.MD
	call, err := c.Append(deadline(t), grpc.Trailer(&trailer))
	require.NoError(t, err)
	_ = call.Send(good)
	_ = call.Send(message(func(m *streams.AppendReq_ProposedMessage) { m.Metadata = nil }))
	_, err = call.CloseAndRecv()
	require.Error(t, err)
	require.Equal(t, []string{"missing-required-metadata-property"}, trailer.Get("exception"))
}

// What the port does not offer it refuses in words that the official client understands.
func TestOfficialClient_WhatIsNotOffered(t *testing.T) {
	p := start(t)
	c := official(t, p.URL())
	ctx := deadline(t)
	_, err := c.AppendToStream(ctx, "orders-1", esdb.AppendToStreamOptions{}, event("made", "a"))
	require.NoError(t, err)
	unsupported := func(err error) {
		t.Helper()
		require.Error(t, err)
		require.Equal(t, esdb.ErrorCodeUnsupportedFeature, code(t, err), "%v", err)
	}
	_, err = c.DeleteStream(ctx, "orders-1", esdb.DeleteStreamOptions{})
	unsupported(err)
	_, err = c.TombstoneStream(ctx, "orders-1", esdb.TombstoneStreamOptions{})
	unsupported(err)
	_, err = c.SetStreamMetadata(ctx, "orders-1", esdb.AppendToStreamOptions{}, esdb.StreamMetadata{})
	unsupported(err)
	unsupported(c.CreatePersistentSubscription(ctx, "orders-1", "group", esdb.PersistentStreamSubscriptionOptions{}))
	_, err = c.GetStreamMetadata(ctx, "orders-1", esdb.ReadStreamOptions{})
	require.ErrorContains(t, err, "not found")
	s, err := c.ReadStream(ctx, "$$orders-1", esdb.ReadStreamOptions{From: esdb.Start{}}, 1)
	_, err = drain(t, s, err)
	require.Equal(t, esdb.ErrorCodeResourceNotFound, code(t, err))
	s, err = c.ReadStream(ctx, "$ce-orders", esdb.ReadStreamOptions{From: esdb.Start{}}, 1)
	_, err = drain(t, s, err)
	require.Equal(t, esdb.ErrorCodeAccessDenied, code(t, err))
}

// Reads that are malformed.
func TestRead_BadOptions(t *testing.T) {
	c := raw(t, start(t))
	all := &streams.ReadReq_Options_All{All: &streams.ReadReq_Options_AllOptions{AllOption: &streams.ReadReq_Options_AllOptions_Start{Start: &shared.Empty{}}}}
	stream := func(name string) *streams.ReadReq_Options_Stream {
		return &streams.ReadReq_Options_Stream{Stream: &streams.ReadReq_Options_StreamOptions{
			StreamIdentifier: &shared.StreamIdentifier{StreamName: []byte(name)},
			RevisionOption:   &streams.ReadReq_Options_StreamOptions_Start{Start: &shared.Empty{}},
		}}
	}
	one := &streams.ReadReq_Options_Count{Count: 1}
	subscription := &streams.ReadReq_Options_Subscription{Subscription: &streams.ReadReq_Options_SubscriptionOptions{}}
	type filter = streams.ReadReq_Options_FilterOptions
	type expression = streams.ReadReq_Options_FilterOptions_Expression
	byType := func(e *expression, change func(*filter)) *streams.ReadReq_Options_Filter {
		f := &filter{Filter: &streams.ReadReq_Options_FilterOptions_EventType{EventType: e}, CheckpointIntervalMultiplier: 1}
		if change != nil {
			change(f)
		}
		return &streams.ReadReq_Options_Filter{Filter: f}
	}
	prefix := &expression{Prefix: []string{"a"}}
	for name, o := range map[string]*streams.ReadReq_Options{
		"no options":           nil,
		"no count":             {StreamOption: all},
		"count 0":              {StreamOption: all, CountOption: &streams.ReadReq_Options_Count{}},
		"no target":            {CountOption: one},
		"no start":             {CountOption: one, StreamOption: &streams.ReadReq_Options_All{All: &streams.ReadReq_Options_AllOptions{}}},
		"no revision":          {CountOption: one, StreamOption: &streams.ReadReq_Options_Stream{Stream: &streams.ReadReq_Options_StreamOptions{StreamIdentifier: &shared.StreamIdentifier{StreamName: []byte("a")}}}},
		"no name":              {CountOption: one, StreamOption: stream("")},
		"filter on a stream":   {CountOption: one, StreamOption: stream("a"), FilterOption: byType(prefix, nil)},
		"empty filter":         {CountOption: one, StreamOption: all, FilterOption: &streams.ReadReq_Options_Filter{Filter: &filter{}}},
		"filter of nothing":    {CountOption: one, StreamOption: all, FilterOption: byType(&expression{}, nil)},
		"prefix and regex":     {CountOption: one, StreamOption: all, FilterOption: byType(&expression{Prefix: []string{"a"}, Regex: "a"}, nil)},
		"bad regex":            {CountOption: one, StreamOption: all, FilterOption: byType(&expression{Regex: "("}, nil)},
		"long regex":           {CountOption: one, StreamOption: all, FilterOption: byType(&expression{Regex: strings.Repeat("a", kurrentport.FilterBytesMax+1)}, nil)},
		"many prefixes":        {CountOption: one, StreamOption: all, FilterOption: byType(&expression{Prefix: make([]string, kurrentport.FilterPrefixesMax+1)}, nil)},
		"window 0":             {CountOption: subscription, StreamOption: all, FilterOption: byType(prefix, func(f *filter) { f.Window = &streams.ReadReq_Options_FilterOptions_Max{} })},
		"multiplier 0":         {CountOption: subscription, StreamOption: all, FilterOption: byType(prefix, func(f *filter) { f.CheckpointIntervalMultiplier = 0 })},
		"subscribed backwards": {CountOption: subscription, StreamOption: all, ReadDirection: streams.ReadReq_Options_Backwards},
		"subscribed beyond the end": {CountOption: subscription, StreamOption: &streams.ReadReq_Options_All{All: &streams.ReadReq_Options_AllOptions{
			AllOption: &streams.ReadReq_Options_AllOptions_Position{Position: &streams.ReadReq_Options_Position{CommitPosition: 99}},
		}}},
		"subscribed beyond every revision": {CountOption: subscription, StreamOption: &streams.ReadReq_Options_Stream{Stream: &streams.ReadReq_Options_StreamOptions{
			StreamIdentifier: &shared.StreamIdentifier{StreamName: []byte("a")},
			RevisionOption:   &streams.ReadReq_Options_StreamOptions_Revision{Revision: 1 << 63},
		}}},
	} {
		t.Run(name, func(t *testing.T) {
			call, err := c.Read(deadline(t), &streams.ReadReq{Options: o})
			require.NoError(t, err)
			_, err = call.Recv()
			require.Equal(t, codes.InvalidArgument, status.Code(err), "%v", err)
		})
	}
}

// On a server that runs an executor Quipu's own streams are read-only, whoever asks.
func TestAppend_OwnStreamsReadOnly(t *testing.T) {
	p := start(t, func(o *kurrentport.Options) { o.OwnWritable = false })
	var trailer metadata.MD
	call, err := raw(t, p).Append(deadline(t), grpc.Trailer(&trailer))
	require.NoError(t, err)
	_ = call.Send(options("quipu.run-1", true))
	_, err = call.CloseAndRecv()
	require.Equal(t, codes.PermissionDenied, status.Code(err))
	require.Equal(t, []string{"access-denied"}, trailer.Get("exception"))
	got, err := single(raw(t, p))(deadline(t), "orders-1", noStream{}, uuid.New())
	require.NoError(t, err)
	require.Equal(t, "0@1", got)
}

// An append that the caller no longer waits for ends with its deadline.
func TestAppend_Deadline(t *testing.T) {
	p := start(t)
	ctx, cancel := context.WithCancel(deadline(t))
	call, err := raw(t, p).Append(ctx)
	require.NoError(t, err)
	_ = call.Send(options("orders-1", true))
	cancel()
	_, err = call.CloseAndRecv()
	require.Equal(t, codes.Canceled, status.Code(err))
	ctx, cancel = context.WithTimeout(deadline(t), 1)
	defer cancel()
	_, err = single(raw(t, p))(ctx, "orders-1", noStream{}, uuid.New())
	require.Equal(t, codes.DeadlineExceeded, status.Code(err))
	got, err := single(raw(t, p))(deadline(t), "orders-1", noStream{}, uuid.New())
	require.NoError(t, err)
	require.Equal(t, "0@1", got, "nothing was written before")
}
