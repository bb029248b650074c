package main

import (
	"context"
	"fmt"

	"quipu/bench/flows"
	"quipu/bench/report"
	"quipu/domain"
	"quipu/infra/embedded"
)

const (
	manyFlows       = 20_000
	manyConcurrency = 64
)

// manyRuns measures what many runs leave behind: in memory and on the disk.
func manyRuns(b *bench) error {
	data, remove, err := b.temp()
	if err != nil {
		return err
	}
	defer remove()
	s, err := flows.Start(flows.Options{Bin: b.bin, Data: data})
	if err != nil {
		return err
	}
	written, err := b.manyRuns(s)
	if err != nil {
		_ = s.Kill() // err says why
		return err
	}
	if err := s.Stop(); err != nil {
		return err
	}
	events, bytes, err := sizeOf(data)
	if err != nil {
		return err
	}
	perFlow := float64(written) / manyFlows
	b.report.Add(report.Row{
		Section: "disk use", What: "written per flow at 64 at once", Figure: perFlow / 1024, Unit: "KiB",
		Raw: float64(bytes) / manyFlows / 1024, RawUnit: "KiB (its events)", Ratio: float64(written) / float64(bytes), Target: report.RatioAtMost(4),
		Note: fmt.Sprintf("%.1f events a flow; written is what the process caused to be written to the disk, prepared segments included", float64(events)/manyFlows),
	})
	return nil
}

func (b *bench) manyRuns(s *flows.Server) (written int64, err error) {
	idle, err := s.SettledRSS()
	if err != nil {
		return 0, err
	}
	b.report.Add(report.Row{Section: "memory", What: "resident when idle", Figure: float64(idle) / 1e6, Unit: "MB", Target: report.AtMost(60)})
	before, err := s.Usage()
	if err != nil {
		return 0, err
	}
	r, err := flows.Load{Addr: s.Addr, Flow: flows.Noop(), Concurrency: manyConcurrency, Flows: manyFlows}.Run()
	if err != nil {
		return 0, err
	}
	after, err := s.Usage()
	if err != nil {
		return 0, err
	}
	then, err := s.SettledRSS()
	if err != nil {
		return 0, err
	}
	b.report.Add(report.Row{
		Section: "memory", What: "resident after 20,000 runs", Figure: float64(then) / 1e6, Unit: "MB", Target: report.AtMost(200),
		Note: fmt.Sprintf("the runs took %.1f s, %.0f steps/s", r.Elapsed.Seconds(), r.StepsPerSecond()),
	})
	return after.WriteBytes - before.WriteBytes, nil
}

// sizeOf counts the events of a stopped server and their bytes: data, metadata, type and id.
func sizeOf(data string) (events int, bytes int64, err error) {
	log, err := embedded.Open(logDir(data), embedded.Options{})
	if err != nil {
		return 0, 0, err
	}
	defer func() {
		if closed := log.Close(); err == nil {
			err = closed
		}
	}()
	for after := domain.Position(0); ; {
		page, err := log.ReadAll(context.Background(), after, 1000)
		if err != nil || len(page) == 0 {
			return events, bytes, err
		}
		for i := range page {
			e := &page[i]
			after = e.Position
			events++
			bytes += int64(len(e.Data) + len(e.Metadata) + len(e.Type) + len(e.ID))
		}
	}
}
