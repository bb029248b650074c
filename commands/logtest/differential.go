package logtest

import (
	"fmt"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"quipu/commands"
	"quipu/domain"
	"quipu/infra/memory"
)

// differential runs random scripts on the log and on the reference model; every answer must be
// equal, positions apart (only their order is promised).
func differential(e *Env) {
	log, model := e.Open(), commands.Log(memory.NewLog())
	scripts := 0
	rapid.Check(e, func(t *rapid.T) {
		scripts++
		if !e.Caps.SlowOpen {
			_ = log.Close() // closing is a case of its own
			log, model = e.Open(), memory.NewLog()
		}
		s := script{e: e, t: t, log: log, model: model, prefix: fmt.Sprintf("s%d-", scripts)}
		for range rapid.IntRange(1, 40).Draw(t, "steps") {
			s.step()
		}
	})
}

type script struct {
	e          *Env
	t          *rapid.T
	log, model commands.Log
	prefix     string
	sent       []sent
}

type sent struct {
	stream   domain.StreamID
	expected domain.Revision
	events   []domain.Pending
}

func (s *script) stream() domain.StreamID {
	return domain.StreamID(s.prefix + rapid.SampledFrom([]string{"a", "a-b", "b"}).Draw(s.t, "stream"))
}

func (s *script) revision() domain.Revision {
	return domain.Revision(rapid.IntRange(-1, 12).Draw(s.t, "revision"))
}

func (s *script) step() {
	ctx, max := s.e.Context(), rapid.IntRange(1, 10).Draw(s.t, "max")
	switch rapid.SampledFrom([]string{"append", "append", "append", "repeat", "read", "backward", "all", "reopen"}).Draw(s.t, "step") {
	case "append":
		stream, expected := s.stream(), s.revision()
		if rapid.Bool().Draw(s.t, "at head") {
			newest, err := s.model.ReadStreamBackward(ctx, stream, 1<<40, 1)
			if expected = domain.NoStream; err == nil {
				expected = newest[0].Revision
			}
		}
		s.append(sent{stream, expected, Events(rapid.IntRange(1, 4).Draw(s.t, "events"))})
	case "repeat":
		if len(s.sent) > 0 {
			again := rapid.SampledFrom(s.sent).Draw(s.t, "again")
			again.events = again.events[:rapid.IntRange(1, len(again.events)).Draw(s.t, "events")]
			s.append(again)
		}
	case "read":
		stream, from := s.stream(), s.revision()
		want, wantErr := s.model.ReadStream(ctx, stream, from, max)
		got, err := s.log.ReadStream(ctx, stream, from, max)
		s.same(want, got, wantErr, err)
	case "backward":
		stream, from := s.stream(), s.revision()
		want, wantErr := s.model.ReadStreamBackward(ctx, stream, from, max)
		got, err := s.log.ReadStreamBackward(ctx, stream, from, max)
		s.same(want, got, wantErr, err)
	case "all":
		s.same(s.e.readAll(s.model, 0, max), s.e.readAll(s.log, 0, max), nil, nil)
	case "reopen":
		if s.e.Caps.Durable && !s.e.Caps.SlowOpen {
			s.log = s.e.Caps.Reopen(s.e.TB, s.log)
			opened := s.log
			s.e.Cleanup(func() { _ = opened.Close() }) // closing is a case of its own
		}
	}
}

func (s *script) append(a sent) {
	ctx := s.e.Context()
	want, wantErr := s.model.Append(ctx, a.stream, a.expected, a.events)
	got, err := s.log.Append(ctx, a.stream, a.expected, a.events)
	s.same(nil, nil, wantErr, err)
	require.Equal(s.t, want.Revision, got.Revision)
	if err == nil {
		s.sent = append(s.sent, a)
	}
}

func (s *script) same(want, got []domain.Recorded, wantErr, err error) {
	if wantErr != nil || err != nil {
		require.Equal(s.t, fmt.Sprint(kindOf(wantErr)), fmt.Sprint(kindOf(err)), "model: %v, log: %v", wantErr, err)
	}
	require.Equal(s.t, normal(want), normal(got))
}

func kindOf(err error) any {
	if err == nil {
		return "success"
	}
	return domain.KindOf(err)
}
