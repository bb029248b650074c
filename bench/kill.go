package main

import (
	"fmt"
	"sync"
	"time"

	"quipu/bench/flows"
	"quipu/bench/report"
)

const killConcurrency = 64

// kill ends the server as kill -9 does, under load, and starts it again on the same data. Every
// acknowledged run must complete: one that does not fails the benchmarks.
func kill(b *bench) error {
	data, remove, err := b.temp()
	if err != nil {
		return err
	}
	defer remove()
	acked, ended, err := b.killUnderLoad(data)
	if err != nil {
		return err
	}
	s, err := flows.Start(flows.Options{Bin: b.bin, Data: data})
	if err != nil {
		return err
	}
	// Those under way first: the time counts until they have ended.
	if err := awaitAll(s.Addr, acked, func(id string) bool { return !ended[id] }); err != nil {
		_ = s.Kill() // err says why
		return err
	}
	all := time.Since(s.Began)
	if err := awaitAll(s.Addr, acked, func(id string) bool { return ended[id] }); err != nil {
		_ = s.Kill() // err says why
		return err
	}
	section := fmt.Sprintf("kill -9 under load at %d, from the next start", killConcurrency)
	b.report.Add(report.Row{
		Section: section, What: "until all acknowledged runs ended", Figure: all.Seconds(), Unit: "s", Target: report.AtMost(5),
		Note: fmt.Sprintf("%d of %d acknowledged runs completed, %d of them were not seen completed before", len(acked), len(acked), len(acked)-len(ended)),
	})
	b.report.Add(report.Row{Section: section, What: "until ready", Figure: s.Ready.Seconds(), Unit: "s"})
	return s.Stop()
}

// killUnderLoad returns the ids of the runs that were acknowledged and of those whose end was seen.
func (b *bench) killUnderLoad(data string) (acked []string, ended map[string]bool, err error) {
	s, err := flows.Start(flows.Options{Bin: b.bin, Data: data})
	if err != nil {
		return nil, nil, err
	}
	var mu sync.Mutex
	ended = map[string]bool{}
	load := flows.Load{
		Addr: s.Addr, Flow: flows.Noop(), Concurrency: killConcurrency, Duration: time.Hour,
		OnStarted: func(r flows.Started) {
			mu.Lock()
			defer mu.Unlock()
			acked = append(acked, r.ID)
		},
		OnEnded: func(r flows.Started) {
			mu.Lock()
			defer mu.Unlock()
			ended[r.ID] = true
		},
	}
	over := make(chan struct{})
	go func() {
		defer close(over)
		_, _ = load.Run() // ends with the errors of cut connections, which is what is wanted
	}()
	time.Sleep(min(b.point(), 10*time.Second))
	err = s.Kill()
	<-over
	if err == nil && len(ended) == 0 {
		err = fmt.Errorf("no run ended before the kill: %q", s.Warnings())
	}
	return acked, ended, err
}

// awaitAll waits until the runs that want picks have completed.
func awaitAll(addr string, ids []string, want func(string) bool) error {
	var picked []string
	for _, id := range ids {
		if want(id) {
			picked = append(picked, id)
		}
	}
	const clients = 16
	var wg sync.WaitGroup
	errs := make([]error, clients)
	for w := range clients {
		wg.Go(func() {
			c, err := flows.Dial(addr)
			if err != nil {
				errs[w] = err
				return
			}
			defer c.Close()
			for i := w; i < len(picked) && errs[w] == nil; i += clients {
				errs[w] = c.Wait(picked[i])
			}
		})
	}
	wg.Wait()
	for _, err := range errs {
		if err != nil {
			return fmt.Errorf("after the restart: %w", err)
		}
	}
	return nil
}
