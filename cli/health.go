package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"

	"quipu/infra/config"
	"quipu/infra/telemetry"
)

// healthBytesMax bounds the answer that is read.
const healthBytesMax = 64 << 10

// health carries out quipu health: it asks a server how it is and prints a line for the whole and one for each part that is not
// well. Errors: the server does not answer, or says that it should get no requests.
func health(ctx context.Context, h config.Health, stdout io.Writer) error {
	ctx, cancel := context.WithTimeout(ctx, h.Timeout)
	defer cancel()
	path := "/health/ready"
	if h.Live {
		path = "/health/live"
	}
	url := "http://" + reachable(serverHost(h.Server)) + path
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return fmt.Errorf("ask %s (set --server to host:port): %w", h.Server, err)
	}
	request.Header = withKey(request.Header, h.APIKey)
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return fmt.Errorf("ask %s: %w", url, err)
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(response.Body, healthBytesMax))
	if err != nil {
		return fmt.Errorf("ask %s: %w", url, err)
	}
	var report telemetry.Report
	if err := json.Unmarshal(body, &report); err != nil || report.Status == "" {
		return fmt.Errorf("%s answered %d and no report of health: is it a Quipu?", url, response.StatusCode)
	}
	fmt.Fprintln(stdout, report.Status)
	for _, name := range slices.Sorted(maps.Keys(report.Checks)) {
		if c := report.Checks[name]; c.Status != telemetry.StatusOK {
			fmt.Fprintf(stdout, "%s: %s: %s\n", name, c.Status, c.Error)
		}
	}
	if !report.OK() {
		return fmt.Errorf("%s answered %d", url, response.StatusCode)
	}
	return nil
}
