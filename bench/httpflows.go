package main

import (
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"quipu/bench/flows"
	"quipu/bench/report"
)

// flushesPerFlow are the flushes one flow of five steps needs: name, start, five completions.
const flushesPerFlow = 7

// profiledFlows is the point whose CPU profile is taken.
const profiledFlows = 64

var noopTargets = map[int]*report.Target{16: report.AtLeast(5000), 64: report.AtLeast(8000), 256: report.AtLeast(8000)}

// flowsOverHTTP measures flows of five durable steps on the real binary.
func flowsOverHTTP(b *bench) error {
	const section = "flows of five durable no-ops over HTTP"
	for _, n := range []int{1, 16, 64, 256} {
		r, err := b.load(flows.Noop(), n)
		if err != nil {
			return err
		}
		b.addLoad(section, r, noopTargets[n])
		if n == 1 {
			limit := flushesPerFlow * millis(b.fdata.P50)
			b.report.Add(report.Row{
				Section: section, What: "flow p50 at 1", Figure: millis(r.P50), Unit: "ms",
				Raw: limit, RawUnit: "ms (7 fdatasyncs)", Ratio: millis(r.P50) / limit, Target: report.RatioAtMost(2.5),
			})
		}
	}
	if err := firstStep(b); err != nil {
		return err
	}
	stub, err := flows.NewStub()
	if err != nil {
		return err
	}
	defer stub.Close()
	r, err := b.load(flows.Call(stub.URL()), 64)
	if err != nil {
		return err
	}
	b.addLoad("flows of five HTTP calls to a loopback stub", r, report.AtLeast(5000))
	return nil
}

func (b *bench) addLoad(section string, r flows.Result, target *report.Target) {
	b.report.Add(report.Row{
		Section: section, What: fmt.Sprintf("%d at once", r.Concurrency), Figure: r.StepsPerSecond(), Unit: "steps/s", Target: target,
		Note: fmt.Sprintf("flow p50 %.2f / p99 %.2f ms; views %.2f s behind at the end (a figure counts within 1 s); CPU: server %s, load generator %s of all cores",
			millis(r.P50), millis(r.P99), r.ViewsLag.Seconds(), percent(r.ServerCPU), percent(r.LoadCPU)),
	})
}

// warmUp comes before each point, so that files, connections and caches are there.
const warmUp = 500 * time.Millisecond

// load runs flows against a fresh server.
func (b *bench) load(flow flows.Flow, concurrency int) (r flows.Result, err error) {
	profiled := b.profile != "" && concurrency == profiledFlows && flow == flows.Noop()
	err = b.withServer(func(s *flows.Server) error {
		l := flows.Load{Addr: s.Addr, Flow: flow, Concurrency: concurrency, Duration: warmUp}
		if _, err := l.Run(); err != nil {
			return err
		}
		if profiled {
			if err := s.BeginProfile(); err != nil {
				return err
			}
		}
		before, err := s.Usage()
		if err != nil {
			return err
		}
		l.Duration = b.point()
		if r, err = l.Run(); err != nil {
			return err
		}
		if r.ViewsLag, err = s.ViewsLag(); err != nil {
			return err
		}
		after, err := s.Usage()
		if err != nil {
			return err
		}
		r.ServerCPU, r.LoadCPU = after.Shares(before)
		if profiled {
			return s.EndProfile()
		}
		return nil
	})
	return r, err
}

// withServer runs f against a server on empty data and stops it.
func (b *bench) withServer(f func(*flows.Server) error) error {
	data, remove, err := b.temp()
	if err != nil {
		return err
	}
	defer remove()
	s, err := flows.Start(flows.Options{Bin: b.bin, Data: data, Profile: b.profile})
	if err != nil {
		return err
	}
	if err := f(s); err != nil {
		_ = s.Kill() // err says why
		return fmt.Errorf("%w; the server's last warnings: %q", err, s.Warnings())
	}
	return s.Stop()
}

// firstStep measures from the sending of a start until its first step is at work: the step is a
// call to the stub, which is in this process and shares its clock.
func firstStep(b *bench) error {
	stub, err := flows.NewStub()
	if err != nil {
		return err
	}
	defer stub.Close()
	var first atomic.Int64 // when the run's first call came, 0 until then
	origin := time.Now()
	stub.OnCall = func(at time.Time) { first.CompareAndSwap(0, int64(at.Sub(origin))) }
	var took []time.Duration
	err = b.withServer(func(s *flows.Server) error {
		l := flows.Load{Addr: s.Addr, Flow: flows.Call(stub.URL()), Concurrency: 1, Duration: min(b.point(), 5*time.Second)}
		l.OnEnded = func(run flows.Started) {
			took = append(took, time.Duration(first.Swap(0))-run.Sent.Sub(origin))
		}
		_, err := l.Run()
		return err
	})
	if err != nil || len(took) == 0 {
		return err
	}
	slices.Sort(took)
	b.report.Add(report.Row{
		Section: "flows of five durable no-ops over HTTP", What: "start → first step p50 at 1", Figure: millis(took[len(took)/2]), Unit: "ms",
		Raw: 2 * millis(b.fdata.P50), RawUnit: "ms (2 fdatasyncs)", Ratio: millis(took[len(took)/2]) / (2 * millis(b.fdata.P50)), Target: report.AtMost(1),
		Note: fmt.Sprintf("p99 %.2f ms; the step is a call to the stub, whose arrival counts", millis(took[len(took)*99/100])),
	})
	return nil
}
