// Package checkpointstest states in tests what every eventbus.Checkpoints promises.
package checkpointstest

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"quipu/domain"
	"quipu/eventbus"
)

// Open opens the checkpoints of one store for a log; the suite opens the same store several times, for
// the same log and for another. The function ends them with the test.
type Open func(log domain.LogID) eventbus.Checkpoints

const (
	thisLog  domain.LogID = "0f8fad5b-d9cb-469f-a165-70867728950e"
	otherLog domain.LogID = "7c9e6679-7425-40de-944b-e07fc1f90ae7"
)

// Run runs the suite. store makes an empty store for each case.
func Run(t *testing.T, store func(t *testing.T) Open) {
	cases := map[string]func(*testing.T, Open){
		"MovesForward":               movesForward,
		"SurvivesReopening":          survivesReopening,
		"SomebodyElseMovedIt":        somebodyElseMovedIt,
		"OneOfManyMovesIt":           oneOfManyMovesIt,
		"AnotherLogIsNoSilence":      anotherLogIsNoSilence,
		"NamesAreApart":              namesAreApart,
		"BadNamesAndSteps":           badNamesAndSteps,
		"AnEndedContextSavesNothing": anEndedContext,
	}
	for name, f := range cases {
		t.Run(name, func(t *testing.T) { f(t, store(t)) })
	}
}

func at(t *testing.T, c eventbus.Checkpoints, name string, want domain.Position) {
	t.Helper()
	got, err := c.Load(t.Context(), name)
	require.NoError(t, err)
	require.Equal(t, want, got)
}

func movesForward(t *testing.T, open Open) {
	c := open(thisLog)
	at(t, c, "relay:nats", 0)
	require.NoError(t, c.Save(t.Context(), "relay:nats", 0, 7))
	at(t, c, "relay:nats", 7)
	require.NoError(t, c.Save(t.Context(), "relay:nats", 7, 7), "a step of nothing")
	require.NoError(t, c.Save(t.Context(), "relay:nats", 7, 1<<62), "as far as positions go")
	at(t, c, "relay:nats", 1<<62)
	require.NoError(t, c.Save(t.Context(), "relay:nats", 7, 1<<62), "a repeat, its outcome being unknown to the caller")
	at(t, c, "relay:nats", 1<<62)
}

func survivesReopening(t *testing.T, open Open) {
	require.NoError(t, open(thisLog).Save(t.Context(), "a", 0, 5))
	c := open(thisLog)
	at(t, c, "a", 5)
	require.NoError(t, c.Save(t.Context(), "a", 5, 6))
	at(t, open(thisLog), "a", 6)
}

func somebodyElseMovedIt(t *testing.T, open Open) {
	c := open(thisLog)
	require.NoError(t, c.Save(t.Context(), "a", 0, 5))
	for _, step := range [][2]domain.Position{{0, 4}, {0, 6}, {4, 6}, {6, 7}} {
		err := c.Save(t.Context(), "a", step[0], step[1])
		require.ErrorIs(t, err, domain.ErrConflict, "from %d to %d", step[0], step[1])
	}
	at(t, c, "a", 5)
	require.ErrorIs(t, c.Save(t.Context(), "never saved", 3, 4), domain.ErrInvalid, "a blank")
	require.ErrorIs(t, c.Save(t.Context(), "b", 3, 4), domain.ErrConflict, "there is none yet")
	at(t, c, "b", 0)
}

func oneOfManyMovesIt(t *testing.T, open Open) {
	c := open(thisLog)
	const rounds, movers = 5, 8
	var last domain.Position
	for range rounds {
		var won atomic.Uint64
		var wg sync.WaitGroup
		for m := range movers {
			to := last + domain.Position(m) + 1
			wg.Go(func() {
				switch err := c.Save(t.Context(), "shared", last, to); {
				case err == nil:
					if !won.CompareAndSwap(0, uint64(to)) {
						t.Errorf("both %d and %d succeeded", won.Load(), to)
					}
				case !errors.Is(err, domain.ErrConflict):
					t.Error(err)
				}
			})
		}
		wg.Wait()
		require.NotZero(t, won.Load(), "one succeeds")
		last = domain.Position(won.Load())
		at(t, c, "shared", last)
	}
}

func anotherLogIsNoSilence(t *testing.T, open Open) {
	require.NoError(t, open(thisLog).Save(t.Context(), "a", 0, 5))
	other := open(otherLog)
	_, loaded := other.Load(t.Context(), "a")
	for what, err := range map[string]error{
		"load": loaded, "save from what was there": other.Save(t.Context(), "a", 5, 6), "save from nothing": other.Save(t.Context(), "a", 0, 6),
		"save to what was there": other.Save(t.Context(), "a", 0, 5),
	} {
		require.ErrorIs(t, err, domain.ErrConflict, what)
		e, ok := errors.AsType[*domain.Error](err)
		require.True(t, ok)
		require.Equal(t, eventbus.CodeLogChanged, e.Code, what)
		require.ErrorContains(t, err, string(thisLog))
		require.ErrorContains(t, err, string(otherLog))
	}
	at(t, open(thisLog), "a", 5)
	require.NoError(t, other.Save(t.Context(), "b", 0, 1), "other names are free")
}

func namesAreApart(t *testing.T, open Open) {
	c := open(thisLog)
	names := []string{"a", "A", "a:b", "a/b", "a.b", "a_b", "a-b", "..", ".", "/", "../a", strings.Repeat("x", eventbus.CheckpointNameBytesMax)}
	for i, name := range names {
		require.NoError(t, c.Save(t.Context(), name, 0, domain.Position(i)+1), name)
	}
	for i, name := range names {
		at(t, open(thisLog), name, domain.Position(i)+1)
	}
}

func badNamesAndSteps(t *testing.T, open Open) {
	c := open(thisLog)
	for _, name := range []string{"", " ", "a b", "a\x00", "é", "a'b", "%2e", strings.Repeat("x", eventbus.CheckpointNameBytesMax+1)} {
		_, err := c.Load(t.Context(), name)
		require.ErrorIs(t, err, domain.ErrInvalid, fmt.Sprintf("%.20q", name))
		require.ErrorIs(t, c.Save(t.Context(), name, 0, 1), domain.ErrInvalid, fmt.Sprintf("%.20q", name))
	}
	require.NoError(t, c.Save(t.Context(), "a", 0, 5))
	require.ErrorIs(t, c.Save(t.Context(), "a", 5, 4), domain.ErrInvalid, "never back")
	at(t, c, "a", 5)
}

func anEndedContext(t *testing.T, open Open) {
	c := open(thisLog)
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	require.Error(t, c.Save(ended, "a", 0, 1))
	_, err := c.Load(ended, "a")
	require.Error(t, err)
	at(t, c, "a", 0)
}
