package history_test

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// answer is what a client sees.
type answer struct {
	t      testing.TB
	path   string
	status int
	header http.Header
	raw    []byte
}

func (w *world) do(method, path, body string) answer {
	w.t.Helper()
	var reader io.Reader
	if body != "" {
		reader = strings.NewReader(body)
	}
	req, err := http.NewRequestWithContext(context.Background(), method, w.base+path, reader)
	require.NoError(w.t, err)
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	require.NoError(w.t, err)
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	require.NoError(w.t, err)
	return answer{w.t, path, resp.StatusCode, resp.Header, b}
}

func (w *world) get(path string) answer { w.t.Helper(); return w.do(http.MethodGet, path, "") }

// ok decodes the data of a 2xx envelope (contract D16).
func (a answer) ok() map[string]any {
	a.t.Helper()
	require.Equal(a.t, 200, a.status, "%s: %s", a.path, a.raw)
	require.Equal(a.t, "application/json", a.header.Get("Content-Type"))
	var body struct {
		Data   map[string]any `json:"data"`
		Status string         `json:"status"`
	}
	require.NoError(a.t, json.Unmarshal(lenient(a.raw), &body), string(a.raw))
	require.Equal(a.t, "success", body.Status)
	return body.Data
}

// page is a list's data.
type page struct {
	Items        []map[string]any `json:"items"`
	Count        int              `json:"count"`
	Total        *int             `json:"total"`
	TotalCapped  *bool            `json:"total_capped"`
	Limit        int              `json:"limit"`
	Offset       *int             `json:"offset"`
	NextCursor   *string          `json:"next_cursor"`
	ViewPosition string           `json:"view_position"`
	Fresh        bool             `json:"fresh"`
}

func (a answer) list() page {
	a.t.Helper()
	require.Equal(a.t, 200, a.status, "%s: %s", a.path, a.raw)
	var body struct {
		Data   page   `json:"data"`
		Status string `json:"status"`
	}
	require.NoError(a.t, json.Unmarshal(lenient(a.raw), &body), string(a.raw))
	require.Equal(a.t, "success", body.Status)
	require.Len(a.t, body.Data.Items, body.Data.Count)
	return body.Data
}

func (p page) ids() []string {
	out := make([]string, len(p.Items))
	for i, item := range p.Items {
		out[i], _ = item["id"].(string)
	}
	return out
}

// problem is the body of an error (contract D16).
type problem struct {
	Status string `json:"status"`
	Error  struct {
		Code    string         `json:"code"`
		Message string         `json:"message"`
		Details map[string]any `json:"details"`
	} `json:"error"`
	Message string `json:"message"`
	Detail  any    `json:"detail"`
}

func (a answer) refused(status int) problem {
	a.t.Helper()
	require.Equal(a.t, status, a.status, "%s: %s", a.path, a.raw)
	var p problem
	require.NoError(a.t, json.Unmarshal(a.raw, &p), string(a.raw))
	require.Equal(a.t, "error", p.Status)
	require.NotEmpty(a.t, p.Error.Code)
	require.NotEmpty(a.t, p.Message)
	require.NotNil(a.t, p.Error.Details)
	return p
}

// fields are the fields at fault.
func (p problem) fields() (out []string) {
	list, _ := p.Detail.([]any)
	for _, f := range list {
		out = append(out, f.(map[string]any)["field"].(string))
	}
	return out
}

// lenient makes users' JSON readable for encoding/json, which refuses numbers such as 1e400.
func lenient(b []byte) []byte {
	var out []byte
	for i := 0; i < len(b); i++ {
		if i+5 <= len(b) && string(b[i:i+5]) == "1e400" {
			out = append(out, '1')
			i += 4
			continue
		}
		out = append(out, b[i])
	}
	return out
}
