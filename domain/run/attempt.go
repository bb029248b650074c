package run

import (
	"slices"
	"strconv"
	"strings"

	"quipu/domain"
	"quipu/domain/rawjson"
)

// current finds the running attempt a result belongs to; false for a late one.
func (d *decider) current(name string, attempt int) (int, *Task, bool) {
	i, ok := d.state.Graph.Index(name)
	if !ok {
		return 0, nil, false
	}
	t := d.state.Task(i)
	return i, t, t.Phase == TaskRunning && int(t.Attempt) == attempt
}

func (d *decider) complete(c CompleteTask) {
	i, t, ok := d.current(c.Task, c.Attempt)
	if !ok {
		return
	}
	node := &d.state.Graph.Nodes[i]
	output := d.inline(c.Output)
	fits := valueSize(output) <= valueBytesMax && secretsSize(c.Secrets) <= secretsBytesMax
	if node.Calls != "" {
		details := d.detail(c.Details)
		if !fits && len(details.Holes) > 0 {
			details = domain.Value{} // the secrets that its holes name are not stored
		}
		d.emit(Fact{Event: CallCompleted{
			Family: node.Calls, Task: c.Task, TaskID: TaskID(d.state.RunID, c.Task, 0), Attempt: c.Attempt,
			Function: node.Type, StartedAt: t.AttemptAt, Details: details,
		}})
	}
	if !fits {
		d.failForGood(i, tooLarge("output"), domain.Value{}, nil)
		return
	}
	if d.completed(i, tidy(c.Output), output, c.Secrets) && !c.Hold {
		d.advance()
	}
}

func tooLarge(what string) ErrorInfo {
	return ErrorInfo{
		Type: "TooLarge", Code: strings.ToUpper(what) + "_TOO_LARGE",
		Message: "the secrets and large values in the task's " + what + " are too many for one event; pass fewer on",
	}
}

func (d *decider) fail(c FailTask) {
	i, t, ok := d.current(c.Task, c.Attempt)
	if !ok {
		return
	}
	node := &d.state.Graph.Nodes[i]
	id := TaskID(d.state.RunID, c.Task, 0)
	if secretsSize(c.Secrets) > secretsBytesMax {
		// Holes without their ciphertext would be worse than no payload.
		c.Secrets, c.Partial, c.Details, c.Error.Details = nil, domain.Value{}, domain.Value{}, domain.Value{}
	}
	c.Error = d.small(c.Error)
	if node.Calls != "" {
		d.emit(Fact{Event: CallFailed{
			Family: node.Calls, Task: c.Task, TaskID: id, Attempt: c.Attempt, Function: node.Type,
			StartedAt: t.AttemptAt, Error: c.Error, Details: d.detail(c.Details),
		}})
	}
	failures := int(t.Failures) + 1
	if c.Retryable && failures < node.Retry.Attempts {
		d.emit(Fact{Event: TaskRetryScheduled{
			Task: c.Task, TaskID: id, Attempt: c.Attempt, Error: c.Error,
			RetryAt: d.at.Add(node.Retry.Delay(failures, c.Jitter, c.RetryAfter)), Secrets: c.Secrets,
		}})
		return
	}
	d.failForGood(i, c.Error, c.Partial, c.Secrets)
}

func (d *decider) failForGood(i int, e ErrorInfo, partial domain.Value, secrets []Secret) {
	node := &d.state.Graph.Nodes[i]
	t := d.state.Task(i)
	e = d.small(e)
	if partial = d.inline(partial); valueSize(partial) > valueBytesMax || rawjson.KindOf(partial.JSON) == rawjson.Null && len(partial.Holes) == 0 {
		partial = domain.Raw([]byte("{}"))
	}
	d.emit(Fact{Event: TaskFailed{
		Task: node.Name, TaskID: TaskID(d.state.RunID, node.Name, 0), Attempt: int(t.Attempt),
		StartedAt: t.StartedAt, Error: e, Partial: partial, Secrets: secrets,
	}})
	d.emit(Fact{Event: Failed{StartedAt: d.state.StartedAt, Task: node.Name, Error: e, Results: d.results()}})
}

func (d *decider) startAttempt(c StartAttempt) {
	i, ok := d.state.Graph.Index(c.Task)
	if !ok || d.state.Paused || d.state.Task(i).Phase != TaskBackoff || d.state.Task(i).DueAt.After(c.At) {
		return
	}
	d.attempt(i, ReasonRetry)
}

func (d *decider) attempt(i int, reason string) {
	node := &d.state.Graph.Nodes[i]
	attempt := int(d.state.Task(i).Attempt) + 1
	id := TaskID(d.state.RunID, node.Name, 0)
	d.emit(Fact{Event: TaskAttemptStarted{
		Task: node.Name, TaskID: id, Attempt: attempt, Node: d.node, Reason: reason, Deadline: d.deadline(node),
	}})
	if node.Calls != "" {
		d.emit(Fact{Event: CallStarted{Family: node.Calls, Task: node.Name, TaskID: id, Attempt: attempt, Function: node.Type}})
	}
}

func (d *decider) recover(alive []string) {
	for i := range d.state.Graph.Nodes {
		t := d.state.Task(i)
		if d.state.Phase != Running || d.state.Paused || t.Phase != TaskRunning || t.Node == d.node {
			continue
		}
		if _, lives := slices.BinarySearch(alive, t.Node); lives {
			continue
		}
		if !d.room(2 * (eventBytesFixed + textSize(d.state.Graph.Nodes[i].Name, d.state.Graph.Nodes[i].Type))) {
			d.more = true
			return
		}
		if int(t.Attempt-t.Failures) > RecoveriesMax {
			d.failForGood(i, ErrorInfo{
				Type: "CrashLoop", Code: "CRASH_LOOP",
				Message: "the process ended " + strconv.Itoa(int(t.Attempt-t.Failures)) + " times while this task ran",
			}, domain.Value{}, nil)
			return
		}
		d.attempt(i, ReasonRecovered)
	}
}
