package proctest

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// A full disk is refused in clear words, loses nothing that was acknowledged, and is forgotten once
// there is space again. Where the test may mount a small file system the disk is really full; a
// limit on file sizes, which needs no rights, stands in for it everywhere.
func TestDisk_FullThenFree(t *testing.T) {
	for name, disk := range map[string]func(*testing.T) *smallDisk{"file system": mounted, "file size limit": limited} {
		t.Run(name, func(t *testing.T) {
			d := disk(t)
			if d == nil {
				t.Log("no right to mount a file system here; the file size limit alone is tested")
				return
			}
			fillAndFree(t, d)
		})
	}
}

// smallDisk is a place that gets full.
type smallDisk struct {
	options Options
	full    func(s *Server) // makes it full, if load alone does not
	free    func(s *Server) // makes space again
	restart bool            // the process has to be started again to use it
}

func mounted(t *testing.T) *smallDisk {
	dir := filepath.Join(t.TempDir(), "disk")
	require.NoError(t, os.Mkdir(dir, 0o755))
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=24m"); err != nil {
		return nil
	}
	t.Cleanup(func() { _ = syscall.Unmount(dir, syscall.MNT_DETACH) })
	filler := filepath.Join(dir, "filler")
	return &smallDisk{
		options: Options{Data: filepath.Join(dir, "data"), Args: []string{"--segment-bytes", "2097152"}},
		full: func(*Server) {
			f, err := os.Create(filler)
			require.NoError(t, err)
			defer func() { _ = f.Close() }()
			for zeros := make([]byte, 64<<10); err == nil; {
				_, err = f.Write(zeros)
			}
			require.ErrorIs(t, err, syscall.ENOSPC)
		},
		free: func(*Server) { require.NoError(t, os.Remove(filler)) },
	}
}

func limited(*testing.T) *smallDisk {
	// In units of 512 or 1024 bytes: the first segment fits (4 MiB), the second does not (16 MiB).
	return &smallDisk{
		options: Options{Shell: "ulimit -f 10000", Args: []string{"--segment-bytes", "16777216"}},
		full:    func(*Server) {},
		free:    func(*Server) {},
		restart: true,
	}
}

func fillAndFree(t *testing.T, d *smallDisk) {
	s := Start(t, d.options)
	c := s.Client()
	acknowledged := map[string]string{}
	// Payloads just small enough to stand in the log itself.
	post := func(n int) Reply {
		ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
		defer cancel()
		r, err := c.Do(ctx, http.MethodPost, "/run-dag/", dag("f", fmt.Sprint(n), map[string]any{"x": strings.Repeat(fmt.Sprint(n%10), 50_000)},
			noop("a", map[string]any{"input": "x"}), noop("b", n, "a")))
		if err != nil {
			t.Fatalf("start %d: %v", n, err)
		}
		return r
	}
	start := func(n int) Reply {
		r := post(n)
		if r.Status == http.StatusOK {
			var a Started
			require.NoError(t, r.JSON(&a))
			acknowledged[a.TaskID] = fmt.Sprint(n)
		}
		return r
	}
	n := 0
	for ; n < 5; n++ {
		require.Equal(t, 200, start(n).Status)
	}
	d.full(s)
	var refused Reply
	for ; n < 2000 && refused.Status == 0; n++ {
		if r := start(n); r.Status != 200 {
			refused = r
		}
	}
	require.NotZero(t, refused.Status, "the disk never got full")
	checkProblem(t, "a start on the full disk", refused, http.StatusServiceUnavailable, "", "")
	t.Logf("after %d starts: %s", len(acknowledged), refused.Body)
	require.Equal(t, 200, c.Must(t, http.MethodGet, "/health/live", nil).Status)
	require.NotEmpty(t, c.Must(t, http.MethodGet, "/metrics", nil).Body)

	d.free(s)
	if d.restart {
		s.Kill()
		d.options.Data, d.options.Shell = s.Data, ""
		s = Start(t, d.options)
		c = s.Client()
	}
	Eventually(t, 60*time.Second, "starts are accepted again", func() bool { n++; return start(n).Status == 200 })
	for id, mark := range acknowledged {
		status, raw := c.End(t, id)
		require.Equal(t, "completed", status.Status, "%.300s", raw)
		require.Equal(t, mark, string(status.Results["b"]))
	}
	s.Stop()
	code, out := Run(t, "log", "verify", "--data", s.Data)
	require.Zero(t, code, out)
}
