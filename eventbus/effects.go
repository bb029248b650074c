package eventbus

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/ThreeDotsLabs/watermill/message/router/middleware"
)

// Effects runs the attempts of effect nodes in a bounded pool.
//
// Each attempt is a Watermill message that goes through Watermill's middleware (recover, timeout)
// by direct call: no Router and no transport stand on this path, since both the start and the
// outcome of an attempt are in the log already. Safe for concurrent use.
type Effects struct {
	max    int
	logger *slog.Logger

	mu      sync.Mutex
	running int            // attempts at work
	queue   []*effect      // waiting for one of max
	idle    []chan *effect // workers without work, each with room for one
	closed  bool
	wg      sync.WaitGroup
}

// idleWorkersMax is how many workers are kept for the next attempts: a new goroutine grows its
// stack step by step on this path, which costs more than the rest of handing an attempt over.
const idleWorkersMax = 32

type effect struct {
	message *message.Message
	timeout time.Duration
	do      func(context.Context) error
	done    func(error)
}

// NewEffects makes a pool that runs at most max attempts at once (default 256). What waits is
// bounded by the executor: active runs times parallel tasks per run.
func NewEffects(max int, logger *slog.Logger) *Effects {
	if max <= 0 {
		max = 256
	}
	if logger == nil {
		logger = slog.New(slog.DiscardHandler)
	}
	return &Effects{max: max, logger: logger}
}

// Submit queues one attempt and returns at once. do runs under a context derived from ctx that ends
// after timeout (0 = none of its own); done is called exactly once: with do's error, with a
// *PanicError if do panicked, or with ctx's error if ctx ended before do began. metadata are keys and
// values in turn.
func (e *Effects) Submit(ctx context.Context, id string, timeout time.Duration, do func(context.Context) error, done func(error), metadata ...string) {
	m := message.NewMessage(id, nil)
	m.SetContext(ctx)
	for i := 0; i+1 < len(metadata); i += 2 {
		m.Metadata.Set(metadata[i], metadata[i+1])
	}
	job := &effect{message: m, timeout: timeout, do: do, done: done}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.running >= e.max {
		e.queue = append(e.queue, job)
		return
	}
	e.running++
	if n := len(e.idle); n > 0 {
		worker := e.idle[n-1]
		e.idle = e.idle[:n-1]
		worker <- job
		return
	}
	e.wg.Go(func() { e.work(job) })
}

// Running returns how many attempts run and how many wait.
func (e *Effects) Running() (running, waiting int) {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.running, len(e.queue)
}

// Wait returns once nothing runs or waits. Submit must not be called any more.
func (e *Effects) Wait() {
	e.mu.Lock()
	e.closed = true
	for _, worker := range e.idle {
		close(worker)
	}
	e.idle = nil
	e.mu.Unlock()
	e.wg.Wait()
}

func (e *Effects) work(job *effect) {
	own := make(chan *effect, 1)
	for job != nil {
		e.run(job)
		job = e.next(own)
	}
}

// next gives a worker its next attempt; it waits for one as long as there is room for idle workers.
// nil tells the worker to end.
func (e *Effects) next(own chan *effect) *effect {
	e.mu.Lock()
	if len(e.queue) > 0 {
		job := e.queue[0]
		e.queue[0] = nil
		e.queue = e.queue[1:]
		if len(e.queue) == 0 {
			e.queue = nil
		}
		e.mu.Unlock()
		return job
	}
	e.running--
	if e.closed || len(e.idle) >= idleWorkersMax {
		e.mu.Unlock()
		return nil
	}
	e.idle = append(e.idle, own)
	e.mu.Unlock()
	return <-own
}

func (e *Effects) run(job *effect) {
	if err := job.message.Context().Err(); err != nil {
		job.done(err)
		return
	}
	handle := message.HandlerFunc(func(m *message.Message) ([]*message.Message, error) {
		return nil, job.do(m.Context())
	})
	if job.timeout > 0 {
		handle = middleware.Timeout(job.timeout)(handle)
	}
	_, err := middleware.Recoverer(handle)(job.message)
	job.done(e.panicked(job, err))
}

// PanicError says that an attempt's code panicked. Its text holds no detail; those are logged.
type PanicError struct{}

// Error is a constant: what was panicked with may hold anything.
func (PanicError) Error() string { return "the attempt's code panicked" }

// Panicked marks the error for those who cannot import this package.
func (PanicError) Panicked() bool { return true }

func (e *Effects) panicked(job *effect, err error) error {
	if err == nil {
		return nil
	}
	var p middleware.RecoveredPanicError
	if !errors.As(err, &p) {
		return err
	}
	// The value panicked with may hold a payload: only its type and the stack are logged.
	e.logger.Error("effect panicked", "attempt", job.message.UUID, "function", job.message.Metadata.Get("function"), "stack", p.Stacktrace)
	return PanicError{}
}
