package flows

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// StepsPerFlow is how many tasks, one after the other, a flow has.
const StepsPerFlow = 5

// FlowName is the flow that all runs belong to.
const FlowName = "bench"

// Flow is what is run again and again.
type Flow struct{ before, after string }

// Noop is a flow of bench_noop tasks: effects that do nothing.
func Noop() Flow { return chain("bench_noop", `{}`) }

// Call is a flow of api_call tasks, each with a GET of url.
func Call(url string) Flow {
	return chain("api_call", fmt.Sprintf(`{"config":{"url":%q,"method":"GET"}}`, url))
}

func chain(function, params string) Flow {
	var tasks, edges []string
	for i := range StepsPerFlow {
		tasks = append(tasks, fmt.Sprintf(`{"name":"step%d","function":%q,"params":%s}`, i+1, function, params))
		if i > 0 {
			edges = append(edges, fmt.Sprintf(`{"source":"step%d","target":"step%d"}`, i, i+1))
		}
	}
	return Flow{
		before: `{"flow_name":"` + FlowName + `","run_name":"`,
		after:  `","tasks":[` + strings.Join(tasks, ",") + `],"edges":[` + strings.Join(edges, ",") + `]}`,
	}
}

// Body appends the request that starts the flow under a run name.
func (f Flow) Body(dst []byte, name string) []byte {
	return append(append(append(dst, f.before...), name...), f.after...)
}

var lastName atomic.Int64

// NewName returns a name that no run has had, in order of time.
func NewName() string {
	// The clock may stand still or go back, so the counter leads.
	for {
		last := lastName.Load()
		if next := max(last+1, time.Now().UnixMicro()); lastName.CompareAndSwap(last, next) {
			return fmt.Sprintf("r%016x", next)
		}
	}
}

// Started is a run that a server acknowledged.
type Started struct {
	ID, Name string
	Sent     time.Time // before its request was sent
}

// Result is what a load reached.
type Result struct {
	Concurrency int
	Flows       int
	Elapsed     time.Duration
	P50, P99    time.Duration // of a flow, from the start's sending to the end's answer
	// Shares of all cores' time, 0 to 1.
	ServerCPU, LoadCPU float64
	// ViewsLag is how long the oldest event that the views lacked had been waiting when the load ended.
	ViewsLag time.Duration
}

// StepsPerSecond is the rate of steps over the whole load.
func (r Result) StepsPerSecond() float64 {
	return float64(r.Flows*StepsPerFlow) / r.Elapsed.Seconds()
}

// Load are closed loops: each starts a flow, waits for its end and starts the next.
type Load struct {
	Addr string
	// Addrs, if set, are those of several servers, over which the loops are spread evenly.
	Addrs       []string
	Flow        Flow
	Concurrency int
	// The load ends after Duration, or when Flows have been started, whichever is set and first.
	Duration time.Duration
	Flows    int
	// OnStarted is told of every acknowledged start, OnEnded of every completed run; each may be
	// nil and must be cheap and safe for concurrent use.
	OnStarted, OnEnded func(Started)
}

// Run carries out the load. The first error of a loop ends that loop; it is returned with what the
// others reached.
func (l Load) Run() (Result, error) {
	var (
		wg      sync.WaitGroup
		mu      sync.Mutex
		all     []time.Duration
		first   error
		started atomic.Int64
	)
	start := time.Now()
	for i := range l.Concurrency {
		addr := l.Addr
		if len(l.Addrs) > 0 {
			addr = l.Addrs[i%len(l.Addrs)]
		}
		wg.Go(func() {
			own, err := l.loop(addr, start, &started)
			mu.Lock()
			defer mu.Unlock()
			all = append(all, own...)
			if first == nil {
				first = err
			}
		})
	}
	wg.Wait()
	r := Result{Concurrency: l.Concurrency, Flows: len(all), Elapsed: time.Since(start)}
	if len(all) > 0 {
		slices.Sort(all)
		r.P50, r.P99 = all[len(all)/2], all[len(all)*99/100]
	}
	return r, first
}

func (l Load) loop(addr string, start time.Time, started *atomic.Int64) (took []time.Duration, err error) {
	c, err := Dial(addr)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	var body []byte
	for {
		s := Started{Name: NewName(), Sent: time.Now()}
		if l.Duration > 0 && s.Sent.Sub(start) >= l.Duration || l.Flows > 0 && started.Add(1) > int64(l.Flows) {
			return took, nil
		}
		body = l.Flow.Body(body[:0], s.Name)
		if s.ID, err = c.Start(body); err != nil {
			return took, fmt.Errorf("start: %w", err)
		}
		if l.OnStarted != nil {
			l.OnStarted(s)
		}
		if err = c.Wait(s.ID); err != nil {
			return took, fmt.Errorf("wait: %w", err)
		}
		took = append(took, time.Since(s.Sent))
		if l.OnEnded != nil {
			l.OnEnded(s)
		}
	}
}
