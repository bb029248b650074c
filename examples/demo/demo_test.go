package main

import (
	"bytes"
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// demoLimit is what the whole showing may take, the build of the server included.
const demoLimit = 2 * time.Minute

// The demo is what a new user sees first: it must run to its end and show what it promises. It
// checks the answers by itself; here only the landmarks are looked for.
func TestDemo_ShowsEverything(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), demoLimit)
	defer cancel()
	var out bytes.Buffer
	err := run(ctx, options{addr: "127.0.0.1:0", pace: 20 * time.Millisecond}, newScreen(&out, false))
	require.NoError(t, err, "%s", &out)
	shown := out.String()
	for _, landmark := range []string{
		"flow_started", "task_retry_scheduled", "HTTP_503", "Authorization ***", "task_skipped", "flow_completed",
		"task_failed", "HTTP_422", "7 of 40 records are bad", "flow_error",
		"killed with signal 9", "attempt 2 (recovered)", "no gap and no duplicate", "delivered once",
		"read after write", "node.failed of validate", "retrying       completed", "the end state equals what the socket said",
		"version 2, while a run of version 1 waits", "Report of 2026-11-21, Sales of 2026-11-21", "***",
		"0 differences", "backed up log", "0 problems",
	} {
		require.Contains(t, shown, landmark)
	}
	for _, secret := range demoSecrets {
		require.NotContains(t, shown, secret)
	}
	require.NotContains(t, shown, "\x1b[", "colours are for terminals")
}

func TestClip_KeepsWholeCharacters(t *testing.T) {
	require.Equal(t, "äöü", clip("äöü", 3))
	require.Equal(t, "ä…", clip("äöü", 2))
	require.Equal(t, "a b", clip(" a\n\tb ", 3))
}

func TestTrace_FindsGapsAndDuplicates(t *testing.T) {
	at := func(offset, prev int) frame { return frame{Offset: &offset, Prev: prev} }
	trace := newTrace()
	require.NoError(t, trace.add(at(0, -1)))
	require.Error(t, trace.add(at(0, -1)), "twice")
	require.Error(t, trace.add(at(2, 1)), "a gap")
	require.Error(t, trace.add(at(1, -1)), "another prev")
	require.NoError(t, trace.add(at(1, 0)))
}
