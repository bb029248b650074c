package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/fasthttp/websocket"

	"quipu/bench/flows"
	"quipu/bench/report"
)

const (
	agentSockets  = 50 // the most one endpoint may have
	agentInFlight = 4  // executions that each socket keeps under way
)

// agents measures the AGNT5 socket: 50 connections on one endpoint, each starting the next execution of
// a workflow of a trigger and an end when one has ended. An execution is 8 frames of 6 events.
func agents(b *bench) error {
	data, remove, err := b.temp()
	if err != nil {
		return err
	}
	defer remove()
	s, err := flows.Start(flows.Options{Bin: b.bin, Data: data})
	if err != nil {
		return err
	}
	if err := b.agents(s); err != nil {
		_ = s.Kill() // err says why
		return err
	}
	return s.Stop()
}

func (b *bench) agents(s *flows.Server) error {
	url, key, err := agentEndpoint(s.Addr)
	if err != nil {
		return err
	}
	var rss [2]int64
	var all agentLoad
	for point := range 2 { // the second begins where the first has ended: is memory flat?
		load, err := runAgents(url, key, b.point())
		if err != nil {
			return err
		}
		if rss[point], err = s.SettledRSS(); err != nil {
			return err
		}
		all.merge(load)
	}
	slices.Sort(all.took)
	b.report.Add(report.Row{
		Section: "AGNT5 sockets", What: "executions/s answered in sum, 50 sockets on one endpoint", Figure: float64(len(all.took)) / all.elapsed.Seconds(), Unit: "1/s",
		Target: report.AtLeast(1000),
		Note:   fmt.Sprintf("%d under way on each; refused %v; p50 %.1f ms, p99 %.1f ms from message to execution_completed", agentInFlight, all.refused, millis(all.took[len(all.took)/2]), millis(all.took[len(all.took)*99/100])),
	})
	b.report.Add(report.Row{
		Section: "AGNT5 sockets", What: "resident after the first and the second half", Figure: float64(rss[1]) / 1e6, Unit: "MB",
		Raw: float64(rss[0]) / 1e6, RawUnit: "MB (first half)", Ratio: float64(rss[1]) / float64(rss[0]), Target: report.RatioAtMost(1.2),
	})
	return nil
}

// agentEndpoint makes an endpoint with one workflow.
func agentEndpoint(addr string) (url, key string, err error) {
	var made struct {
		Data struct {
			Endpoint string `json:"endpoint"`
			APIKey   string `json:"api_key"`
		}
	}
	if err := post(addr, "/api/endpoints", `{"slug":"bench"}`, &made); err != nil {
		return "", "", err
	}
	workflow := `{"name":"noop","endpoint":"` + made.Data.Endpoint + `","nodes":[{"id":"in","type":"trigger"},{"id":"out","type":"end"}],"edges":[{"source":"in","target":"out"}]}`
	if err := post(addr, "/api/workflows", workflow, nil); err != nil {
		return "", "", err
	}
	return "ws://" + addr + "/ws?x-wf-endpoint=" + made.Data.Endpoint, made.Data.APIKey, nil
}

func post(addr, path, body string, into any) error {
	resp, err := http.Post("http://"+addr+path, "application/json", bytes.NewReader([]byte(body)))
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusCreated {
		return fmt.Errorf("POST %s: %s", path, resp.Status)
	}
	if into == nil {
		return nil
	}
	return json.NewDecoder(resp.Body).Decode(into)
}

// agentLoad is what clients have seen.
type agentLoad struct {
	took    []time.Duration // of each execution, from the message to its end
	refused map[string]int  // by code
	elapsed time.Duration
}

func (l *agentLoad) merge(other agentLoad) {
	l.took = append(l.took, other.took...)
	l.elapsed += other.elapsed
	if l.refused == nil {
		l.refused = map[string]int{}
	}
	for code, n := range other.refused {
		l.refused[code] += n
	}
}

// runAgents keeps the sockets busy for d.
func runAgents(url, key string, d time.Duration) (agentLoad, error) {
	var sum agentLoad
	var errs []error
	var mu sync.Mutex
	var wg sync.WaitGroup
	began := time.Now()
	for range agentSockets {
		wg.Go(func() {
			one, err := runAgent(url, key, began.Add(d))
			mu.Lock()
			defer mu.Unlock()
			errs = append(errs, err)
			sum.merge(one)
		})
	}
	wg.Wait()
	sum.elapsed = time.Since(began)
	return sum, errors.Join(errs...)
}

var (
	agentCompleted = []byte(`{"type":"execution_completed"`)
	agentRefused   = []byte(`{"type":"error"`)
)

// runAgent is one socket: executions answer in the order they were asked for, near enough for a median.
func runAgent(url, key string, until time.Time) (agentLoad, error) {
	load := agentLoad{refused: map[string]int{}}
	dialer := websocket.Dialer{Subprotocols: []string{"x-api-key." + key}}
	conn, _, err := dialer.Dial(url, nil)
	if err != nil {
		return load, err
	}
	defer func() { _ = conn.Close() }()
	var asked []time.Time
	ask := func() error {
		asked = append(asked, time.Now())
		return conn.WriteMessage(websocket.TextMessage, []byte(`{"name":"noop","parameters":{"user_query":"a flat white"},"metadata":{},"connection_id":"ws_c2GDFfT7bywQZW4He6CNFw"}`))
	}
	for range agentInFlight {
		if err := ask(); err != nil {
			return load, err
		}
	}
	for len(asked) > 0 {
		answered := 1
		_, frame, err := conn.ReadMessage()
		if err != nil {
			return load, err
		}
		switch {
		case bytes.HasPrefix(frame, agentCompleted):
			load.took = append(load.took, time.Since(asked[0]))
		case bytes.HasPrefix(frame, agentRefused):
			var f struct {
				Data struct {
					Details struct {
						Code    string
						Dropped int
					}
				}
			}
			if err := json.Unmarshal(frame, &f); err != nil {
				return load, err
			}
			answered = max(f.Data.Details.Dropped, 1)
			load.refused[f.Data.Details.Code] += answered
		default:
			continue
		}
		asked = asked[answered:]
		for range answered {
			if !time.Now().Before(until) {
				break
			}
			if err := ask(); err != nil {
				return load, err
			}
		}
	}
	return load, nil
}
