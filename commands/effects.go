package commands

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"log/slog"
	"net/url"
	"strconv"
	"time"

	"quipu/commands/node"
	"quipu/domain"
	"quipu/domain/rawjson"
	"quipu/domain/run"
	"quipu/domain/wire"
	"quipu/domain/workflow"
)

// attempt is one try of one task, as handed to the effect pool.
type attempt struct {
	runID   string
	state   *run.State // when the attempt began
	index   int
	number  int
	session *Session
	ctx     context.Context // ends with the run
	cause   domain.EventID  // of the event that began the attempt
	trace   string          // W3C traceparent of that event, "" if none
}

// key is the idempotency key of outbound calls: the same for every attempt (contract D8).
func (a *attempt) key(task string) string {
	k := a.runID + "/" + url.PathEscape(task) + "/0"
	if len(k) > 200 {
		sum := sha256.Sum256([]byte(k))
		return hex.EncodeToString(sum[:])
	}
	return k
}

func (a *attempt) taskID(task string) string { return run.TaskID(a.runID, task, 0) }

// runner carries out attempts: opens what they need, calls the node type, seals what comes back.
type runner struct {
	registry *node.Registry
	node     string // incarnation
	ids      IDs
	clock    Clock
	hooks    Hooks
	logger   *slog.Logger
	tracer   Tracer // nil: traces are passed on and not recorded
}

// submit hands a to the pool. Exactly one is called in the end: tell with the command that reports
// the outcome, or dropped if the run ended before.
func (r *runner) submit(effects Effects, a attempt, timeout time.Duration, tell func(envelope), dropped func()) {
	n := &a.state.Graph.Nodes[a.index]
	if n.Timeout > 0 {
		timeout = n.Timeout
	}
	started := r.clock.Now()
	if r.hooks.Started != nil {
		r.hooks.Started(n.Type)
	}
	var reply node.Reply
	id := a.runID + "/" + n.Name + "/" + strconv.Itoa(a.number)
	ctx, trace, traced := r.trace(&a, n)
	a.trace = trace
	effects.Submit(ctx, id, timeout, func(ctx context.Context) error {
		var err error
		reply, err = r.do(ctx, &a, n)
		return err
	}, func(err error) {
		if a.ctx.Err() != nil {
			r.ended(n.Type, started, "dropped")
			traced("dropped")
			dropped() // the run has ended or the process stops; a late result would be dropped anyway
			return
		}
		c, outcome := r.reportSafely(&a, n, reply, err)
		r.ended(n.Type, started, outcome)
		traced(outcome)
		again := func(s *Session) run.Command {
			a := a
			a.session = s
			c, _ := r.reportSafely(&a, n, reply, err)
			return c
		}
		tell(envelope{command: c, session: a.session, reseal: again, cause: wire.Cause{
			Actor:         wire.Actor{Kind: wire.ActorSystem, ID: r.node, Via: "executor"},
			CommandID:     commandID("result:", id+":"+r.node),
			CorrelationID: a.runID,
			CausationID:   a.cause.String(),
			Traceparent:   a.trace,
		}})
	}, "run_id", a.runID, "task", n.Name, "function", n.Type)
}

// trace begins the span of an attempt, if there is one to begin.
func (r *runner) trace(a *attempt, n *workflow.Node) (ctx context.Context, traceparent string, end func(outcome string)) {
	if r.tracer == nil || a.trace == "" {
		return a.ctx, a.trace, func(string) {}
	}
	return r.tracer.Attempt(a.ctx, a.trace, TracedAttempt{RunID: a.runID, Task: n.Name, Function: n.Type, Number: a.number})
}

func (r *runner) ended(function string, started time.Time, outcome string) {
	if r.hooks.Effect != nil {
		r.hooks.Effect(function, r.clock.Now().Sub(started), outcome)
	}
}

func (r *runner) do(ctx context.Context, a *attempt, n *workflow.Node) (node.Reply, error) {
	typ, ok := r.registry.Get(n.Type)
	if !ok || typ.Run == nil {
		return node.Reply{}, node.Failf("UnknownFunction", "UNKNOWN_FUNCTION", false, "this server has no function %q", n.Type)
	}
	call := node.Call{
		RunID: a.runID, FlowName: a.state.FlowName, RunName: a.state.RunName,
		Task: n.Name, TaskID: a.taskID(n.Name), Function: n.Type, Attempt: a.number, Key: a.key(n.Name),
		Traceparent: a.trace,
	}
	var err error
	if call.Params, err = a.session.Open(ctx, a.state.Task(a.index).Input); err != nil {
		return node.Reply{}, openFailure(err)
	}
	if n.Templates {
		call.Params = a.fillMasks(ctx, call.Params)
	}
	for _, u := range a.state.Upstream(a.index) {
		output, err := a.session.Open(ctx, u.Output)
		if err != nil {
			return node.Reply{}, openFailure(err)
		}
		call.Upstream = append(call.Upstream, node.Upstream{Task: u.Task, Param: u.Param, Output: output, Skipped: u.Skipped})
	}
	told := r.deltas(a, n)
	if told == nil {
		return typ.Run(ctx, call)
	}
	call.Delta = told.add
	reply, err := typ.Run(ctx, call)
	if err == nil {
		told.end()
	}
	return reply, err
}

func openFailure(err error) error {
	kind := domain.KindOf(err)
	return &node.Failure{
		Type: "PayloadError", Code: "PAYLOAD_UNREADABLE", Retryable: kind == domain.KindUnavailable,
		Message: "the stored input of this task cannot be opened: " + kind.String(),
	}
}

// reportSafely is report; a panic in it, which nobody else catches, fails the task.
func (r *runner) reportSafely(a *attempt, n *workflow.Node, reply node.Reply, err error) (c run.Command, outcome string) {
	defer func() {
		if v := recover(); v != nil {
			r.logger.Error("recording an outcome panicked", "run_id", a.runID, "task", n.Name, "error", panicError("report", a.runID, v))
			c, outcome = run.FailTask{Task: n.Name, Attempt: a.number, Error: run.ErrorInfo{
				Type: "InternalError", Code: "PANIC", Message: "the server failed at recording the task's outcome",
			}}, "failed"
		}
	}()
	return r.report(a, n, reply, err)
}

// report turns the outcome of an attempt into the command that records it.
func (r *runner) report(a *attempt, n *workflow.Node, reply node.Reply, err error) (run.Command, string) {
	if err == nil {
		if c, err2 := r.completion(a, n, reply); err2 == nil {
			return c, "completed"
		} else {
			err = err2
		}
	}
	return r.failure(a, n, err), "failed"
}

func (r *runner) completion(a *attempt, n *workflow.Node, reply node.Reply) (run.Command, error) {
	// Sealing outlives the effect's own deadline: the work is done and must be recorded.
	ctx := context.WithoutCancel(a.ctx)
	output, secrets, err := a.session.Seal(ctx, reply.Output, a.sealAt()...)
	switch {
	case errors.Is(err, domain.ErrInvalid):
		return nil, node.Failf("OutputError", "OUTPUT_INVALID", false, "the task's output is not acceptable JSON: %s", err)
	case err != nil:
		return nil, sealFailure(err)
	}
	return run.CompleteTask{
		Task: n.Name, Attempt: a.number, Output: output, Secrets: secrets, Node: r.node,
		Details: r.details(a, reply.Details),
	}, nil
}

func sealFailure(err error) error {
	return &node.Failure{
		Type: "PayloadError", Code: "PAYLOAD_UNSTORABLE", Retryable: true,
		Message: "the task's output cannot be stored: " + domain.KindOf(err).String(),
	}
}

// sealAt says that the whole output is secret if a successor passes it under a secret key.
func (a *attempt) sealAt() []string {
	if a.state.Graph.SealsOutput(a.index) {
		return []string{""}
	}
	return nil
}

// failure translates what went wrong; text of unknown errors stays in the server's log.
func (r *runner) failure(a *attempt, n *workflow.Node, err error) run.Command {
	f := classify(err)
	c := run.FailTask{
		Task: n.Name, Attempt: a.number, Retryable: f.Retryable, RetryAfter: f.RetryAfter, Jitter: r.ids.Jitter(),
		Error:   run.ErrorInfo{Type: f.Type, Code: f.Code, Message: message(a.session, f)},
		Details: r.details(a, f.CallDetails),
	}
	ctx := context.WithoutCancel(a.ctx)
	seal := func(raw json.RawMessage) domain.Value {
		if raw == nil || rawjson.Check(raw, domain.JSONDepthMax) != nil || rawjson.KindOf(raw) != rawjson.Object {
			return domain.Value{}
		}
		v, secrets, err := a.session.Seal(ctx, raw)
		if err != nil {
			return domain.Value{}
		}
		c.Secrets = append(c.Secrets, secrets...)
		return v
	}
	c.Error.Details, c.Partial = seal(f.Details), seal(f.Partial)
	return c
}

func classify(err error) *node.Failure {
	var f *node.Failure
	switch {
	case errors.As(err, &f):
		return f
	case errors.Is(err, context.DeadlineExceeded):
		return node.Failf("TimeoutError", "TIMEOUT", true, "the attempt ran out of time")
	case panicked(err):
		return node.Failf("InternalError", "PANIC", false, "the task's code failed; the server's log has the details")
	default:
		return node.Failf("InternalError", "INTERNAL", true, "the attempt failed inside the server; its log has the details")
	}
}

// panicked tells whether Effects handed on a panic: an error with Panicked() bool in its chain.
func panicked(err error) bool {
	var p interface{ Panicked() bool }
	return errors.As(err, &p) && p.Panicked()
}

func (r *runner) details(a *attempt, d map[string]any) domain.Value {
	if len(d) == 0 {
		return domain.Value{}
	}
	b, err := appendDetails(nil, d)
	if err != nil {
		return domain.Value{}
	}
	return domain.Raw([]byte(a.session.Scrub(string(b))))
}

// saidBytesMax is how much of what a far side told stands in a message; details have more.
const saidBytesMax = 200

// message is what a failure says, with known secrets masked.
func message(session *Session, f *node.Failure) string {
	text := clipText(session.Scrub(f.Message), 4096)
	if said := clipText(session.Scrub(f.Said), saidBytesMax-len("…")); said != "" {
		text += ": " + said
	}
	return text
}

func clipText(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && s[n]&0xc0 == 0x80 {
		n--
	}
	return s[:n] + "…"
}
