package main

import (
	"bytes"
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"quipu/bench/flows"
	"quipu/bench/report"
	"quipu/commands"
	"quipu/domain"
	"quipu/domain/name"
	"quipu/infra/embedded"
)

const (
	coldStarts = 5
	coldEvents = 1_000_000
)

// logDir is where the server keeps its log below the data folder.
func logDir(data string) string { return filepath.Join(data, "log") }

// starts measures from the start of the process until it takes requests.
func starts(b *bench) error {
	var empty []time.Duration
	for range coldStarts {
		if err := b.withServer(func(s *flows.Server) error {
			empty = append(empty, s.Ready)
			return nil
		}); err != nil {
			return err
		}
	}
	slices.Sort(empty)
	b.report.Add(report.Row{
		Section: "cold start until ready", What: "empty data", Figure: millis(empty[coldStarts/2]), Unit: "ms", Target: report.AtMost(200),
		Note: fmt.Sprintf("median of %d, slowest %.0f ms", coldStarts, millis(empty[coldStarts-1])),
	})
	return b.largeStart()
}

func (b *bench) largeStart() error {
	data, remove, err := b.temp()
	if err != nil {
		return err
	}
	defer remove()
	began := time.Now()
	if err := b.fill(data, coldEvents); err != nil {
		return fmt.Errorf("fill: %w", err)
	}
	filled := time.Since(began)
	s, err := flows.Start(flows.Options{Bin: b.bin, Data: data})
	if err != nil {
		return err
	}
	rss, err := s.RSS()
	if err != nil {
		_ = s.Kill() // err says why
		return err
	}
	b.report.Add(report.Row{
		Section: "cold start until ready", What: "1,000,000 events of finished runs", Figure: millis(s.Ready), Unit: "ms", Target: report.AtMost(3000),
		Note: fmt.Sprintf("%.0f MB resident then; the files are in the page cache; filling took %.1f s", float64(rss)/1e6, filled.Seconds()),
	})
	return s.Stop()
}

// fill makes data that holds so many events: a real flow's, again and again under other ids. The
// copies' hash chains do not hold, which only log verify would notice.
func (b *bench) fill(data string, events int) error {
	s, err := flows.Start(flows.Options{Bin: b.bin, Data: data})
	if err != nil {
		return err
	}
	load := flows.Load{Addr: s.Addr, Flow: flows.Noop(), Concurrency: 1, Flows: 1}
	if _, err = load.Run(); err != nil {
		_ = s.Kill() // err says why
		return err
	}
	if err := s.Stop(); err != nil {
		return err
	}
	log, err := embedded.Open(logDir(data), embedded.Options{})
	if err != nil {
		return err
	}
	err = multiply(log, events)
	if closed := log.Close(); err == nil {
		err = closed
	}
	return err
}

// fillAppenders are as many as make good use of group commits.
const fillAppenders = 256

func multiply(log *embedded.Log, events int) error {
	page, err := log.ReadAll(context.Background(), 0, 1000)
	if err != nil {
		return err
	}
	var bound, run []domain.Recorded
	for _, e := range page {
		switch {
		case strings.HasPrefix(string(e.Stream), commands.RunStreamPrefix):
			run = append(run, e)
		case strings.HasPrefix(string(e.Stream), name.StreamPrefix):
			bound = append(bound, e)
		}
	}
	if len(bound) != 1 || len(run) == 0 {
		return fmt.Errorf("the model run has %d names and %d events", len(bound), len(run))
	}
	var (
		next atomic.Int64
		wg   sync.WaitGroup
		errs = make([]error, fillAppenders)
		runs = int64(events / (len(run) + 1))
	)
	for a := range fillAppenders {
		wg.Go(func() {
			for i := next.Add(1); i <= runs && errs[a] == nil; i = next.Add(1) {
				errs[a] = copyRun(log, bound, run, int(i))
			}
		})
	}
	wg.Wait()
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// copyRun appends the model's events as the run i.
func copyRun(log *embedded.Log, bound, run []domain.Recorded, i int) error {
	from := []byte(strings.TrimPrefix(string(run[0].Stream), commands.RunStreamPrefix))
	to := fmt.Appendf(nil, "%0*d", len(from), i)
	for n, events := range [][]domain.Recorded{bound, run} {
		pending := make([]domain.Pending, len(events))
		for j, e := range events {
			pending[j] = domain.Pending{
				ID: numbered(1+n, i*1000+j), Type: e.Type,
				Data: bytes.ReplaceAll(e.Data, from, to), Metadata: bytes.ReplaceAll(e.Metadata, from, to),
			}
		}
		stream := name.Stream(flows.FlowName, string(to))
		if n == 1 {
			stream = commands.RunStream(string(to))
		}
		if _, err := log.Append(context.Background(), stream, domain.NoStream, pending); err != nil {
			return err
		}
	}
	return nil
}
