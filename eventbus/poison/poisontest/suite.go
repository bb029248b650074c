// Package poisontest states in tests what a poison.List is; it runs over every adapter.
package poisontest

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"quipu/domain"
	"quipu/eventbus/poison"
)

// Opener opens the list of one test; reopen opens the same list again, as the next process would.
type Opener func(t *testing.T) (list poison.List, reopen func() poison.List)

// Run runs the suite.
func Run(t *testing.T, open Opener) {
	t.Run("KeepsEntriesByPosition", func(t *testing.T) { keeps(t, open) })
	t.Run("OutlivesTheProcess", func(t *testing.T) { outlives(t, open) })
	t.Run("AddTwiceIsOneEntry", func(t *testing.T) { twice(t, open) })
	t.Run("TargetsAreApart", func(t *testing.T) { apart(t, open) })
	t.Run("IsBounded", func(t *testing.T) { bounded(t, open) })
	t.Run("RefusesBadTargets", func(t *testing.T) { refuses(t, open) })
	t.Run("ManyAtOnce", func(t *testing.T) { concurrent(t, open) })
}

// Entry is an entry of a target at a position, each field of its own.
func Entry(target string, at domain.Position) poison.Entry {
	return poison.Entry{
		Target: target, Position: at, Stream: domain.StreamID(fmt.Sprintf("run-%d é/%%", at)), Revision: domain.Revision(at) - 1,
		EventID: fmt.Sprintf("00000000-0000-8000-8000-%012d", uint64(at)%1e12), Type: "run.completed.v1", Attempts: 15,
		Reason: `answered 500 "é"`, At: time.Date(2026, 1, 2, 3, 4, 5, 678e6, time.UTC),
	}
}

func keeps(t *testing.T, open Opener) {
	list, _ := open(t)
	var want []poison.Entry
	for _, at := range []domain.Position{9, 3, 1 << 40, 7} {
		require.NoError(t, list.Add(t.Context(), Entry("a", at)))
	}
	for _, at := range []domain.Position{3, 7, 9, 1 << 40} {
		want = append(want, Entry("a", at))
	}
	got, err := list.Entries(t.Context(), "a", 0, 10)
	require.NoError(t, err)
	require.Equal(t, want, got)
	got, err = list.Entries(t.Context(), "a", 3, 2)
	require.NoError(t, err)
	require.Equal(t, want[1:3], got)
	got, err = list.Entries(t.Context(), "a", 1<<40, 2)
	require.NoError(t, err)
	require.Empty(t, got)

	require.NoError(t, list.Remove(t.Context(), "a", 7))
	require.NoError(t, list.Remove(t.Context(), "a", 7), "gone already")
	got, err = list.Entries(t.Context(), "a", 0, 10)
	require.NoError(t, err)
	require.Equal(t, []poison.Entry{want[0], want[2], want[3]}, got)
	n, err := list.Count(t.Context(), "a")
	require.NoError(t, err)
	require.Equal(t, 3, n)
}

func outlives(t *testing.T, open Opener) {
	list, reopen := open(t)
	require.NoError(t, list.Add(t.Context(), Entry("a", 1)))
	require.NoError(t, list.Add(t.Context(), Entry("a", 2)))
	require.NoError(t, list.Remove(t.Context(), "a", 1))
	got, err := reopen().Entries(t.Context(), "a", 0, 10)
	require.NoError(t, err)
	require.Equal(t, []poison.Entry{Entry("a", 2)}, got)
}

func twice(t *testing.T, open Opener) {
	list, _ := open(t)
	e := Entry("a", 5)
	require.NoError(t, list.Add(t.Context(), e))
	e.Attempts, e.Reason = 16, "answered 404"
	require.NoError(t, list.Add(t.Context(), e))
	got, err := list.Entries(t.Context(), "a", 0, 10)
	require.NoError(t, err)
	require.Equal(t, []poison.Entry{e}, got)
}

func apart(t *testing.T, open Opener) {
	list, _ := open(t)
	require.NoError(t, list.Add(t.Context(), Entry("a", 1)))
	require.NoError(t, list.Add(t.Context(), Entry("a.b", 1)))
	require.NoError(t, list.Remove(t.Context(), "a", 1))
	got, err := list.Entries(t.Context(), "a.b", 0, 10)
	require.NoError(t, err)
	require.Equal(t, []poison.Entry{Entry("a.b", 1)}, got)
	n, err := list.Count(t.Context(), "a")
	require.NoError(t, err)
	require.Zero(t, n)
}

func bounded(t *testing.T, open Opener) {
	list, reopen := open(t)
	for i := range poison.EntriesMax {
		require.NoError(t, list.Add(t.Context(), Entry("a", domain.Position(i+1))))
	}
	for _, l := range []poison.List{list, reopen()} {
		err := l.Add(t.Context(), Entry("a", poison.EntriesMax+1))
		require.ErrorIs(t, err, domain.ErrExhausted)
		require.NoError(t, l.Add(t.Context(), Entry("a", 7)), "it is there already")
		require.NoError(t, l.Add(t.Context(), Entry("b", 1)), "another target's list")
	}
	require.NoError(t, list.Remove(t.Context(), "a", 1))
	require.NoError(t, list.Add(t.Context(), Entry("a", poison.EntriesMax+1)))
	long := Entry("b", 2)
	long.Reason = strings.Repeat("é", poison.ReasonBytesMax)
	require.NoError(t, list.Add(t.Context(), long))
	got, err := list.Entries(t.Context(), "b", 1, 1)
	require.NoError(t, err)
	require.Equal(t, poison.Clip(long.Reason), got[0].Reason)
	require.LessOrEqual(t, len(got[0].Reason), poison.ReasonBytesMax)
}

func refuses(t *testing.T, open Opener) {
	list, _ := open(t)
	for _, target := range []string{"", "..", "../a", "A", "a/b", "a b", "-a", "é", strings.Repeat("a", poison.TargetBytesMax+1)} {
		e := Entry("a", 1)
		e.Target = target
		require.ErrorIs(t, list.Add(t.Context(), e), domain.ErrInvalid, "%q", target)
		_, err := list.Entries(t.Context(), target, 0, 1)
		require.ErrorIs(t, err, domain.ErrInvalid, "%q", target)
	}
}

func concurrent(t *testing.T, open Opener) {
	list, reopen := open(t)
	const each = 20
	var group sync.WaitGroup
	errs := make(chan error, 4*each)
	for _, l := range []poison.List{list, reopen()} {
		for j := range 2 {
			group.Go(func() {
				for n := range each {
					// Pairs add the same positions, as a node does that takes over from one.
					errs <- l.Add(t.Context(), Entry("a", domain.Position(1+j*each+n)))
				}
			})
		}
	}
	group.Wait()
	close(errs)
	for err := range errs {
		require.NoError(t, err)
	}
	n, err := list.Count(t.Context(), "a")
	require.NoError(t, err)
	require.Equal(t, 2*each, n)
}
