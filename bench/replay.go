package main

import (
	"context"
	"fmt"
	"time"

	"quipu/bench/flows"
	"quipu/bench/report"
	"quipu/domain"
	"quipu/domain/run"
	"quipu/infra/embedded"
	"quipu/readapi/lao"
)

const (
	replaySteps  = 5_000 // of two events each
	replayPage   = 1_000
	replayEvents = 2*replaySteps + 2 // with the run's start and end
)

// replay measures how fast a finished run's history is read again.
func replay(b *bench) error {
	dir, remove, err := b.temp()
	if err != nil {
		return err
	}
	defer remove()
	// Nothing is kept in memory, so that the history is read from the files, as an old run's is.
	k, err := newKit(dir, embedded.Options{RecentEventsMax: 1})
	if err != nil {
		return err
	}
	err = b.replays(k)
	if closed := k.close(); err == nil {
		err = closed
	}
	return err
}

func (b *bench) replays(k *kit) error {
	r, err := k.newRun("replay")
	if err != nil {
		return err
	}
	for range replaySteps {
		if err := r.step(); err != nil {
			return err
		}
	}
	if err := r.events(run.Completed{StartedAt: time.Now().UTC(), Results: domain.Raw([]byte(`{}`))}); err != nil {
		return err
	}
	section := fmt.Sprintf("replay of a finished run of %d events from the files", replayEvents)
	renderer := lao.New(k.log, plain{}, lao.Options{LogID: k.log.ID()})
	rate, err := b.repeat(func() error { return replayInProcess(k.log, renderer, r) })
	if err != nil {
		return err
	}
	b.report.Add(report.Row{Section: section, What: "in process: read, decode, render", Figure: rate, Unit: "events/s", Target: report.AtLeast(50_000), Note: "one goroutine"})
	rate, err = b.repeat(func() error { return replayOverSocket(k.addr, r) })
	if err != nil {
		return err
	}
	b.report.Add(report.Row{Section: section, What: "one socket, from=0", Figure: rate, Unit: "events/s", Target: report.AtLeast(30_000), Note: "from dialling to the last frame, client in the same process"})
	return nil
}

// repeat runs f for the time of a point and returns the rate of events.
func (b *bench) repeat(f func() error) (float64, error) {
	start := time.Now()
	for n := 1; ; n++ {
		if err := f(); err != nil {
			return 0, err
		}
		if took := time.Since(start); took >= b.point() {
			return float64(n*replayEvents) / took.Seconds(), nil
		}
	}
}

func replayInProcess(log *embedded.Log, renderer *lao.Renderer, r *kitRun) error {
	ctx := context.Background()
	shown := lao.Run{ID: r.id, FlowName: kitFlow, RunName: r.id}
	n := 0
	for {
		page, err := log.ReadStream(ctx, r.stream, domain.Revision(n), replayPage)
		if err != nil {
			return err
		}
		if len(page) == 0 {
			break
		}
		for i := range page {
			if f, err := renderer.Frame(ctx, shown, &page[i]); err != nil || f == nil {
				return fmt.Errorf("event %d has no frame: %v", n, err)
			}
			n++
		}
	}
	if n != replayEvents {
		return fmt.Errorf("%d events, want %d", n, replayEvents)
	}
	return nil
}

func replayOverSocket(addr string, r *kitRun) error {
	s, err := flows.DialSocket(addr, r.path("?from=0"), 64<<10)
	if err != nil {
		return err
	}
	defer s.Close()
	for range replayEvents {
		if _, err := s.NextEvent(); err != nil {
			return err
		}
	}
	return nil
}
