package lifecycle

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"quipu/domain"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var errBroken = errors.New("broken")

// journal records what happened in which order.
type journal struct {
	mu    sync.Mutex
	lines []string
}

func (j *journal) add(format string, args ...any) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.lines = append(j.lines, fmt.Sprintf(format, args...))
}

func (j *journal) all() []string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return slices.Clone(j.lines)
}

// full is a member that runs until its work ends and notes every call.
func full(j *journal, name string) Member {
	return Member{
		Name:  name,
		Start: func(context.Context) error { j.add("start %s", name); return nil },
		Run: func(_, work context.Context) error {
			<-work.Done()
			j.add("end %s: %v", name, context.Cause(work))
			return nil
		},
		Drain: func(context.Context) error { j.add("drain %s", name); return nil },
		Close: func() error { j.add("close %s", name); return nil },
	}
}

// run runs g until ready, then asks it to stop.
func run(t *testing.T, g *Group) error {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	result := make(chan error, 1)
	go func() { result <- g.Run(ctx) }()
	<-g.Ready()
	cancel()
	return <-result
}

func TestGroup_StartsInOrderAndStopsInReverse(t *testing.T) {
	var j journal
	g := New(Options{DrainTimeout: time.Minute}, full(&j, "log"), full(&j, "views"), full(&j, "api"))
	require.NoError(t, run(t, g))
	require.Equal(t, []string{
		"start log", "start views", "start api",
		"drain api", "end api: the process is stopping", "close api",
		"drain views", "end views: the process is stopping", "close views",
		"drain log", "end log: the process is stopping", "close log",
	}, j.all())
}

func TestGroup_WithoutMembersWaitsForTheStop(t *testing.T) {
	require.NoError(t, run(t, New(Options{})))
	require.NoError(t, run(t, New(Options{}, Member{Name: "nothing"})))
}

// New work is refused everywhere at once, while what was begun goes on: an early member still
// works while a late one drains.
func TestGroup_IntakeEndsForAllBeforeAnyDrain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var storeIntake, storeWork context.Context
		stored := make(chan struct{})
		g := New(Options{DrainTimeout: time.Minute},
			Member{Name: "store", Run: func(intake, work context.Context) error {
				storeIntake, storeWork = intake, work
				close(stored)
				<-work.Done()
				return nil
			}},
			Member{Name: "executor", Drain: func(ctx context.Context) error {
				<-stored
				require.Error(t, storeIntake.Err())
				require.NoError(t, storeWork.Err())
				time.Sleep(30 * time.Second) // virtual
				require.NoError(t, storeWork.Err())
				return ctx.Err()
			}})
		require.NoError(t, run(t, g))
	})
}

func TestGroup_WaitsForARunThatEndsAfterIntake(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		finished := false
		g := New(Options{DrainTimeout: time.Minute}, Member{
			Name: "http", EndsAfterIntake: true,
			Run: func(intake, work context.Context) error {
				<-intake.Done()
				select {
				case <-time.After(40 * time.Second):
					finished = true
				case <-work.Done():
				}
				return nil
			},
		})
		require.NoError(t, run(t, g))
		require.True(t, finished)
	})
}

// One budget serves all members, and its end reaches all of them at once.
func TestGroup_BudgetIsSharedAndCutsTheRest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var logged bytes.Buffer
		begin := time.Now()
		var causes []error
		slow := func(name string) Member {
			return Member{
				Name: name, EndsAfterIntake: true,
				Run: func(_, work context.Context) error {
					<-work.Done()
					require.Equal(t, 10*time.Second, time.Since(begin))
					causes = append(causes, context.Cause(work))
					return context.Cause(work)
				},
			}
		}
		g := New(Options{DrainTimeout: 10 * time.Second, Logger: slog.New(slog.NewTextHandler(&logged, nil))},
			slow("a"),
			Member{Name: "b", Drain: func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }})
		require.NoError(t, run(t, g), "a cut is no failure: the log has what was acknowledged")
		require.Equal(t, 10*time.Second, time.Since(begin))
		require.Equal(t, []error{ErrBudgetSpent}, causes)
		require.Contains(t, logged.String(), `msg="drain budget spent" members=a,b budget=10s`)
	})
}

func TestGroup_NoBudgetCancelsAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now()
		g := New(Options{}, Member{
			Name: "http", EndsAfterIntake: true,
			Run: func(_, work context.Context) error { <-work.Done(); return context.Cause(work) },
		})
		require.NoError(t, run(t, g))
		require.Zero(t, time.Since(begin))
	})
}

// A member that will not stop is named, and the others are still closed.
func TestGroup_LeavesAStuckMemberBehind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		closed := false
		g := New(Options{DrainTimeout: time.Second, GraceTimeout: 3 * time.Second},
			Member{Name: "store", Close: func() error { closed = true; return nil }},
			Member{Name: "stuck", Run: func(_, _ context.Context) error { <-release; return nil }})
		begin := time.Now()
		err := run(t, g)
		require.ErrorContains(t, err, "stop stuck: did not return within 3s and is left behind")
		require.Equal(t, 3*time.Second, time.Since(begin))
		require.True(t, closed)
		close(release)
	})
}

func TestGroup_FirstCauseWins(t *testing.T) {
	var j journal
	failing := full(&j, "bad")
	failing.Run = func(_, _ context.Context) error { return errBroken }
	late := full(&j, "late")
	late.Close = func() error { return errors.New("close also failed") }
	err := New(Options{DrainTimeout: time.Minute}, full(&j, "log"), late, failing).Run(t.Context())
	require.ErrorIs(t, err, errBroken)
	require.EqualError(t, err, "run bad: broken")
	require.Contains(t, j.all(), "close log")
}

func TestGroup_CloseErrorIsReturnedIfItIsTheOnlyOne(t *testing.T) {
	err := run(t, New(Options{}, Member{Name: "log", Close: func() error { return errBroken }}))
	require.EqualError(t, err, "close log: broken")
}

// A part that quietly returns would leave a process that looks alive and does nothing.
func TestGroup_RunThatEndsByItselfStopsTheGroup(t *testing.T) {
	err := New(Options{}, Member{Name: "quitter", Run: func(_, _ context.Context) error { return nil }}).Run(t.Context())
	require.ErrorIs(t, err, ErrEnded)
}

func TestGroup_FailedStartStopsTheStartedOnly(t *testing.T) {
	var j journal
	bad := full(&j, "bad")
	bad.Start = func(context.Context) error { return errBroken }
	g := New(Options{DrainTimeout: time.Minute}, full(&j, "log"), bad, full(&j, "api"))
	require.EqualError(t, g.Run(t.Context()), "start bad: broken")
	require.Equal(t, []string{"start log", "drain log", "end log: the process is stopping", "close log"}, j.all())
	select {
	case <-g.Ready():
		t.Fatal("ready after a failed start")
	default:
	}
}

func TestGroup_StopDuringStartIsNoFailure(t *testing.T) {
	for _, end := range []func(context.Context) error{
		func(ctx context.Context) error { return ctx.Err() },
		func(ctx context.Context) error { return context.Cause(ctx) },
		func(context.Context) error { return domain.Wrap(domain.KindCanceled, "open", "log", errBroken) },
	} {
		ctx, cancel := context.WithCancel(t.Context())
		g := New(Options{}, Member{Name: "slow", Start: func(ctx context.Context) error {
			cancel()
			<-ctx.Done()
			return end(ctx)
		}}, Member{Name: "never", Start: func(context.Context) error { t.Error("started after the stop"); return nil }})
		require.NoError(t, g.Run(ctx))
	}
}

func TestGroup_StoppedBeforeItStarts(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	g := New(Options{}, Member{Name: "a", Close: func() error { return nil }})
	require.NoError(t, g.Run(ctx))
}

func TestGroup_PanicsBecomeErrors(t *testing.T) {
	for what, m := range map[string]Member{
		"start m: panic: oh": {Name: "m", Start: func(context.Context) error { panic("oh") }},
		"run m: panic: oh":   {Name: "m", Run: func(_, _ context.Context) error { panic("oh") }},
		"drain m: panic: oh": {Name: "m", Drain: func(context.Context) error { panic("oh") }},
		"close m: panic: oh": {Name: "m", Close: func() error { panic("oh") }},
	} {
		var logged bytes.Buffer
		ctx, cancel := context.WithCancel(t.Context())
		g := New(Options{DrainTimeout: time.Minute, Logger: slog.New(slog.NewTextHandler(&logged, nil))},
			Member{Name: "log"}, m, Member{Name: "stop", Start: func(context.Context) error { cancel(); return nil }})
		err := g.Run(ctx)
		cancel()
		var p *PanicError
		require.ErrorAs(t, err, &p)
		require.EqualError(t, err, what)
		require.Contains(t, logged.String(), "group_test.go", "the stack is in the log")
	}
	require.ErrorIs(t, guard(func() error { panic(errBroken) }), errBroken)
}

func TestNew_RefusesNamesThatCannotBeToldApart(t *testing.T) {
	require.Panics(t, func() { New(Options{}, Member{Name: "a"}, Member{Name: "a"}) })
	require.Panics(t, func() { New(Options{}, Member{}) })
}

// Whatever fails, whenever it is stopped: started members stop in reverse, each is closed exactly
// once after its Run returned, no goroutine is left (TestMain), and the first cause is returned.
func TestGroup_Stress(t *testing.T) {
	const rounds = 2000
	for seed := range uint64(rounds) {
		rnd := rand.New(rand.NewPCG(seed, 1))
		var j journal
		ctx, cancel := context.WithCancel(t.Context())
		var members []Member
		for i := range 1 + rnd.IntN(6) {
			name := fmt.Sprint(i)
			startFails, runFails, runEnds, panics := rnd.IntN(20) == 0, rnd.IntN(12) == 0, rnd.IntN(3) == 0, rnd.IntN(2) == 0
			stops, closeFails := rnd.IntN(10) == 0, rnd.IntN(20) == 0
			broken := func() error {
				j.add("fail %s", name)
				if panics {
					panic(errBroken)
				}
				return errBroken
			}
			members = append(members, Member{
				Name: name, EndsAfterIntake: runEnds,
				Start: func(context.Context) error {
					if stops {
						cancel()
					}
					if startFails {
						return broken()
					}
					j.add("start %s", name)
					return nil
				},
				Run: func(intake, work context.Context) error {
					defer j.add("end %s", name)
					switch {
					case runFails:
						return broken()
					case runEnds:
						<-intake.Done()
					default:
						<-work.Done()
					}
					return nil
				},
				Drain: func(context.Context) error { j.add("drain %s", name); return nil },
				Close: func() error {
					j.add("close %s", name)
					if closeFails {
						return broken()
					}
					return nil
				},
			})
		}
		g := New(Options{DrainTimeout: time.Minute}, members...)
		result := make(chan error, 1)
		go func() { result <- g.Run(ctx) }()
		if rnd.IntN(2) == 0 {
			cancel()
		} else {
			select {
			case <-g.Ready():
				cancel()
			case err := <-result:
				result <- err
			}
		}
		err := <-result
		cancel()
		check(t, seed, j.all(), err)
	}
}

func check(t *testing.T, seed uint64, lines []string, err error) {
	t.Helper()
	var started, closed []string
	ended := map[string]bool{}
	failed := false
	for _, line := range lines {
		what, name, _ := strings.Cut(line, " ")
		switch what {
		case "start":
			started = append(started, name)
		case "end":
			ended[name] = true
		case "close":
			require.True(t, ended[name], "seed=%d: %s closed before its run ended: %v", seed, name, lines)
			closed = append(closed, name)
		case "fail":
			failed = true
		}
	}
	slices.Reverse(closed)
	require.Equal(t, started, closed, "seed=%d: %v", seed, lines)
	require.Equal(t, failed, err != nil, "seed=%d: %v: %v", seed, lines, err)
	if failed {
		require.ErrorIs(t, err, errBroken, "seed=%d: %v", seed, lines)
	}
}
