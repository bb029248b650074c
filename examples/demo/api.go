package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"time"
)

// api speaks to the server by HTTP, as curl would.
type api struct {
	base   string
	client http.Client
}

// answerBytesMax is the most that is read of an answer.
const answerBytesMax = 16 << 20

func newAPI(addr string) *api {
	return &api{base: "http://" + addr, client: http.Client{Timeout: 20 * time.Second}}
}

// call sends body (nil for none) and decodes the answer into into (nil for not). An answer other
// than want is an error that quotes it.
func (a *api) call(ctx context.Context, method, path string, body []byte, want int, into any) error {
	req, err := http.NewRequestWithContext(ctx, method, a.base+path, bytes.NewReader(body))
	if err != nil {
		return err
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := a.client.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	raw, err := io.ReadAll(io.LimitReader(resp.Body, answerBytesMax))
	if err != nil {
		return fmt.Errorf("%s %s: %w", method, path, err)
	}
	if resp.StatusCode != want {
		return fmt.Errorf("%s %s: answered %d instead of %d: %s", method, path, resp.StatusCode, want, clip(string(raw), 500))
	}
	if into == nil {
		return nil
	}
	if err := json.Unmarshal(raw, into); err != nil {
		return fmt.Errorf("%s %s: %w: %s", method, path, err, clip(string(raw), 500))
	}
	return nil
}

// get reads path; the answer is in the envelope of /api.
func get[T any](ctx context.Context, a *api, path string) (T, error) {
	var reply struct {
		Status string
		Data   T
	}
	err := a.call(ctx, http.MethodGet, path, nil, http.StatusOK, &reply)
	if err == nil && reply.Status != "success" {
		err = fmt.Errorf("GET %s: status is %q instead of success", path, reply.Status)
	}
	return reply.Data, err
}

// started is the answer of run-dag.
type started struct {
	Status string `json:"status"`
	TaskID string `json:"task_id"`
}

func (a *api) runDAG(ctx context.Context, body []byte) (started, error) {
	var s started
	err := a.call(ctx, http.MethodPost, "/run-dag", body, http.StatusOK, &s)
	return s, err
}
