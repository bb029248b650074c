package embedded

import (
	"bytes"
	"log/slog"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// A full disk is told once a second, however many appends it refuses; what may have been written is told at once.
func TestTeller_OncePerSecond(t *testing.T) {
	var out bytes.Buffer
	now := time.Unix(1000, 0)
	l := &Log{logger: slog.New(slog.NewTextHandler(&out, nil)), opts: Options{Clock: func() time.Time { return now }}}
	var told teller
	lines := func() int { return strings.Count(out.String(), "could not be written") }
	for range 500 {
		told.failed(l, syscall.ENOSPC, true)
	}
	require.Equal(t, 1, lines())
	now = now.Add(tellFailedEvery)
	told.failed(l, syscall.ENOSPC, true)
	require.Equal(t, 2, lines())
	require.Contains(t, out.String(), "more_since_last_line=499")
	told.failed(l, syscall.EIO, false)
	require.Equal(t, 3, lines())
}
