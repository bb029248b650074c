package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
)

// workflow is what the demo reads of a stored workflow.
type workflow struct {
	ID         string
	Name       string
	Version    int
	Definition json.RawMessage
}

const reportSecret = "report-demo-key-7"

// showStored stores a workflow, changes it while a run of it waits, and runs both versions.
func (d *demo) showStored(ctx context.Context) error {
	d.scene("A stored workflow: versions, a timer, templates")
	body, err := d.example("report-workflow.json")
	if err != nil {
		return err
	}
	d.command(fmt.Sprintf("curl http://%s/api/workflows -d @examples/report-workflow.json", d.server.addr))
	var created struct{ Data workflow }
	if err := d.api.call(ctx, http.MethodPost, "/api/workflows", body, http.StatusCreated, &created); err != nil {
		return err
	}
	path := "/api/workflows/" + created.Data.ID
	d.line("   stored as version %d: %s", created.Data.Version, created.Data.ID)
	const day = `{"input_data": {"day": "2026-11-21", "sales": [{"region": "north", "amount": 700}, {"region": "south", "amount": 480}]}}`
	const quiet = `{"input_data": {"day": "2026-11-22", "sales": [{"region": "north", "amount": 300}]}}`
	d.command(fmt.Sprintf("curl http://%s%s/execute -d '{\"input_data\": {…}}'", d.server.addr, path))
	first, err := d.execute(ctx, path, day)
	if err != nil {
		return err
	}
	if err := d.changeTitle(ctx, path); err != nil {
		return err
	}
	second, err := d.execute(ctx, path, day)
	if err != nil {
		return err
	}
	third, err := d.execute(ctx, path, quiet)
	if err != nil {
		return err
	}
	d.line("   %s", d.paint(dim, fmt.Sprintf("%-8s %-10s %-10s %-10s %s", "version", "status", "publish", "ask", "took")))
	for _, want := range []struct {
		id             string
		version        int
		publishes, ask string
	}{{first, 1, "completed", "skipped"}, {second, 2, "completed", "skipped"}, {third, 2, "skipped", "completed"}} {
		if err := d.showExecution(ctx, want.id, want.version, want.publishes, want.ask); err != nil {
			return err
		}
	}
	d.ok("each run kept the version it began with, and waited two seconds in a durable timer")
	return d.checkReports(ctx)
}

// changeTitle writes the workflow back as it was read, with another title and the key still masked.
func (d *demo) changeTitle(ctx context.Context, path string) error {
	read, err := get[workflow](ctx, d.api, path)
	if err != nil {
		return err
	}
	if err := expect(!bytes.Contains(read.Definition, []byte(reportSecret)) && bytes.Contains(read.Definition, []byte(`"***`)), "reading a workflow shows its key as a mask"); err != nil {
		return err
	}
	const before, after = `"Sales of {{ input.day }}"`, `"Report of {{ input.day }}"`
	changed := bytes.Replace(read.Definition, []byte(before), []byte(after), 1)
	d.command(fmt.Sprintf("curl -X PUT http://%s%s -d '{\"definition\": …}'", d.server.addr, path))
	var updated struct{ Data workflow }
	body := slices.Concat([]byte(`{"definition":`), changed, []byte(`}`))
	if err := d.api.call(ctx, http.MethodPut, path, body, http.StatusOK, &updated); err != nil {
		return err
	}
	if err := expect(updated.Data.Version == 2, "a change makes version 2, not %d", updated.Data.Version); err != nil {
		return err
	}
	d.line("   title changed, the key's mask sent back: version %d, while a run of version 1 waits", updated.Data.Version)
	return nil
}

func (d *demo) execute(ctx context.Context, path, body string) (string, error) {
	var reply struct {
		Data struct {
			ExecutionID string `json:"execution_id"`
		}
	}
	err := d.api.call(ctx, http.MethodPost, path+"/execute", []byte(body), http.StatusAccepted, &reply)
	return reply.Data.ExecutionID, err
}

// showExecution waits for a run's end, prints it and checks which way it took.
func (d *demo) showExecution(ctx context.Context, id string, version int, publish, ask string) error {
	if err := d.api.call(ctx, http.MethodGet, "/task-status/"+id+"?wait=15s", nil, http.StatusOK, nil); err != nil {
		return err
	}
	e, err := get[execution](ctx, d.api, "/api/executions/"+id)
	if err != nil {
		return err
	}
	nodes := map[string]string{}
	for _, n := range e.Nodes {
		nodes[n.Name] = n.Status
	}
	took := 0
	if e.DurationMS != nil {
		took = *e.DurationMS
	}
	d.line("   %-8d %-10s %-10s %-10s %d ms", e.WorkflowVersion, e.Status, nodes["publish"], nodes["ask"], took)
	return expect(e.Status == "completed" && e.WorkflowVersion == version && nodes["publish"] == publish && nodes["ask"] == ask && took >= 2000,
		"execution %s: version %d completed, publish %s, ask %s, after 2 s or more; it is %s", id, version, publish, ask, compact(mustJSON(e), 600))
}

func mustJSON(v any) json.RawMessage {
	b, err := json.Marshal(v)
	if err != nil {
		return json.RawMessage(err.Error())
	}
	return b
}

// checkReports asks the stub what was published.
func (d *demo) checkReports(ctx context.Context) error {
	var got struct {
		Reports []struct {
			Title   string
			Total   float64
			Regions []string
		}
	}
	if err := newAPI(d.stub).call(ctx, http.MethodGet, "/reports", nil, http.StatusOK, &got); err != nil {
		return err
	}
	var titles []string
	for _, r := range got.Reports {
		if err := expect(r.Total == 1180 && slices.Equal(r.Regions, []string{"north", "south"}), "templates give numbers and lists: %v", r); err != nil {
			return err
		}
		titles = append(titles, r.Title)
	}
	slices.Sort(titles)
	if err := expect(slices.Equal(titles, []string{"Report of 2026-11-21", "Sales of 2026-11-21"}), "one report by each version: %v", titles); err != nil {
		return err
	}
	d.ok("published: %s; the kept key was accepted", strings.Join(titles, ", "))
	return nil
}
