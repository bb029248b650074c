package admin

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/gofiber/fiber/v2"
	"github.com/stretchr/testify/require"

	"quipu/app/progress"
	"quipu/domain"
	"quipu/infra/clock"
	"quipu/projections"
	"quipu/readapi"
)

// adminServer serves one piece of work on a real listener.
func adminServer(t *testing.T, work progress.Work) (url string) {
	t.Helper()
	r := &routes{Deps{Stop: t.Context(), Log: "644bdb7e-a5f6-4f73-9fd3-067000e8c6c3", AfterFunc: clock.System{}.AfterFunc}}
	app := fiber.New(fiber.Config{ErrorHandler: readapi.ErrorHandler, DisableStartupMessage: true})
	app.Post("/work", r.streamViews(work))
	listener := httptest.NewUnstartedServer(nil).Listener
	served := make(chan error, 1)
	go func() { served <- app.Listener(listener) }()
	t.Cleanup(func() {
		require.NoError(t, app.ShutdownWithTimeout(60*time.Second))
		require.NoError(t, <-served)
	})
	return "http://" + listener.Addr().String() + "/work"
}

func post(ctx context.Context, t *testing.T, url string) *http.Response {
	t.Helper()
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, url, nil)
	require.NoError(t, err)
	request.Close = true
	response, err := http.DefaultClient.Do(request)
	require.NoError(t, err)
	t.Cleanup(func() { _ = response.Body.Close() })
	return response
}

func TestViewsAdmin_StreamsLines(t *testing.T) {
	url := adminServer(t, func(_ context.Context, tell func(projections.Progress)) (projections.Result, error) {
		for i := range 3 * viewsLinesMax {
			tell(projections.Progress{Step: projections.StepBuild, Position: domain.Position(i), Target: 500})
		}
		tell(projections.Progress{Step: projections.StepCompare, Difference: &projections.Difference{Table: "tasks", Key: "1", View: "absent", Log: "present"}})
		return projections.Result{Position: 500, Compared: true, ComparedAt: 400, Rows: 7, Differences: 1, Took: time.Second}, nil
	})
	response := post(t.Context(), t, url)
	require.Equal(t, "application/x-ndjson", response.Header.Get("Content-Type"))
	var lines []progress.Line
	for scan := bufio.NewScanner(response.Body); scan.Scan(); {
		var l progress.Line
		require.NoError(t, json.Unmarshal(scan.Bytes(), &l))
		lines = append(lines, l)
	}
	require.Len(t, lines, 3*viewsLinesMax+2)
	require.Equal(t, "difference: tasks 1: the views say absent, the log says present", lines[len(lines)-2].Text())
	last := lines[len(lines)-1].Result
	require.NotNil(t, last)
	require.Equal(t, progress.Result{Position: last.Position, Compared: true, ComparedAt: last.ComparedAt, Rows: 7, Differences: 1, TookSeconds: 1}, *last)
}

// A second rebuild is answered 409; work that fails later says so in its last line.
func TestViewsAdmin_Refusals(t *testing.T) {
	busy := domain.E(domain.KindConflict, "rebuild", "views", "they are being rebuilt already").WithCode(projections.CodeViewsBusy)
	response := post(t.Context(), t, adminServer(t, func(context.Context, func(projections.Progress)) (projections.Result, error) {
		return projections.Result{}, busy
	}))
	require.Equal(t, http.StatusConflict, response.StatusCode)
	body, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	require.Contains(t, string(body), projections.CodeViewsBusy)

	response = post(t.Context(), t, adminServer(t, func(_ context.Context, tell func(projections.Progress)) (projections.Result, error) {
		tell(projections.Progress{Note: "begun"})
		return projections.Result{}, busy
	}))
	require.Equal(t, http.StatusOK, response.StatusCode)
	body, err = io.ReadAll(response.Body)
	require.NoError(t, err)
	require.Equal(t, "{\"note\":\"begun\"}\n{\"error\":\"rebuild views: they are being rebuilt already\",\"code\":\"VIEWS_BUSY\"}\n", string(body))
}

// Whoever hangs up ends the work: nobody would read what it found.
func TestViewsAdmin_HangingUpEndsTheWork(t *testing.T) {
	ended := make(chan struct{})
	url := adminServer(t, func(ctx context.Context, tell func(projections.Progress)) (projections.Result, error) {
		defer close(ended)
		for ctx.Err() == nil {
			tell(projections.Progress{Note: "still at it"})
		}
		return projections.Result{}, ctx.Err()
	})
	ctx, cancel := context.WithCancel(t.Context())
	response := post(ctx, t, url)
	require.Equal(t, http.StatusOK, response.StatusCode)
	cancel()
	select {
	case <-ended:
	case <-time.After(60 * time.Second):
		t.Fatal("the work goes on")
	}
}
