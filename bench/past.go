package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"time"

	"quipu/bench/flows"
	"quipu/bench/history"
	"quipu/bench/report"
	"quipu/domain"
	"quipu/infra/embedded"
)

// The past of `make bench`: targets.md's 20,000 runs, of the length that flows have.
const (
	pastRuns   = 20_000
	pastEvents = 260_000
)

// past measures the history routes of the real binary on the embedded profile.
func past(b *bench) error {
	return b.pastOn("embedded", history.Of(pastRuns, pastEvents), nil, func() error { return nil })
}

// pastOn fills a log with a past, starts the server on it, waits for the views, lets them settle and
// asks.
func (b *bench) pastOn(profile string, shape history.Shape, args []string, settle func() error) error {
	data, remove, err := b.temp()
	if err != nil {
		return err
	}
	defer remove()
	head, took, err := fillPast(data, shape)
	if err != nil {
		return fmt.Errorf("fill: %w", err)
	}
	s, err := flows.Start(flows.Options{Bin: b.bin, Data: data, Args: args})
	if err != nil {
		return err
	}
	if err := b.askPast(s, profile, shape, head, took, settle); err != nil {
		_ = s.Kill() // err says why
		return fmt.Errorf("%w; the server's last warnings: %q", err, s.Warnings())
	}
	return s.Stop()
}

func fillPast(data string, shape history.Shape) (head string, took time.Duration, err error) {
	log, err := embedded.Open(logDir(data), embedded.Options{})
	if err != nil {
		return "", 0, err
	}
	began := time.Now()
	err = shape.Fill(context.Background(), log, nil)
	took = time.Since(began)
	var position domain.Position
	if err == nil {
		position, err = log.Head(context.Background())
	}
	head = position.Cursor(log.ID())
	if closed := log.Close(); err == nil {
		err = closed
	}
	return head, took, err
}

func (b *bench) askPast(s *flows.Server, profile string, shape history.Shape, head string, filled time.Duration, settle func() error) error {
	c, err := flows.Dial(s.Addr)
	if err != nil {
		return err
	}
	defer c.Close()
	section := fmt.Sprintf("history over HTTP, %s views, %s runs, %s events", profile, thousands(shape.Runs), thousands(shape.Events()))
	caughtUp, err := awaitViews(c, head)
	if err != nil {
		return err
	}
	b.report.Add(report.Row{
		Section: section, What: "views built from the log by the server", Figure: float64(shape.Events()) / caughtUp.Seconds(), Unit: "events/s",
		Note: fmt.Sprintf("%.1f s from ready until the views were at the head; filling the log took %.1f s", caughtUp.Seconds(), filled.Seconds()),
	})
	if err := settle(); err != nil {
		return fmt.Errorf("settle: %w", err)
	}
	for _, q := range questions(shape) {
		row, err := q.measure(c, b.point())
		if err != nil {
			return fmt.Errorf("%s: %w", q.what, err)
		}
		row.Section = section
		b.report.Add(row)
	}
	return nil
}

// viewsTimeout bounds the wait for views to be built.
const viewsTimeout = 30 * time.Minute

// awaitViews waits until the views have reached the head.
func awaitViews(c *flows.Client, head string) (time.Duration, error) {
	began := time.Now()
	for time.Since(began) < viewsTimeout {
		answer, err := c.Get("/api/executions?limit=1")
		var list struct {
			Data struct {
				At string `json:"view_position"`
			} `json:"data"`
		}
		if err == nil {
			err = json.Unmarshal(answer, &list)
		}
		if err == nil && list.Data.At >= head {
			return time.Since(began), nil
		}
		time.Sleep(20 * time.Millisecond)
	}
	return 0, fmt.Errorf("the views are not at %s after %s", head, viewsTimeout)
}

// question is one request, asked again and again with other values.
type question struct {
	what   string
	path   func(i int) string
	target *report.Target // of the figure that counts
	p99    bool           // the figure is the p99, else the p50
	rows   int            // what each answer must hold at least
}

// questions are targets.md's and each documented filter alone.
func questions(s history.Shape) []question {
	list := func(what, route string, query func(i int) url.Values) question {
		return question{what: what, p99: true, target: report.AtMost(50), rows: 1, path: func(i int) string {
			q := query(i)
			q.Set("limit", "100")
			return route + "?" + q.Encode()
		}}
	}
	one := func(k string, v func(i int) string) func(i int) url.Values {
		return func(i int) url.Values { return url.Values{k: {v(i)}} }
	}
	fixed := func(v string) func(int) string { return func(int) string { return v } }
	span := func(from, to string) func(i int) url.Values {
		return func(i int) url.Values {
			at := s.Start(i % s.Runs)
			return url.Values{from: {at.Format(time.RFC3339)}, to: {at.Add(time.Hour).Format(time.RFC3339)}}
		}
	}
	const executions, events = "/api/executions", "/api/events"
	qs := []question{
		{what: "one run by id, p50", path: func(i int) string { return executions + "/" + s.RunID(i%s.Runs) }, target: byIDTarget(s), rows: -1},
		{what: "newest 100 runs, p50", path: fixed(executions + "?limit=100"), target: report.AtMost(5), rows: 100},
		list("newest 100 runs with their total, p99", executions, one("total", fixed("true"))),
		list("runs of a workflow, p99", executions, one("workflow_id", s.WorkflowID)),
		list("runs of a status, p99", executions, one("status", func(i int) string { return []string{"completed", "failed", "cancelled"}[i%3] })),
		list("runs still running (none), p99", executions, one("status", fixed("running"))),
		list("runs of a source, p99", executions, one("source", fixed("lao"))),
		list("runs of a flow, p99", executions, one("flow_name", s.Flow)),
		list("runs of a name, p99", executions, one("run_name", func(i int) string { return s.RunName(i % s.Runs) })),
		list("runs started within an hour, p99", executions, span("started_after", "started_before")),
		list("newest 100 events, p99", events, one("order", fixed("desc"))),
		list("newest 100 events with their total, p99", events, one("total", fixed("true"))),
		list("events of a workflow, p99", events, one("workflow_id", s.WorkflowID)),
		list("events of a run, p99", events, one("execution_id", func(i int) string { return s.RunID(i % s.Runs) })),
		list("events of a common type, p99", events, one("event_type", fixed("node.completed"))),
		list("events of a rare type, p99", events, one("event_type", fixed("workflow.failed"))),
		list("events of a node, p99", events, one("node_id", s.Node)),
		list("events within an hour, p99", events, span("from", "to")),
	}
	for i := range qs {
		if qs[i].what == "runs still running (none), p99" {
			qs[i].rows = 0
		}
	}
	return qs
}

// byIDTarget is that of one finished flow; a run of hundreds of events has none.
func byIDTarget(s history.Shape) *report.Target {
	if s.Tasks <= 2*flows.StepsPerFlow {
		return report.AtMost(1)
	}
	return nil
}

// asksMin and asksMax bound how often a question is asked.
const (
	asksMin = 300
	asksMax = 2000
)

func (q question) measure(c *flows.Client, d time.Duration) (report.Row, error) {
	var took []time.Duration
	bytesRead := 0
	began := time.Now()
	for i := 0; i < asksMax && (i < asksMin || time.Since(began) < d/4); i++ {
		asked := time.Now()
		answer, err := c.Get(q.path(i * 7919))
		if err != nil {
			return report.Row{}, err
		}
		took = append(took, time.Since(asked))
		bytesRead += len(answer)
		if n := bytes.Count(answer, []byte(`"execution_id":`)) + bytes.Count(answer, []byte(`"started_at":`)); q.rows >= 0 && n < q.rows {
			return report.Row{}, fmt.Errorf("%s holds %d rows, want %d: %.300s", q.path(i*7919), n, q.rows, answer)
		}
	}
	slices.Sort(took)
	at := func(percent int) float64 { return millis(took[len(took)*percent/100]) }
	figure := at(50)
	if q.p99 {
		figure = at(99)
	}
	return report.Row{
		What: q.what, Figure: figure, Unit: "ms", Target: q.target,
		Note: fmt.Sprintf("p50 %.2f / p99 %.2f ms of %d; %.1f KiB an answer", at(50), at(99), len(took), float64(bytesRead)/float64(len(took))/1024),
	}, nil
}

// thousands writes 20000 as 20,000.
func thousands(n int) string {
	text := fmt.Sprint(n)
	for i := len(text) - 3; i > 0; i -= 3 {
		text = text[:i] + "," + text[i:]
	}
	return text
}
