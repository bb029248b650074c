package main

import (
	"context"
	"encoding/binary"
	"fmt"
	"time"

	"quipu/bench/raw"
	"quipu/bench/report"
	"quipu/domain"
	"quipu/infra/embedded"
)

// The record of the append benchmarks: what a step costs the log.
const (
	eventsPerAppend  = 2
	eventBytes       = 350
	appendsPerStream = 6 // then the appender begins another stream, as flows do
)

// appends compares the embedded log with the bare segment writer, point by point and in turns, so
// that both meet the disk in the same state.
func appends(b *bench) error {
	for _, n := range []int{1, 16, 64, 256} {
		bare := func(dir string) (raw.Result, error) {
			return raw.Segment(dir, n, b.point()/2, eventsPerAppend, eventBytes)
		}
		ours := func(dir string) (raw.Result, error) { return embeddedAppends(dir, n, b.point()/2) }
		var limit, r raw.Result
		for _, turn := range []struct {
			sum *raw.Result
			run func(string) (raw.Result, error)
		}{{&limit, bare}, {&r, ours}, {&r, ours}, {&limit, bare}} {
			half, err := b.onTemp(turn.run)
			if err != nil {
				return err
			}
			half.Appends, half.Elapsed = half.Appends+turn.sum.Appends, half.Elapsed+turn.sum.Elapsed
			*turn.sum = half // with the latency of the second half
		}
		rate, best := eventsPerAppend*r.AppendsPerSecond(), eventsPerAppend*limit.AppendsPerSecond()
		b.report.Add(report.Row{
			Section: "append, embedded log in process, two 350-byte events an append", What: fmt.Sprintf("%d appenders", n), Figure: rate, Unit: "events/s",
			Raw: best, RawUnit: "events/s (bare segment)", Ratio: rate / best, Target: report.RatioAtLeast(0.4),
			Note: fmt.Sprintf("append p50 %.2f / p99 %.2f ms, bare %.2f / %.2f ms", millis(r.Latency.P50), millis(r.Latency.P99), millis(limit.Latency.P50), millis(limit.Latency.P99)),
		})
	}
	return nil
}

func (b *bench) onTemp(f func(dir string) (raw.Result, error)) (raw.Result, error) {
	dir, remove, err := b.temp()
	if err != nil {
		return raw.Result{}, err
	}
	defer remove()
	return f(dir)
}

func embeddedAppends(dir string, appenders int, d time.Duration) (raw.Result, error) {
	log, err := embedded.Open(dir, embedded.Options{})
	if err != nil {
		return raw.Result{}, err
	}
	data := make([]byte, eventBytes)
	r, err := raw.Drive(appenders, d, eventsPerAppend, func(a, i int) error {
		var events [eventsPerAppend]domain.Pending
		for j := range events {
			events[j] = domain.Pending{ID: numbered(a, i*eventsPerAppend+j), Type: "run.task_started.v1", Data: data}
		}
		stream := domain.StreamID(fmt.Sprintf("run-%08d-%08d", a, i/appendsPerStream))
		_, err := log.Append(context.Background(), stream, domain.Revision(i%appendsPerStream*eventsPerAppend)-1, events[:])
		return err
	})
	if closed := log.Close(); err == nil {
		err = closed
	}
	return r, err
}

// numbered makes an id that no other event of the run has.
func numbered(a, i int) (id domain.EventID) {
	binary.BigEndian.PutUint64(id[:], uint64(a)+1)
	binary.BigEndian.PutUint64(id[8:], uint64(i))
	return id
}
