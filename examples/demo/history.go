package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"strconv"
)

// execution is what the demo reads of a run.
type execution struct {
	ID              string
	WorkflowVersion int    `json:"workflow_version"`
	FlowName        string `json:"flow_name"`
	RunName         string `json:"run_name"`
	Source          string
	Status          string
	StartedAt       string                     `json:"started_at"`
	DurationMS      *int                       `json:"duration_ms"`
	LastOffset      int                        `json:"last_offset"`
	NodeOutputs     map[string]json.RawMessage `json:"node_outputs"`
	OutputData      json.RawMessage            `json:"output_data"`
	Nodes           []struct {
		Name     string
		Status   string
		Attempts int
	}
	Error *struct{ Code, Message string }
}

// list is a page of anything.
type list[T any] struct {
	Items []T
	Count int
	Fresh bool
	View  string `json:"view_position"`
}

// event is what the demo reads of an event of the history.
type event struct {
	Type     string `json:"event_type"`
	Offset   int
	Position string
	ID       string
	Data     struct {
		NodeID string `json:"node_id"`
		Error  json.RawMessage
	}
}

// showHistory lists what has happened so far, whatever door it came in by.
func (d *demo) showHistory(ctx context.Context) error {
	d.scene("The past: every run, every event")
	d.command(fmt.Sprintf("curl http://%s/api/executions", d.server.addr))
	runs, err := d.freshRuns(ctx)
	if err != nil {
		return err
	}
	d.line("   %s", d.paint(dim, fmt.Sprintf("%-11s %-14s %-17s %9s  %s", "status", "flow", "run", "took", "id")))
	statuses := map[string]string{}
	for _, e := range runs.Items {
		statuses[e.FlowName] = e.Status
		took := "-"
		if e.DurationMS != nil {
			took = strconv.Itoa(*e.DurationMS) + " ms"
		}
		d.line("   %s %-14s %-17s %9s  %s", d.paint(statusColours[e.Status], fmt.Sprintf("%-11s", e.Status)), e.FlowName, e.RunName, took, e.ID)
	}
	for _, err := range []error{
		expect(len(runs.Items) == 3, "the list has 3 runs, not %d", len(runs.Items)),
		expect(statuses["Support_Desk"] == "completed" && statuses["Sales_Batch"] == "failed" && statuses["Night_Round"] == "completed", "the statuses are those of the runs: %v", statuses),
	} {
		if err != nil {
			return err
		}
	}
	d.ok("read after write: the list knows every run that was answered, up to position %s", runs.View)
	id := d.quality.frames[0].ExecutionID
	path := "/api/events?execution_id=" + url.QueryEscape(id) + "&event_type=node.failed"
	d.command(fmt.Sprintf("curl 'http://%s%s'", d.server.addr, path))
	events, err := get[list[event]](ctx, d.api, path)
	if err != nil {
		return err
	}
	if err := expect(len(events.Items) == 1 && events.Items[0].Data.NodeID == "validate", "one node has failed, validate: %v", events.Items); err != nil {
		return err
	}
	e := events.Items[0]
	d.line("   %s of %s at offset %d, position %s, id %s", e.Type, e.Data.NodeID, e.Offset, e.Position, e.ID)
	d.line("   %s", d.paint(red, compact(e.Data.Error, 160)))
	return nil
}

// freshRuns lists the runs. A machine under load may take more than the 2 s that one list waits for its
// view; then it says so, and is asked again.
func (d *demo) freshRuns(ctx context.Context) (runs list[execution], err error) {
	ctx, cancel := context.WithTimeout(ctx, frameLimit)
	defer cancel()
	waited := until(ctx, func() bool {
		runs, err = get[list[execution]](ctx, d.api, "/api/executions")
		return err != nil || runs.Fresh
	})
	if err == nil && waited != nil {
		err = expect(false, "the list becomes fresh within %s", frameLimit)
	}
	return runs, err
}

var statusColours = map[string]string{"completed": green, "failed": red, "running": yellow, "skipped": dim}

// showPast compares a run as it was at an offset with how it ended.
func (d *demo) showPast(ctx context.Context) error {
	retry, _ := d.support.find("task_retry_scheduled", "open_ticket")
	d.scene(fmt.Sprintf("The support run as it was at offset %d, when the CRM had said 503", *retry.Offset))
	path := "/api/executions/" + d.support.frames[0].ExecutionID
	d.command(fmt.Sprintf("curl 'http://%s%s?at=%d'", d.server.addr, path, *retry.Offset))
	then, err := get[execution](ctx, d.api, fmt.Sprintf("%s?at=%d", path, *retry.Offset))
	if err != nil {
		return err
	}
	now, err := get[execution](ctx, d.api, path)
	if err != nil {
		return err
	}
	before := map[string]string{}
	for _, n := range then.Nodes {
		before[n.Name] = n.Status
	}
	d.line("   %s", d.paint(dim, fmt.Sprintf("%-15s %-14s %s", "node", fmt.Sprintf("at offset %d", then.LastOffset), "at the end")))
	d.line("   %-15s %-14s %s", "(the run)", then.Status, now.Status)
	for _, n := range now.Nodes {
		d.line("   %-15s %-14s %s", n.Name, before[n.Name], d.paint(statusColours[n.Status], n.Status))
	}
	var told map[string]json.RawMessage
	last := d.support.frames[d.support.head]
	if err := json.Unmarshal(last.Output, &told); err != nil {
		return err
	}
	for _, err := range []error{
		expect(then.Status == "running" && then.LastOffset == *retry.Offset, "at offset %d the run was running: %s, %d", *retry.Offset, then.Status, then.LastOffset),
		expect(then.NodeOutputs["open_ticket"] == nil && then.NodeOutputs["find_customer"] != nil, "at that offset find_customer had answered and open_ticket had not"),
		expect(now.Status == "completed" && now.LastOffset == *last.Offset, "in the end it was completed: %s, %d", now.Status, now.LastOffset),
		expect(equalJSON(now.NodeOutputs, told), "the end state has the outputs that flow_completed told"),
	} {
		if err != nil {
			return err
		}
	}
	d.ok("the state is folded from the events up to there; the end state equals what the socket said")
	return nil
}

// equalJSON compares outputs by their meaning.
func equalJSON(a, b any) bool {
	x, errA := canonical(a)
	y, errB := canonical(b)
	return errA == nil && errB == nil && x == y
}

func canonical(v any) (string, error) {
	raw, err := json.Marshal(v)
	if err != nil {
		return "", err
	}
	var any any
	if err := json.Unmarshal(raw, &any); err != nil {
		return "", err
	}
	raw, err = json.Marshal(any) // object keys are sorted
	return string(raw), err
}
