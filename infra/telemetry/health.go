package telemetry

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

// CheckTimeoutDefault is how long a check may take if none is named.
const CheckTimeoutDefault = time.Second

// Health answers whether the process lives (restart it if not) and is ready (send it traffic).
//
// Until Started it is not ready, and from Draining on it is not ready again, whatever the checks
// say. Make one with NewHealth; safe for concurrent use.
type Health struct {
	mu    sync.Mutex
	live  []*check
	ready []*check
	parts map[string]*Part // by name; each is a ready check too
	phase atomic.Int32
}

// processCheck is the ready check that every process has.
const processCheck = "process"

const (
	phaseStarting int32 = iota
	phaseServing
	phaseDraining
)

type check struct {
	name     string
	timeout  time.Duration
	f        func(context.Context) error
	advisory bool // its failure is told and keeps nobody away

	mu      sync.Mutex
	current *call // nil while none is under way
}

// call is one run of a check, which all who ask meanwhile share.
type call struct {
	done chan struct{}
	err  error // written before done is closed
}

// CheckResult is the outcome of one check.
type CheckResult struct {
	Status string `json:"status"`          // ok, degraded or failed
	Error  string `json:"error,omitempty"` // why it is not ok
}

// Report is the outcome of all checks together.
type Report struct {
	Status string                 `json:"status"` // the worst of the checks
	Checks map[string]CheckResult `json:"checks"`
}

// The words of a Status.
const (
	StatusOK       = "ok"
	StatusDegraded = "degraded" // something does not work, yet requests are welcome
	StatusFailed   = "failed"
)

// OK reports whether no check failed; what is degraded counts as passed.
func (r Report) OK() bool { return r.Status != StatusFailed }

// Bare renders the status alone, for those who may not know what was checked.
func (r Report) Bare() []byte { return []byte(`{"status":"` + r.Status + `"}`) }

// JSON renders the report as {"status":...,"checks":{name:{"status":...,"error":...}}}.
func (r Report) JSON() []byte {
	b, err := json.Marshal(r)
	if err != nil {
		panic(err) // strings in a map: cannot fail
	}
	return b
}

// NewHealth returns a registry without checks, in the phase before the start.
func NewHealth() *Health { return &Health{} }

// AddLive adds a check whose failure means that only a restart helps. timeout 0 means
// CheckTimeoutDefault. f must return when its context ends; until an overdue call has returned, the
// check fails without being called again. Callers at the same time share one call. A panic of f
// counts as failure. AddLive panics on a second check of that name.
func (h *Health) AddLive(name string, timeout time.Duration, f func(context.Context) error) {
	h.add(&h.live, name, timeout, false, f)
}

// AddReady adds a check whose failure means that requests should go elsewhere for now; otherwise as
// AddLive. The name "process" is taken.
func (h *Health) AddReady(name string, timeout time.Duration, f func(context.Context) error) {
	if name == processCheck {
		panic("telemetry: the health check named process is built in")
	}
	h.add(&h.ready, name, timeout, false, f)
}

// AddAdvice adds a ready check whose failure is shown as degraded: the rest of the process does its
// work, and sending requests elsewhere would not help. Otherwise as AddReady.
func (h *Health) AddAdvice(name string, timeout time.Duration, f func(context.Context) error) {
	if name == processCheck {
		panic("telemetry: the health check named process is built in")
	}
	h.add(&h.ready, name, timeout, true, f)
}

func (h *Health) add(to *[]*check, name string, timeout time.Duration, advisory bool, f func(context.Context) error) {
	if timeout <= 0 {
		timeout = CheckTimeoutDefault
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, c := range *to {
		if c.name == name {
			panic("telemetry: a second health check named " + name)
		}
	}
	*to = append(*to, &check{name: name, timeout: timeout, advisory: advisory, f: f})
}

// Started says that every part has started.
func (h *Health) Started() { h.phase.CompareAndSwap(phaseStarting, phaseServing) }

// Draining says that the process is about to stop. There is no way back.
func (h *Health) Draining() { h.phase.Store(phaseDraining) }

// Live runs the live checks, all at once, and waits for them at most as long as their timeouts.
func (h *Health) Live(ctx context.Context) Report { return h.report(ctx, &h.live) }

// Ready runs the ready checks likewise. Its check "process" says whether the process serves.
func (h *Health) Ready(ctx context.Context) Report {
	r := h.report(ctx, &h.ready)
	process := CheckResult{Status: StatusOK}
	switch h.phase.Load() {
	case phaseStarting:
		process = CheckResult{StatusFailed, "the process is starting"}
	case phaseDraining:
		process = CheckResult{StatusFailed, "the process is stopping"}
	}
	r.put(processCheck, process)
	return r
}

func (r *Report) put(name string, c CheckResult) {
	r.Checks[name] = c
	if c.Status == StatusFailed || c.Status == StatusDegraded && r.Status == StatusOK {
		r.Status = c.Status
	}
}

func (h *Health) report(ctx context.Context, of *[]*check) Report {
	h.mu.Lock()
	checks := append([]*check(nil), *of...)
	h.mu.Unlock()

	results := make([]CheckResult, len(checks))
	var wg sync.WaitGroup
	for i, c := range checks {
		wg.Go(func() { results[i] = c.run(ctx) })
	}
	wg.Wait()

	r := Report{Status: StatusOK, Checks: make(map[string]CheckResult, len(checks)+1)}
	for i, c := range checks {
		r.put(c.name, results[i])
	}
	return r
}

// run asks the check, joining a call that is under way. So a stuck dependency costs one goroutine
// and not one per probe, and the call outlives a caller that gives up.
func (c *check) run(ctx context.Context) CheckResult {
	c.mu.Lock()
	now := c.current
	if now == nil {
		now = &call{done: make(chan struct{})}
		c.current = now
		go c.call(context.WithoutCancel(ctx), now)
	}
	c.mu.Unlock()

	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	select {
	case <-now.done:
		if now.err != nil {
			return CheckResult{c.bad(), now.err.Error()}
		}
		return CheckResult{Status: StatusOK}
	case <-ctx.Done():
		return CheckResult{c.bad(), fmt.Sprintf("did not answer within %s", c.timeout)}
	}
}

// bad is the status of a failure.
func (c *check) bad() string {
	if c.advisory {
		return StatusDegraded
	}
	return StatusFailed
}

func (c *check) call(ctx context.Context, now *call) {
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	defer func() {
		if v := recover(); v != nil {
			now.err = fmt.Errorf("panic: %v", v)
		}
		c.mu.Lock()
		c.current = nil
		c.mu.Unlock()
		close(now.done)
	}()
	now.err = c.f(ctx)
}
