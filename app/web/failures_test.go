package web

import (
	"bytes"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"quipu/app/process"
)

// While a part is away lines come once a second and route, and say how many were left out; faults of ours are
// all told.
func TestTellFailed_OncePerSecondAndRoute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		s := &Server{Process: process.Process{Logger: slog.New(slog.NewTextHandler(&out, nil))}}
		away := errors.New("away")
		lines := func() int { n := strings.Count(out.String(), "request failed"); return n }
		for range 1000 {
			s.tellFailed("/run-dag", 503, away)
		}
		require.Equal(t, 1, lines())
		s.tellFailed("/api/executions", 503, away)
		s.tellFailed("/run-dag", 504, away)
		require.Equal(t, 3, lines(), "another route, another status")
		for range 3 {
			s.tellFailed("/run-dag", 500, away)
		}
		require.Equal(t, 6, lines())
		time.Sleep(tellFailedEvery)
		s.tellFailed("/run-dag", 503, away)
		require.Equal(t, 7, lines())
		require.Contains(t, out.String(), "more_since_last_line=999")
	})
}
