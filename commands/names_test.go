package commands_test

import (
	"context"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"quipu/commands"
	"quipu/domain"
	"quipu/domain/run"
)

// interrupted is a log where something happens between the binding of a name and its run's first event.
type interrupted struct {
	commands.Log
	before func()
}

func (l interrupted) Append(ctx context.Context, stream domain.StreamID, expected domain.Revision, events []domain.Pending) (commands.Appended, error) {
	if strings.HasPrefix(string(stream), commands.RunStreamPrefix) && expected == domain.NoStream {
		l.before()
	}
	return l.Log.Append(ctx, stream, expected, events)
}

// A start that is under way holds its name: a second one of this process must not push it out, or
// two clients that share a name could keep each other from ever starting.
func TestStartRun_NameIsHeldWhileTheStartIsUnderWay(t *testing.T) {
	w := newWorld()
	var e *commands.Executor
	var second error
	var once atomic.Bool
	w.between = func() {
		if once.CompareAndSwap(false, true) {
			_, second = e.StartRun(t.Context(), request("r", chainOf(1, "noop")))
		}
	}
	e, _ = w.start(t, commands.Limits{}, noop("noop"))
	out, err := e.StartRun(t.Context(), request("r", chainOf(1, "noop")))
	require.NoError(t, err)
	require.ErrorIs(t, second, domain.ErrRefused)
	var refused *domain.Error
	require.ErrorAs(t, second, &refused)
	require.Equal(t, "RUN_NAME_TAKEN", refused.Code)
	require.Equal(t, out.RunID, refused.Details["execution_id"])

	s, err := e.Await(t.Context(), out.RunID, 10*time.Second)
	require.NoError(t, err)
	require.Equal(t, run.PhaseCompleted, s.Phase)
	_, err = e.StartRun(t.Context(), request("r", chainOf(1, "noop")))
	require.NoError(t, err, "the name is free again")
}

// Another process cannot know of it, so there the log decides; the start that lost says why.
func TestStartRun_LosesItsNameToAnotherProcess(t *testing.T) {
	w := newWorld()
	other, _ := w.start(t, commands.Limits{}, noop("noop"))
	var won commands.Outcome
	var wonErr error
	var once atomic.Bool
	w.between = func() {
		if once.CompareAndSwap(false, true) {
			won, wonErr = other.StartRun(t.Context(), request("r", chainOf(1, "noop")))
		}
	}
	e, _ := w.start(t, commands.Limits{}, noop("noop"))
	_, err := e.StartRun(t.Context(), request("r", chainOf(1, "noop")))
	require.NoError(t, wonErr)
	require.NotEmpty(t, won.RunID)
	require.ErrorIs(t, err, domain.ErrRefused)
	var refused *domain.Error
	require.ErrorAs(t, err, &refused)
	require.Equal(t, "RUN_NAME_TAKEN", refused.Code)
	require.Equal(t, "run_name", refused.Field)
}
