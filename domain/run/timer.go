package run

import (
	"bytes"
	"strconv"
	"time"

	"quipu/domain"
)

// setTimer lets task i, which has just started, wait until its instant.
func (d *decider) setTimer(i int, input domain.Value) {
	node := &d.state.Graph.Nodes[i]
	due, err := d.compute.Due(node.Type, input, d.at)
	if err == nil && due.After(d.at.Add(domain.TimerWaitMax)) {
		err = domain.E(domain.KindUnprocessable, "", "", "the wait is longer than 10 years of 365 days; choose a shorter one")
	}
	if err != nil {
		d.failForGood(i, faultOf(err, "TimerError", "TIMER_FAILED"), domain.Value{}, nil)
		return
	}
	d.emit(Fact{Event: TimerSet{
		Task: node.Name, TaskID: TaskID(d.state.RunID, node.Name, 0), DueAt: dueInstant(due, d.at),
	}})
}

// dueInstant is due in stored precision: never before it was asked for, never before at.
func dueInstant(due, at time.Time) time.Time {
	if !due.After(at) {
		return at
	}
	return domain.Instant(due.Add(time.Millisecond - 1))
}

// fireTimer completes a task whose timer is due; an early or late one is dropped.
func (d *decider) fireTimer(c FireTimer) {
	i, ok := d.state.Graph.Index(c.Task)
	if !ok || d.state.Paused || !d.state.Task(i).Waits() || d.state.Task(i).DueAt.After(c.At) {
		return
	}
	switch d.state.Task(i).Phase {
	case TaskAwaiting:
		d.waitedTooLong(i)
		return
	case TaskBackoff:
		return
	}
	output := timerOutput(d.state.Task(i).StartedAt, d.at)
	if d.completed(i, output, output, nil) {
		d.advance()
	}
}

// timerOutput is {"waited_seconds": 1.5, "completed_at": "…"} (contract C.3).
func timerOutput(from, to time.Time) domain.Value {
	waited := max(to.Sub(from), 0).Round(time.Millisecond)
	b := append(make([]byte, 0, 80), `{"waited_seconds":`...)
	b = strconv.AppendInt(b, int64(waited/time.Second), 10)
	if ms := waited % time.Second / time.Millisecond; ms > 0 {
		digits := strconv.AppendInt(nil, 1000+int64(ms), 10)[1:]
		b = append(append(b, '.'), bytes.TrimRight(digits, "0")...)
	}
	b = append(b, `,"completed_at":"`...)
	b = to.UTC().AppendFormat(b, domain.TimeLayout)
	return domain.Raw(append(b, `"}`...))
}
