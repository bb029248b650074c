package main

import (
	"fmt"
	"slices"
	"sync"
	"time"

	"quipu/bench/flows"
	"quipu/bench/report"
	"quipu/infra/embedded"
)

const (
	frameRuns  = 16    // each with an appender and a socket
	frameRate  = 5_000 // events per second of all runs together
	frameEvery = time.Second * frameRuns * eventsPerAppend / frameRate
)

// frames measures how long an event that is on disk takes to a socket's client.
func frames(b *bench) error {
	dir, remove, err := b.temp()
	if err != nil {
		return err
	}
	defer remove()
	k, err := newKit(dir, embedded.Options{})
	if err != nil {
		return err
	}
	followed, rate, err := b.followed(k)
	if closed := k.close(); err == nil {
		err = closed
	}
	if err != nil {
		return err
	}
	var fromAck, fromCall []time.Duration
	for _, f := range followed {
		for i, received := range f.received {
			fromAck = append(fromAck, max(0, received.Sub(f.acked[i])))
			fromCall = append(fromCall, received.Sub(f.called[i]))
		}
	}
	slices.Sort(fromAck)
	slices.Sort(fromCall)
	at := func(all []time.Duration, percent int) float64 { return millis(all[len(all)*percent/100]) }
	section := fmt.Sprintf("append → frame at a subscriber, %d runs with a socket each", frameRuns)
	note := fmt.Sprintf("%.0f events/s; from the append's call p50 %.2f / p99 %.2f ms", rate, at(fromCall, 50), at(fromCall, 99))
	b.report.Add(report.Row{Section: section, What: "from acknowledgement, p50", Figure: at(fromAck, 50), Unit: "ms", Target: report.AtMost(2), Note: note})
	b.report.Add(report.Row{Section: section, What: "from acknowledgement, p99", Figure: at(fromAck, 99), Unit: "ms", Target: report.AtMost(20)})
	return nil
}

// follow is one run: when its events were given to the log, acknowledged and received.
type follow struct {
	run                     *kitRun
	socket                  *flows.Socket
	called, acked, received []time.Time
}

func (b *bench) followed(k *kit) (all []*follow, rate float64, err error) {
	for i := range frameRuns {
		f := &follow{}
		if f.run, err = k.newRun(fmt.Sprintf("frames%d", i)); err != nil {
			return nil, 0, err
		}
		if f.socket, err = flows.DialSocket(k.addr, f.run.path("?from=1"), 16<<10); err != nil {
			return nil, 0, err
		}
		defer f.socket.Close()
		all = append(all, f)
	}
	var wg sync.WaitGroup
	errs := make([]error, 2*frameRuns)
	start := time.Now()
	appends := int(b.point() / frameEvery)
	for i, f := range all {
		wg.Go(func() { errs[2*i] = f.append(start.Add(frameEvery*time.Duration(i)/frameRuns), appends) })
		wg.Go(func() { errs[2*i+1] = f.receive(appends * eventsPerAppend) })
	}
	wg.Wait()
	for _, err := range errs {
		if err != nil {
			return nil, 0, err
		}
	}
	return all, float64(frameRuns*appends*eventsPerAppend) / time.Since(start).Seconds(), nil
}

func (f *follow) append(start time.Time, appends int) error {
	for i := range appends {
		time.Sleep(time.Until(start.Add(time.Duration(i) * frameEvery)))
		called := time.Now()
		if err := f.run.step(); err != nil {
			f.socket.Close() // else receive would wait for ever
			return err
		}
		acked := time.Now()
		for range eventsPerAppend {
			f.called, f.acked = append(f.called, called), append(f.acked, acked)
		}
	}
	return nil
}

// receive relies on frames coming in order, one for each event.
func (f *follow) receive(events int) error {
	for range events {
		if _, err := f.socket.NextEvent(); err != nil {
			return err
		}
		f.received = append(f.received, time.Now())
	}
	return nil
}
