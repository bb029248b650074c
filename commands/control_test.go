package commands_test

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"quipu/commands"
	"quipu/commands/node"
	"quipu/domain"
	"quipu/domain/run"
	"quipu/domain/workflow"
	"quipu/infra/clock/clocktest"
)

var asked = nodeOf("ask", "approval", `{"description":"Refund {{ input.sum }} EUR?","approvers":["ops"],"title":"Refund"}`)

func decideIt(t *testing.T, d *desk, id, task, action string) {
	t.Helper()
	_, err := d.executor.DecideApproval(t.Context(), ask(id), task, action, "ops@example.org", "as agreed")
	require.NoError(t, err)
}

// C.3, D25: an approval goes on by its handle, and the other branch is skipped; where no edge has a
// handle a rejection ends the run.
func TestC3_ApprovalGoesOnByItsHandle(t *testing.T) {
	d := openDesk(t, newWorld(), commands.Limits{})
	withHandles := graph([]string{asked, nodeOf("yes", "end", `{}`), nodeOf("no", "end", `{}`), nodeOf("both", "end", `{}`)},
		"in>ask", "ask>yes:approve", "ask>no:reject", "ask>both")
	for action, want := range map[string][2]run.TaskPhase{
		run.Approved: {run.TaskCompletedPhase, run.TaskSkippedPhase},
		run.Rejected: {run.TaskSkippedPhase, run.TaskCompletedPhase},
	} {
		id := d.run(t, withHandles, `{"sum":120}`)
		d.until(t, id, "approval_requested", 1)
		requested := first[run.ApprovalRequested](t, d.world.events(t, id))
		require.JSONEq(t, `{"title":"Refund","description":"Refund 120 EUR?","approvers":["ops"]}`, string(requested.Request.JSON))
		decideIt(t, d, id, "ask", action)
		s := d.over(t, id, run.PhaseCompleted)
		require.Equal(t, want, [2]run.TaskPhase{d.task(t, s, "yes").Phase, d.task(t, s, "no").Phase}, action)
		require.Equal(t, run.TaskCompletedPhase, d.task(t, s, "both").Phase)
		require.Regexp(t, `^\{"action":"`+action+`","approver":"ops@example.org","comment":"as agreed","timestamp":"20[^"]+Z"\}$`, d.output(t, s, "ask"))
		_, err := d.executor.DecideApproval(t.Context(), ask(id), "", run.Approved, "", "")
		require.ErrorIs(t, err, domain.ErrRefused)
		require.Equal(t, "RUN_ENDED", codeOf(err))
	}
	id := d.run(t, graph([]string{asked, nodeOf("next", "end", `{}`)}, "in>ask", "ask>next"), `{"sum":1}`)
	d.until(t, id, "approval_requested", 1)
	decideIt(t, d, id, "", run.Rejected)
	s := d.over(t, id, run.PhaseFailed)
	require.Equal(t, "APPROVAL_REJECTED", s.Error.Code)
	require.Equal(t, "ask", s.FailedBy)
	require.Equal(t, []string{"approval_requested", "approval_decided", "task_failed", "failed"}, last(d.world.types(t, id), 4))
}

func last(s []string, n int) []string { return s[max(0, len(s)-n):] }

// Several that wait must be told apart.
func TestC3_ApprovalAmbiguous(t *testing.T) {
	d := openDesk(t, newWorld(), commands.Limits{})
	id := d.run(t, graph([]string{asked, nodeOf("also", "approval", `{"message":"and this?"}`), nodeOf("out", "end", `{}`)},
		"in>ask", "in>also", "ask>out", "also>out"), `{"sum":1}`)
	_, err := d.executor.DecideApproval(t.Context(), ask(id), "in", run.Approved, "", "")
	require.Equal(t, "NOT_AWAITING_APPROVAL", codeOf(err))
	d.until(t, id, "approval_requested", 2)
	_, err = d.executor.DecideApproval(t.Context(), ask(id), "", run.Approved, "", "")
	require.ErrorIs(t, err, domain.ErrRefused)
	require.Equal(t, "APPROVAL_AMBIGUOUS", codeOf(err))
	require.ErrorContains(t, err, "ask, also")
	for _, wrong := range []string{"in", "out", "nobody"} {
		_, err = d.executor.DecideApproval(t.Context(), ask(id), wrong, run.Approved, "", "")
		require.Equal(t, "NOT_AWAITING_APPROVAL", codeOf(err), wrong)
	}
	for field, err := range map[string]error{
		"comment":  errOf(d.executor.DecideApproval(t.Context(), ask(id), "ask", run.Approved, "", strings.Repeat("x", run.CommentBytesMax+1))),
		"approver": errOf(d.executor.DecideApproval(t.Context(), ask(id), "ask", run.Approved, strings.Repeat("x", run.ApproverBytesMax+1), "")),
		"action":   errOf(d.executor.DecideApproval(t.Context(), ask(id), "ask", "maybe", "", "")),
	} {
		var e *domain.Error
		require.ErrorAs(t, err, &e)
		require.Equal(t, domain.KindUnprocessable, e.Kind)
		require.Equal(t, field, e.Field)
	}
	decideIt(t, d, id, "also", run.Approved)
	decideIt(t, d, id, "", run.Approved)
	d.over(t, id, run.PhaseCompleted)
	require.Equal(t, 2, d.count(t, id, "approval_decided"))
	_, err = d.executor.DecideApproval(t.Context(), ask("none"), "", run.Approved, "", "x")
	require.ErrorIs(t, err, domain.ErrNotFound)
}

// A wait ends at its time: in memory, out of it, and in the next process.
func TestC3_WaitsTimeOut(t *testing.T) {
	for name, node := range map[string]string{
		"APPROVAL_TIMEOUT": nodeOf("wait", "approval", `{"description":"?","timeout_seconds":60}`),
		"EVENT_TIMEOUT":    nodeOf("wait", "event", `{"operation":"subscribe","channel":"never","timeout_seconds":60}`),
	} {
		for _, sleepAfter := range []time.Duration{time.Second, time.Hour} {
			for _, restarts := range []bool{false, true} {
				t.Run(fmt.Sprint(name, sleepAfter, restarts), func(t *testing.T) {
					w := newWorld()
					c := clocktest.New(time.Time{}, 1)
					w.clock = c
					limits := commands.Limits{SleepAfter: sleepAfter}
					d := openDesk(t, w, limits)
					id := d.run(t, graph([]string{node, nodeOf("out", "end", `{}`)}, "in>wait", "wait>out"), `{}`)
					where := commands.Counts{Sleeping: 1}
					if sleepAfter > time.Minute {
						where = commands.Counts{Active: 1}
					}
					require.Eventually(t, func() bool { return len(w.types(t, id)) == 5 }, time.Minute, time.Millisecond)
					eventually(t, d.executor, where)
					c.Advance(59 * time.Second)
					if restarts {
						d.stop()
						d = openDesk(t, w, limits)
					}
					require.Len(t, w.types(t, id), 5, "it is not early")
					require.Eventually(t, func() bool {
						c.Advance(500 * time.Millisecond)
						s, err := d.executor.State(t.Context(), id)
						return err == nil && s.Phase.Ended()
					}, time.Minute, time.Millisecond)
					s := d.over(t, id, run.PhaseFailed)
					require.Equal(t, name, s.Error.Code)
					require.Equal(t, "wait", s.FailedBy)
					eventually(t, d.executor, commands.Counts{})
				})
			}
		}
	}
}

// A run that waits for people takes no place, and is found wherever it is: asleep, or in the next
// process, again and again.
func TestC3_ApprovalWakesSleepers(t *testing.T) {
	w := newWorld()
	d := openDesk(t, w, commands.Limits{ActiveRunsMax: 1})
	two := graph([]string{asked, nodeOf("again", "approval", `{"description":"sure?"}`), nodeOf("out", "end", `{}`)}, "in>ask", "ask>again", "again>out")
	ids := []string{d.run(t, two, `{"sum":1}`), d.run(t, two, `{"sum":2}`), d.run(t, two, `{"sum":3}`)}
	eventually(t, d.executor, commands.Counts{Sleeping: 3})
	decideIt(t, d, ids[0], "", run.Approved)
	d.until(t, ids[0], "approval_requested", 2)
	eventually(t, d.executor, commands.Counts{Sleeping: 3})
	for range 2 {
		d.stop()
		d = openDesk(t, w, commands.Limits{ActiveRunsMax: 1})
		eventually(t, d.executor, commands.Counts{Sleeping: 3})
	}
	for _, id := range ids {
		if id != ids[0] {
			decideIt(t, d, id, "ask", run.Approved)
			d.until(t, id, "approval_requested", 2)
		}
		decideIt(t, d, id, "again", run.Approved)
		d.over(t, id, run.PhaseCompleted)
		require.Equal(t, 2, d.count(t, id, "approval_requested"), "asked once each")
	}
	eventually(t, d.executor, commands.Counts{})
}

// What people write is stored in clear, but for the run's secrets.
func TestC3_TextsOfPeopleAreScrubbed(t *testing.T) {
	const secret = "sk-quoted-by-an-approver-01"
	d := openDesk(t, newWorld(), commands.Limits{})
	id := d.run(t, graph([]string{asked, nodeOf("out", "end", `{}`)}, "in>ask", "ask>out"), `{"sum":1,"api_key":"`+secret+`"}`)
	d.until(t, id, "approval_requested", 1)
	for _, control := range []func(context.Context, commands.Ask, string) (commands.Outcome, error){d.executor.Pause, d.executor.Resume} {
		_, err := control(t.Context(), ask(id), "because of "+secret)
		require.NoError(t, err)
	}
	_, err := d.executor.DecideApproval(t.Context(), ask(id), "", run.Approved, secret, "the key is "+secret)
	require.NoError(t, err)
	d.over(t, id, run.PhaseCompleted)
	decided := first[run.ApprovalDecided](t, d.world.events(t, id))
	require.Regexp(t, `^the key is \*\*\*[0-9a-f]{8}$`, decided.Comment)
	d.world.nowhere(t, secret)
}

// pausedRun is t0 -> t1 -> t2 of effects that each wait for a token.
func pausedRun(t *testing.T) (d *desk, id string, began <-chan string, release chan<- struct{}) {
	names, tokens := make(chan string, 10), make(chan struct{})
	d = openDesk(t, newWorld(), commands.Limits{}, effectFunc("held", func(ctx context.Context, c node.Call) (node.Reply, error) {
		names <- c.Task
		select {
		case <-tokens:
		case <-ctx.Done():
		}
		return node.Reply{Output: json.RawMessage(`1`)}, ctx.Err()
	}))
	out, err := d.executor.StartRun(t.Context(), request("r", chainOf(3, "held")))
	require.NoError(t, err)
	require.Equal(t, "t0", <-names)
	return d, out.RunID, names, tokens
}

// C.4: in a pause nothing begins; what runs goes on to its end and is recorded.
func TestPause_LetsEffectsEndAndBeginsNone(t *testing.T) {
	d, id, began, release := pausedRun(t)
	out, err := d.executor.Pause(t.Context(), ask(id), "night")
	require.NoError(t, err)
	require.NotZero(t, out.Position)
	again, err := d.executor.Pause(t.Context(), ask(id), "twice")
	require.NoError(t, err)
	require.Zero(t, again.Position, "it is paused already")
	release <- struct{}{}
	d.until(t, id, "task_completed", 1)
	s, err := d.executor.State(t.Context(), id)
	require.NoError(t, err)
	require.True(t, s.Paused)
	eventually(t, d.executor, commands.Counts{Sleeping: 1})
	require.Empty(t, began)
	require.Equal(t, []string{"started", "task_started", "paused", "task_completed"}, d.world.types(t, id))
	_, err = d.executor.Resume(t.Context(), ask(id), "day")
	require.NoError(t, err)
	require.Equal(t, "t1", <-began)
	out, err = d.executor.Resume(t.Context(), ask(id), "")
	require.NoError(t, err)
	require.Zero(t, out.Position, "it is not paused")
	release <- struct{}{}
	<-began
	release <- struct{}{}
	d.over(t, id, run.PhaseCompleted)
	require.Equal(t, []string{
		"started", "task_started", "paused", "task_completed", "resumed", "task_started", "task_completed", "task_started", "task_completed", "completed",
	}, d.world.types(t, id))
	for _, control := range []func(context.Context, commands.Ask, string) (commands.Outcome, error){d.executor.Pause, d.executor.Resume} {
		_, err = control(t.Context(), ask(id), "")
		require.ErrorIs(t, err, domain.ErrRefused)
		_, err = control(t.Context(), ask("none"), "")
		require.ErrorIs(t, err, domain.ErrNotFound)
		_, err = control(t.Context(), ask(id), strings.Repeat("x", 5000))
		require.Error(t, err)
	}
}

// A process that ends in a pause leaves a run that is paused; what was cut off goes on when it is resumed.
func TestPause_OutlivesTheProcess(t *testing.T) {
	d, id, _, _ := pausedRun(t)
	_, err := d.executor.Pause(t.Context(), ask(id), "")
	require.NoError(t, err)
	d.stop()
	began := make(chan string, 10)
	d = openDesk(t, d.world, commands.Limits{}, effectFunc("held", func(_ context.Context, c node.Call) (node.Reply, error) {
		began <- fmt.Sprint(c.Task, c.Attempt)
		return node.Reply{Output: json.RawMessage(`1`)}, nil
	}))
	eventually(t, d.executor, commands.Counts{Sleeping: 1})
	s, err := d.executor.State(t.Context(), id)
	require.NoError(t, err)
	require.True(t, s.Paused)
	require.Empty(t, began)
	_, err = d.executor.Resume(t.Context(), ask(id), "")
	require.NoError(t, err)
	d.over(t, id, run.PhaseCompleted)
	require.Equal(t, "t02", <-began, "the attempt that was cut off is made again")
	require.Equal(t, "t11", <-began)
}

func TestPause_Cancel(t *testing.T) {
	d, id, _, _ := pausedRun(t)
	_, err := d.executor.Pause(t.Context(), ask(id), "")
	require.NoError(t, err)
	_, err = d.executor.Cancel(t.Context(), id, "no more", somebody.Actor)
	require.NoError(t, err)
	d.over(t, id, run.PhaseCancelled)
	require.Equal(t, []string{"started", "task_started", "paused", "cancelled"}, d.world.types(t, id))
	eventually(t, d.executor, commands.Counts{})
}

// What becomes due in a pause, or is decided or said, counts when the run goes on.
func TestPause_HoldsWhatBecomesDue(t *testing.T) {
	w := newWorld()
	c := clocktest.New(time.Time{}, 1)
	w.clock = c
	attempts := make(chan int, 10)
	flaky := effectFunc("flaky", func(_ context.Context, call node.Call) (node.Reply, error) {
		attempts <- call.Attempt
		if call.Attempt == 1 {
			return node.Reply{}, node.Failf("HTTPError", "HTTP_503", true, "try later")
		}
		return node.Reply{Output: json.RawMessage(`1`)}, nil
	})
	d := openDesk(t, w, commands.Limits{}, flaky, pause())
	def := workflow.Definition{Nodes: []workflow.Node{
		{Name: "timer", Type: "pause", Params: domain.Raw([]byte(`{"for":"10s"}`))},
		{Name: "flaky", Type: "flaky", Params: domain.Raw([]byte(`{}`)), Retry: workflow.Retry{Attempts: 2, Initial: 10 * time.Second, Factor: 1, Max: 10 * time.Second}},
		{Name: "ask", Type: "approval", Params: domain.Raw([]byte(`{"config":{"description":"?","timeout_seconds":10}}`)), Waits: workflow.WaitsApproval},
		{Name: "hear", Type: "event", Params: domain.Raw([]byte(`{"config":{"operation":"subscribe","channel":"c"}}`)), Waits: workflow.WaitsEvent},
	}}
	out, err := d.executor.StartRun(t.Context(), request("r", def))
	require.NoError(t, err)
	id := out.RunID
	d.until(t, id, "task_retry_scheduled", 1)
	_, err = d.executor.Pause(t.Context(), ask(id), "")
	require.NoError(t, err)
	eventually(t, d.executor, commands.Counts{Sleeping: 1})
	c.Advance(time.Hour)
	before := w.types(t, id)
	decideIt(t, d, id, "ask", run.Approved) // late by its clock, but nobody has said so
	_, err = d.executor.Signal(t.Context(), ask(id), "c", []byte(`1`))
	require.NoError(t, err)
	require.Equal(t, []string{"approval_decided", "task_completed", "signal_received", "event_received", "task_completed"}, w.types(t, id)[len(before):])
	eventually(t, d.executor, commands.Counts{Sleeping: 1})
	_, err = d.executor.Resume(t.Context(), ask(id), "")
	require.NoError(t, err)
	require.Eventually(t, func() bool {
		c.Advance(0) // what is due already
		s, err := d.executor.State(t.Context(), id)
		return err == nil && s.Phase.Ended()
	}, time.Minute, time.Millisecond)
	d.over(t, id, run.PhaseCompleted)
	require.Equal(t, 1, <-attempts)
	require.Equal(t, 2, <-attempts)
	require.Empty(t, attempts)
}

// D20: of many equal requests under one key one is carried out, and all are answered with it, later ones
// to another process too; a second approval behind the first is not approved by a repeat.
func TestD20_KeyedCommandsAreOne(t *testing.T) {
	w := newWorld()
	d := openDesk(t, w, commands.Limits{})
	there := openDesk(t, w, commands.Limits{})
	two := graph([]string{asked, nodeOf("again", "approval", `{"description":"sure?"}`), nodeOf("out", "end", `{}`)}, "in>ask", "ask>again", "again>out")
	for i, command := range map[string]func(*desk, commands.Ask) (commands.Outcome, error){
		"approval_decided": func(d *desk, a commands.Ask) (commands.Outcome, error) {
			return d.executor.DecideApproval(t.Context(), a, "", run.Approved, "", "")
		},
		"signal_received": func(d *desk, a commands.Ask) (commands.Outcome, error) {
			return d.executor.Signal(t.Context(), a, "c", []byte(`{"token":"sk-one-of-many-9"}`))
		},
		"paused": func(d *desk, a commands.Ask) (commands.Outcome, error) { return d.executor.Pause(t.Context(), a, "") },
		"cancelled": func(d *desk, a commands.Ask) (commands.Outcome, error) {
			return d.executor.CancelRun(t.Context(), a, "")
		},
	} {
		t.Run(i, func(t *testing.T) {
			id := d.run(t, two, `{"sum":1}`)
			d.until(t, id, "approval_requested", 1)
			eventuallyAsleep(t, d)
			var wg sync.WaitGroup
			outs, errs := make([]commands.Outcome, 50), make([]error, 50)
			for n := range outs {
				wg.Go(func() { outs[n], errs[n] = command(d, keyed(id, "a", "1")) })
			}
			wg.Wait()
			for n, err := range errs {
				require.NoError(t, err)
				require.Equal(t, outs[0].Position, outs[n].Position)
				require.NotZero(t, outs[n].Position)
			}
			require.Equal(t, 1, d.count(t, id, i))
			again, err := command(there, keyed(id, "a", "1"))
			require.NoError(t, err)
			require.True(t, again.Repeated)
			_, err = command(d, keyed(id, "a", "2"))
			require.ErrorIs(t, err, domain.ErrUnprocessable)
			require.Equal(t, "IDEMPOTENCY_KEY_REUSED", codeOf(err))
			require.Equal(t, 1, d.count(t, id, i))
			_, _ = d.executor.Cancel(t.Context(), id, "", somebody.Actor)
		})
	}
}

func eventuallyAsleep(t *testing.T, d *desk) {
	t.Helper()
	require.Eventually(t, func() bool { return d.executor.Counts().Active == 0 }, time.Minute, time.Millisecond)
}
