package lifecycle

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"quipu/domain"
)

// Causes that members find with context.Cause.
var (
	// ErrStopping ends intake, and work in turn, when a stop was asked for.
	ErrStopping = errors.New("the process is stopping")
	// ErrBudgetSpent ends work that is left when the drain budget is spent.
	ErrBudgetSpent = errors.New("the drain budget is spent")
	// ErrEnded stops the group when a member's Run returned although nobody asked it to.
	ErrEnded = errors.New("ended by itself")
)

// Member is one part of the process. Every function is optional; each is called at most once, and
// a panic in one counts as its error.
type Member struct {
	// Name stands in errors and log lines.
	Name string
	// Start makes the member usable and returns; members start one after the other. ctx ends when
	// the process is to stop before it has started.
	Start func(ctx context.Context) error
	// Run is called on a goroutine of its own once Start has returned, and blocks. It returns nil
	// when it stopped because a context ended; anything else, or nil too early, stops the group.
	Run func(intake, work context.Context) error
	// EndsAfterIntake says that Run finishes what is in progress and returns once intake has ended.
	// The group then waits for that, within the budget, before it ends work. Without it Run goes on
	// until work ends.
	EndsAfterIntake bool
	// Drain refuses new work and returns when nothing is in progress, or when ctx ends, which is
	// when the budget is spent.
	Drain func(ctx context.Context) error
	// Close releases what Start took. It is called last, also if Run did not return.
	Close func() error
}

// Options are the settings of a group. The zero value drains not at all and is silent.
type Options struct {
	// DrainTimeout is the budget for all members together, from the begin of the stop until work
	// is cancelled. 0: work is cancelled at once.
	DrainTimeout time.Duration
	// GraceTimeout is how long one member may take to return, and one Close, once its work has
	// ended; then the group leaves it behind and says so. Default 5s.
	GraceTimeout time.Duration
	// Logger gets one line for each member that started or stopped, and for each error.
	Logger *slog.Logger
}

// GraceTimeoutDefault is used if Options.GraceTimeout is 0.
const GraceTimeoutDefault = 5 * time.Second

// Group runs members. Make one with New.
type Group struct {
	opts    Options
	members []Member
	ready   chan struct{}

	mu    sync.Mutex
	cause error // the first error; it is what Run returns
}

// New makes a group of members in the order in which they start. It panics if two members share a
// name or one has none: their errors could not be told apart.
func New(opts Options, members ...Member) *Group {
	if opts.GraceTimeout == 0 {
		opts.GraceTimeout = GraceTimeoutDefault
	}
	if opts.Logger == nil {
		opts.Logger = slog.New(slog.DiscardHandler)
	}
	names := map[string]bool{}
	for _, m := range members {
		if m.Name == "" || names[m.Name] {
			panic(fmt.Sprintf("lifecycle: a member is named %q, which is empty or taken", m.Name))
		}
		names[m.Name] = true
	}
	return &Group{opts: opts, members: members, ready: make(chan struct{})}
}

// Ready is closed once every member has started. It stays open if that never happens.
func (g *Group) Ready() <-chan struct{} { return g.ready }

// Run starts the members, waits until ctx ends or a member fails, and stops them in reverse.
//
// It returns nil if a stop was asked for and went well (work cut off by the budget included), else the first error that occurred, with
// the member's name; later ones are in the log. Every goroutine it started has ended by then,
// except those that an error names as left behind. Call it once.
func (g *Group) Run(ctx context.Context) error {
	root := context.WithoutCancel(ctx)
	intake, endIntake := context.WithCancelCause(root)
	defer endIntake(ErrStopping)

	// Asked to stop, or a member failed: either ends intake, and with it the wait below.
	unhook := context.AfterFunc(ctx, func() { endIntake(ErrStopping) })
	defer unhook()

	var running []*member
	for _, m := range g.members {
		if intake.Err() != nil {
			break
		}
		r, ok := g.start(m, root, intake, endIntake)
		if r != nil {
			running = append(running, r)
		}
		if !ok {
			break
		}
	}
	if len(running) == len(g.members) && intake.Err() == nil {
		close(g.ready)
	}
	<-intake.Done()

	g.stop(root, running)
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.cause
}

// member is a Member that has started.
type member struct {
	Member
	endWork context.CancelCauseFunc
	done    chan struct{} // closed when Run has returned, or there is none
}

// start starts one member. It returns nil for one whose Start failed: there is nothing to stop.
func (g *Group) start(m Member, root, intake context.Context, endIntake context.CancelCauseFunc) (*member, bool) {
	if m.Start != nil {
		if err := guard(func() error { return m.Start(intake) }); err != nil {
			// A start cut short by an asked-for stop is no failure.
			if intake.Err() == nil || !isEnd(err) {
				g.fail(m.Name, "start", err)
			}
			endIntake(ErrStopping)
			return nil, false
		}
	}
	work, endWork := context.WithCancelCause(root)
	r := &member{Member: m, endWork: endWork, done: make(chan struct{})}
	g.opts.Logger.Debug("member started", "member", m.Name)
	if m.Run == nil {
		close(r.done)
		return r, true
	}
	go func() {
		defer close(r.done)
		err := guard(func() error { return m.Run(intake, work) })
		ended := intake.Err() != nil
		switch {
		case err == nil && ended, err != nil && ended && isEnd(err):
		case err == nil:
			g.fail(m.Name, "run", ErrEnded)
		default:
			g.fail(m.Name, "run", err)
		}
		endIntake(ErrStopping)
	}()
	return r, true
}

// stop stops the members in reverse, all within one budget.
func (g *Group) stop(root context.Context, running []*member) {
	budget, done := context.WithTimeoutCause(root, g.opts.DrainTimeout, ErrBudgetSpent)
	defer done()
	// When the budget is spent every member learns it at once, not only the one whose turn it is.
	var turn atomic.Int64 // how many members are left
	turn.Store(int64(len(running)))
	told := make(chan struct{})
	unhook := context.AfterFunc(budget, func() {
		defer close(told)
		for _, r := range running {
			r.endWork(ErrBudgetSpent)
		}
		g.cut(running[:turn.Load()])
	})
	defer func() {
		if !unhook() {
			<-told
		}
	}()

	for i := len(running) - 1; i >= 0; i-- {
		r := running[i]
		turn.Store(int64(i + 1))
		if r.Drain != nil {
			g.await(r, "drain", budget, func() error {
				err := r.Drain(budget)
				if isEnd(err) && budget.Err() != nil {
					return nil
				}
				return err
			})
		}
		if r.EndsAfterIntake {
			select {
			case <-r.done:
			case <-budget.Done():
			}
		}
		r.endWork(ErrStopping)
		g.await(r, "stop", root, func() error { <-r.done; return nil })
		if r.Close != nil {
			g.await(r, "close", root, r.Close)
		}
		g.opts.Logger.Debug("member stopped", "member", r.Name)
	}
}

// cut notes which members had not stopped when the budget was spent. That is no error: what was
// acknowledged is in the log, and the rest is carried on after the next start.
func (g *Group) cut(left []*member) {
	names := make([]string, len(left))
	for i, r := range left {
		names[i] = r.Name
	}
	g.opts.Logger.Warn("drain budget spent", "members", strings.Join(names, ","), "budget", g.opts.DrainTimeout)
}

// await calls f and waits until it returns, or until it has overstayed the end of ctx by the
// grace. A ctx without end counts as ended from the start. The goroutine left behind then is
// named in the error; the process is about to exit and cannot do more.
func (g *Group) await(r *member, what string, ctx context.Context, f func() error) {
	returned := make(chan error, 1)
	go func() { returned <- guard(f) }()
	if ctx.Done() != nil {
		select {
		case err := <-returned:
			g.ended(r, what, err)
			return
		case <-ctx.Done():
		}
	}
	grace := time.NewTimer(g.opts.GraceTimeout)
	defer grace.Stop()
	select {
	case err := <-returned:
		g.ended(r, what, err)
	case <-grace.C:
		g.fail(r.Name, what, fmt.Errorf("did not return within %s and is left behind", g.opts.GraceTimeout))
	}
}

func (g *Group) ended(r *member, what string, err error) {
	if err != nil {
		g.fail(r.Name, what, err)
	}
}

// fail logs an error and keeps it if it is the first.
func (g *Group) fail(name, what string, err error) {
	err = fmt.Errorf("%s %s: %w", what, name, err)
	g.mu.Lock()
	first := g.cause == nil
	if first {
		g.cause = err
	}
	g.mu.Unlock()
	attrs := []any{"member", name, "error", err.Error(), "first", first}
	var p *PanicError
	if errors.As(err, &p) {
		attrs = append(attrs, "stack", string(p.Stack))
	}
	g.opts.Logger.Error("member failed", attrs...)
}

// isEnd reports whether err only says that a context ended.
func isEnd(err error) bool {
	for _, end := range []error{context.Canceled, context.DeadlineExceeded, domain.ErrCanceled, domain.ErrDeadline, ErrStopping, ErrBudgetSpent} {
		if errors.Is(err, end) {
			return true
		}
	}
	return false
}

// PanicError is a member's panic, with the stack for the log.
type PanicError struct {
	Value any
	Stack []byte
}

// Error renders the panic's value, without the stack.
func (p *PanicError) Error() string { return fmt.Sprintf("panic: %v", p.Value) }

// Unwrap returns the panic's value if it was an error.
func (p *PanicError) Unwrap() error {
	err, _ := p.Value.(error)
	return err
}

func guard(f func() error) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = &PanicError{Value: v, Stack: debug.Stack()}
		}
	}()
	return f()
}
