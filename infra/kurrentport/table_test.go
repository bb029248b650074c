package kurrentport_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/EventStore/EventStore-Client-Go/v4/protos/shared"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/streams"
	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/types/known/emptypb"

	"quipu/infra/kurrentport/porttest"
)

// An appender makes one append by one of the protocol's two ways and renders its outcome:
// "revision@position", "no_stream@position" or "wrong, at current".
type appender func(ctx context.Context, stream string, expected any, ids ...uuid.UUID) (string, error)

type (
	anyRevision  struct{}
	noStream     struct{}
	streamExists struct{}
)

func metadataOf() map[string]string {
	return map[string]string{"type": "made", "content-type": "application/octet-stream"}
}

func stringID(id uuid.UUID) *shared.UUID {
	return &shared.UUID{Value: &shared.UUID_String_{String_: id.String()}}
}

func single(c streams.StreamsClient) appender {
	return func(ctx context.Context, stream string, expected any, ids ...uuid.UUID) (string, error) {
		call, err := c.Append(ctx)
		if err != nil {
			return "", err
		}
		o := &streams.AppendReq_Options{StreamIdentifier: &shared.StreamIdentifier{StreamName: []byte(stream)}}
		switch v := expected.(type) {
		case int:
			o.ExpectedStreamRevision = &streams.AppendReq_Options_Revision{Revision: uint64(v)}
		case noStream:
			o.ExpectedStreamRevision = &streams.AppendReq_Options_NoStream{NoStream: &shared.Empty{}}
		case anyRevision:
			o.ExpectedStreamRevision = &streams.AppendReq_Options_Any{Any: &shared.Empty{}}
		case streamExists:
			o.ExpectedStreamRevision = &streams.AppendReq_Options_StreamExists{StreamExists: &shared.Empty{}}
		}
		_ = call.Send(&streams.AppendReq{Content: &streams.AppendReq_Options_{Options: o}})
		for _, id := range ids {
			_ = call.Send(&streams.AppendReq{Content: &streams.AppendReq_ProposedMessage_{ProposedMessage: &streams.AppendReq_ProposedMessage{
				Id: stringID(id), Metadata: metadataOf(), Data: id[:],
			}}})
		}
		resp, err := call.CloseAndRecv()
		if err != nil {
			return "", err
		}
		if w := resp.GetWrongExpectedVersion(); w != nil {
			if w.GetCurrentNoStream() != nil {
				return "wrong, at no_stream", sameWrong(w, expected)
			}
			return fmt.Sprintf("wrong, at %d", w.GetCurrentRevision()), sameWrong(w, expected)
		}
		s := resp.GetSuccess()
		if _, ok := s.GetCurrentRevisionOption().(*streams.AppendResp_Success_NoStream); ok {
			return fmt.Sprintf("no_stream@%d", s.GetPosition().GetCommitPosition()), nil
		}
		return fmt.Sprintf("%d@%d", s.GetCurrentRevision(), s.GetPosition().GetCommitPosition()), nil
	}
}

// sameWrong checks that a refusal names what was expected, in the fields of both versions of the
// protocol.
func sameWrong(w *streams.AppendResp_WrongExpectedVersion, expected any) error {
	ok := false
	switch v := expected.(type) {
	case int:
		ok = w.GetExpectedRevision() == uint64(v) && w.GetExpectedRevision_20_6_0() == uint64(v)
	case noStream:
		ok = w.GetExpectedNoStream() != nil
	case anyRevision:
		ok = w.GetExpectedAny() != nil && w.GetAny_20_6_0() != nil
	case streamExists:
		ok = w.GetExpectedStreamExists() != nil && w.GetStreamExists_20_6_0() != nil
	}
	ok = ok && w.GetCurrentRevision() == w.GetCurrentRevision_20_6_0() && (w.GetCurrentNoStream() == nil) == (w.GetNoStream_20_6_0() == nil)
	if !ok {
		return fmt.Errorf("refusal of %v says %v", expected, w)
	}
	return nil
}

func batched(c streams.StreamsClient) appender {
	return func(ctx context.Context, stream string, expected any, ids ...uuid.UUID) (string, error) {
		call, err := c.BatchAppend(ctx)
		if err != nil {
			return "", err
		}
		o := &streams.BatchAppendReq_Options{StreamIdentifier: &shared.StreamIdentifier{StreamName: []byte(stream)}}
		switch v := expected.(type) {
		case int:
			o.ExpectedStreamPosition = &streams.BatchAppendReq_Options_StreamPosition{StreamPosition: uint64(v)}
		case noStream:
			o.ExpectedStreamPosition = &streams.BatchAppendReq_Options_NoStream{NoStream: &emptypb.Empty{}}
		case anyRevision:
			o.ExpectedStreamPosition = &streams.BatchAppendReq_Options_Any{Any: &emptypb.Empty{}}
		case streamExists:
			o.ExpectedStreamPosition = &streams.BatchAppendReq_Options_StreamExists{StreamExists: &emptypb.Empty{}}
		}
		correlation := stringID(uuid.New())
		// Options alone, then each event in a message of its own, the last one final.
		messages := []*streams.BatchAppendReq{{CorrelationId: correlation, Options: o}}
		for _, id := range ids {
			messages = append(messages, &streams.BatchAppendReq{CorrelationId: correlation, ProposedMessages: []*streams.BatchAppendReq_ProposedMessage{
				{Id: stringID(id), Metadata: metadataOf(), Data: id[:]},
			}})
		}
		messages[len(messages)-1].IsFinal = true
		for _, m := range messages {
			if call.Send(m) != nil {
				break // Recv says why
			}
		}
		resp, err := call.Recv()
		if err != nil {
			return "", err
		}
		if err := call.CloseSend(); err != nil {
			return "", err
		}
		if resp.GetCorrelationId().GetString_() != correlation.GetString_() || string(resp.GetStreamIdentifier().GetStreamName()) != stream {
			return "", fmt.Errorf("an answer to another append: %v", resp)
		}
		if e := resp.GetError(); e != nil {
			var w shared.WrongExpectedVersion
			if len(e.GetDetails()) != 1 || e.GetDetails()[0].UnmarshalTo(&w) != nil {
				return "", fmt.Errorf("%s %v", e.GetMessage(), e.GetDetails())
			}
			if w.GetCurrentNoStream() != nil {
				return "wrong, at no_stream", nil
			}
			return fmt.Sprintf("wrong, at %d", w.GetCurrentStreamRevision()), nil
		}
		s := resp.GetSuccess()
		if _, ok := s.GetCurrentRevisionOption().(*streams.BatchAppendResp_Success_NoStream); ok {
			return fmt.Sprintf("no_stream@%d", s.GetPosition().GetCommitPosition()), nil
		}
		return fmt.Sprintf("%d@%d", s.GetCurrentRevision(), s.GetPosition().GetCommitPosition()), nil
	}
}

// The table of expected revisions and repeats, row by row, by Append and by BatchAppend, on streams
// of others and on Quipu's own. Letters stand for event ids; a number repeats them.
func TestAppend_TableOfExpectedRevisions(t *testing.T) {
	type step struct {
		expected any
		ids      string
		want     string // "" for the position means: whatever
	}
	rows := map[string][]step{
		"NoStream, absent":                          {{noStream{}, "a", "0@1"}},
		"NoStream, exists with other events":        {{noStream{}, "ab", "1@2"}, {noStream{}, "c", "wrong, at 1"}},
		"NoStream, exists with these events":        {{noStream{}, "ab", "1@2"}, {1, "c", "2@3"}, {noStream{}, "ab", "1@2"}},
		"NoStream, exists with the first of these":  {{noStream{}, "ab", "1@2"}, {noStream{}, "ac", "wrong, at 1"}},
		"NoStream, exists with fewer of these":      {{noStream{}, "ab", "1@2"}, {noStream{}, "abc", "wrong, at 1"}},
		"StreamExists, absent":                      {{streamExists{}, "a", "wrong, at no_stream"}},
		"StreamExists, exists":                      {{noStream{}, "a", "0@1"}, {streamExists{}, "b", "1@2"}},
		"exact, absent":                             {{0, "a", "wrong, at no_stream"}},
		"exact beyond the head":                     {{noStream{}, "a", "0@1"}, {1, "b", "wrong, at 0"}},
		"exact beyond everything":                   {{noStream{}, "a", "0@1"}, {-1, "b", "wrong, at 0"}},
		"exact below the head, the same events":     {{noStream{}, "abc", "2@3"}, {0, "bc", "2@3"}},
		"exact below the head, a part of them":      {{noStream{}, "abc", "2@3"}, {0, "b", "1@2"}},
		"exact below the head, the first differs":   {{noStream{}, "abc", "2@3"}, {0, "xc", "wrong, at 2"}},
		"exact below the head, a later one differs": {{noStream{}, "abc", "2@3"}, {0, "bx", "wrong, at 2"}},
		"exact below the head, more than there is":  {{noStream{}, "abc", "2@3"}, {0, "bcd", "wrong, at 2"}},
		"exact at the head, ids seen before":        {{noStream{}, "a", "0@1"}, {0, "a", "1@2"}},
		"Any, absent":                               {{anyRevision{}, "a", "0@1"}},
		"Any, exists":                               {{noStream{}, "a", "0@1"}, {anyRevision{}, "b", "1@2"}},
		"Any, a repeat":                             {{anyRevision{}, "ab", "1@2"}, {anyRevision{}, "c", "2@3"}, {anyRevision{}, "ab", "1@2"}},
		"Any, a repeat of what came at a revision":  {{noStream{}, "ab", "1@2"}, {1, "c", "2@3"}, {anyRevision{}, "ab", "1@2"}},
		"Any, begins like an earlier one":           {{anyRevision{}, "a", "0@1"}, {anyRevision{}, "ab", "wrong, at 0"}},
		"Any, ends like an earlier one":             {{anyRevision{}, "a", "0@1"}, {anyRevision{}, "ba", "2@3"}},
		"StreamExists, a repeat":                    {{noStream{}, "a", "0@1"}, {streamExists{}, "b", "1@2"}, {streamExists{}, "b", "1@2"}},
		"no events, Any, absent":                    {{anyRevision{}, "", "no_stream@0"}},
		"no events, NoStream, absent":               {{noStream{}, "", "no_stream@0"}},
		"no events, NoStream, exists":               {{noStream{}, "a", "0@1"}, {noStream{}, "", "wrong, at 0"}},
		"no events, StreamExists, absent":           {{streamExists{}, "", "wrong, at no_stream"}},
		"no events, exact at the head":              {{noStream{}, "a", "0@1"}, {0, "", "0@1"}},
		"no events, exact below the head":           {{noStream{}, "ab", "1@2"}, {0, "", "wrong, at 1"}},
	}
	for name, steps := range rows {
		t.Run(name, func(t *testing.T) {
			for _, stream := range []string{"orders-1", "quipu.run-1"} {
				for way, open := range map[string]func(streams.StreamsClient) appender{"Append": single, "BatchAppend": batched} {
					do := open(raw(t, start(t)))
					ids := map[rune]uuid.UUID{}
					for i, s := range steps {
						var events []uuid.UUID
						for _, letter := range s.ids {
							if _, known := ids[letter]; !known {
								ids[letter] = uuid.New()
							}
							events = append(events, ids[letter])
						}
						got, err := do(deadline(t), stream, s.expected, events...)
						require.NoError(t, err)
						require.Equal(t, s.want, got, "%s, %s, step %d", way, stream, i)
					}
				}
			}
		})
	}
}

// What an exact revision makes exactly once stays so over a restart, on which the memory of ids is
// lost: then an append at any revision is stored a second time, as on the server.
func TestAppend_RepeatsAfterARestart(t *testing.T) {
	dir := t.TempDir()
	log := openLog(t, dir)
	p := porttest.Start(t, log)
	id, other := uuid.New(), uuid.New()
	do := single(raw(t, p))
	for _, want := range []string{"0@1", "0@1"} {
		got, err := do(deadline(t), "orders-1", noStream{}, id)
		require.NoError(t, err)
		require.Equal(t, want, got)
	}
	got, err := do(deadline(t), "orders-1", anyRevision{}, other)
	require.NoError(t, err)
	require.Equal(t, "1@2", got)
	p.Stop()
	require.NoError(t, log.Close())
	p.Use(openLog(t, dir))
	p.Restart()
	do = single(raw(t, p))
	got, err = do(deadline(t), "orders-1", noStream{}, id)
	require.NoError(t, err)
	require.Equal(t, "0@1", got, "an exact repeat is answered from the log")
	got, err = do(deadline(t), "orders-1", anyRevision{}, other)
	require.NoError(t, err)
	require.Equal(t, "2@3", got, "a repeat at any revision is best effort")
}
