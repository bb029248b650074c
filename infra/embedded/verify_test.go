package embedded_test

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"quipu/commands/logtest"
	"quipu/domain"
	"quipu/infra/embedded"
	"quipu/infra/embedded/vfs"
)

// chain makes n events of a stream as Quipu writes them; change may spoil one before it is hashed,
// spoil after.
func chain(stream domain.StreamID, n int, change func(i int, prev, sum *string), spoil func(i int, e *domain.Pending)) []domain.Pending {
	events := make([]domain.Pending, n)
	var last domain.Hash
	for i := range events {
		data := fmt.Appendf(nil, `{"n":%d}`, i)
		digest := sha256.Sum256(data)
		prev, sum := fmt.Sprintf(`"prev":"%s",`, last), hex.EncodeToString(digest[:])
		if i == 0 {
			prev = ""
		}
		if change != nil {
			change(i, &prev, &sum)
		}
		metadata := fmt.Appendf(nil, `{%s"data_sha256":"%s"}`, prev, sum)
		last = domain.HashEvent(stream, domain.Revision(i), "test.v1", metadata)
		events[i] = domain.Pending{ID: domain.UUIDv8(last), Type: "test.v1", Metadata: metadata, Data: data}
		if spoil != nil {
			spoil(i, &events[i])
		}
	}
	return events
}

func verify(t *testing.T, l *embedded.Log) (embedded.Summary, []string) {
	t.Helper()
	var problems []string
	sum, err := l.Verify(t.Context(), func(p embedded.Problem) {
		require.True(t, p.Damage)
		problems = append(problems, fmt.Sprintf("%d: %s", p.Revision, p.What))
	})
	require.NoError(t, err)
	require.Len(t, problems, sum.Problems)
	return sum, problems
}

func TestVerify_HashChain(t *testing.T) {
	for name, c := range map[string]struct {
		change func(i int, prev, sum *string)
		spoil  func(i int, e *domain.Pending)
		want   []string
	}{
		"right":       {},
		"wrong prev":  {change: func(i int, prev, _ *string) { spoilAt(i, prev, fmt.Sprintf(`"prev":"%s",`, domain.Hash{})) }, want: []string{"2: the event names another event before it than is stored"}},
		"no prev":     {change: func(i int, prev, _ *string) { spoilAt(i, prev, "") }, want: []string{"2: the event does not name the event before it"}},
		"wrong data":  {spoil: func(i int, e *domain.Pending) { spoilAt(i, &e.Data, []byte("{}")) }, want: []string{"2: the data is not what the event was hashed with"}},
		"early prev":  {change: func(i int, prev, _ *string) { spoilAt(i+2, prev, `"prev":"00",`) }, want: []string{"0: the first event names an event before it"}},
		"other id":    {spoil: func(i int, e *domain.Pending) { spoilAt(i, &e.ID, domain.EventID{2: 1, 6: 0x80, 8: 0x80}) }, want: []string{"2: the event id is 00000100-0000-8000-8000-000000000000, its hash gives"}},
		"case of sum": {change: func(i int, _, sum *string) { spoilAt(i, sum, "ABC") }, want: []string{"2: the data is not what the event was hashed with"}},
	} {
		t.Run(name, func(t *testing.T) {
			l := openSim(t, vfs.NewSim())
			_, err := l.Append(t.Context(), "run-1", domain.NoStream, chain("run-1", 4, c.change, c.spoil))
			require.NoError(t, err)
			_, err = l.Append(t.Context(), "elsewhere", domain.NoStream, logtest.Events(3))
			require.NoError(t, err)
			sum, problems := verify(t, l)
			require.Equal(t, 4, sum.Chained)
			require.Equal(t, 7, sum.Events)
			require.Len(t, problems, len(c.want))
			for i := range c.want {
				require.Contains(t, problems[i], c.want[i])
			}
			require.NoError(t, l.Close())
		})
	}
}

func spoilAt[T any](i int, p *T, v T) {
	if i == 2 {
		*p = v
	}
}

// Every flipped byte of a closed log is found, whatever it hits, and all else is still counted.
func TestVerifyDir_FindsEveryByte(t *testing.T) {
	_, _, _, end := three(t, true)
	for at := range end + 40 {
		sim, _, _, _ := three(t, true)
		sim.Bytes(first)[at] ^= 4
		damaged := 0
		sum, err := embedded.VerifyDir(t.Context(), dir, sim, func(p embedded.Problem) {
			require.Equal(t, "00000001.seg", p.File)
			if p.Damage {
				damaged++
			}
		})
		require.NoError(t, err)
		require.NotZero(t, sum.Problems, "byte %d", at)
		if at < end {
			require.NotZero(t, damaged, "byte %d", at)
		}
		require.GreaterOrEqual(t, sum.Events, 2, "byte %d", at)
	}
}

// What a crash left half written is told apart from damage.
func TestVerifyDir_TornTailIsNoDamage(t *testing.T) {
	sim, _, third, end := three(t, false)
	clear(sim.Bytes(first)[third+20 : end])
	var problems []embedded.Problem
	_, err := embedded.VerifyDir(t.Context(), dir, sim, func(p embedded.Problem) { problems = append(problems, p) })
	require.NoError(t, err)
	require.Len(t, problems, 1)
	require.False(t, problems[0].Damage)
	require.Equal(t, int64(third), problems[0].Offset)
}

// A user who stores bytes that look like frames, even copies of real ones, changes nothing.
func TestOpen_ForgedFramesInData(t *testing.T) {
	sim := vfs.NewSim()
	opts := simOptions(sim)
	opts.SegmentBytes = 64 << 10
	l, err := embedded.Open(dir, opts)
	require.NoError(t, err)
	_, err = l.Append(t.Context(), "run-1", domain.NoStream, logtest.Events(1))
	require.NoError(t, err)
	start := used(sim)
	events := logtest.Events(1)
	events[0].Data = append([]byte(nil), sim.Bytes(first)[64:start]...) // a whole frame, copied
	_, err = l.Append(t.Context(), "run-2", domain.NoStream, events)
	require.NoError(t, err)
	after := sim.Crash(rand.New(rand.NewPCG(1, 1)))
	_ = l.Close()                               // the machine is gone
	clear(after.Bytes(first)[start : start+40]) // its frame header never reached the disk
	l, err = embedded.Open(dir, simOptions(after))
	require.NoError(t, err, "the copy within is no later frame")
	head, err := l.Head(t.Context())
	require.NoError(t, err)
	require.Equal(t, domain.Position(1), head)
	require.NoError(t, l.Close())
}
