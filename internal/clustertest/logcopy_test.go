package clustertest

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"quipu/commands"
	"quipu/commands/logtest"
	"quipu/domain"
	"quipu/domain/wire"
	"quipu/infra/embedded"
	"quipu/internal/proctest"
)

// fillLog writes n events as runs under way at once leave them, and some of other clients.
func fillLog(t *testing.T, data string, n int, r *rand.Rand) {
	t.Helper()
	log, err := embedded.Open(filepath.Join(data, "log"), embedded.Options{})
	require.NoError(t, err)
	type run struct {
		stream domain.StreamID
		head   wire.Head
	}
	var runs [40]run
	cause := wire.Cause{Actor: wire.Actor{Kind: wire.ActorSystem, ID: "executor", Via: "executor"}, CommandID: "c", CorrelationID: "r"}
	for made, begun := 0, 0; made < n; {
		var writes []commands.Write
		for range 400 {
			if r.IntN(200) == 0 {
				begun++
				writes = append(writes, commands.Write{Stream: domain.StreamID(fmt.Sprintf("ext-orders/%d", begun)), Expected: domain.NoStream, Events: logtest.Events(1)})
				made++
				continue
			}
			x := &runs[r.IntN(len(runs))]
			if x.stream == "" || x.head.Revision > 12 {
				begun++
				*x = run{domain.StreamID(fmt.Sprintf("run-%016d", begun)), wire.NewHead()}
			}
			w := commands.Write{Stream: x.stream, Expected: x.head.Revision}
			for range 1 + r.IntN(3) {
				var e domain.Pending
				e, x.head = wire.Seal(x.stream, x.head, time.UnixMilli(1e12), cause, "run.tested.v1", fmt.Appendf(nil, `{"n":%d,"pad":%q}`, made, strings.Repeat("x", r.IntN(200))))
				w.Events = append(w.Events, e)
				made++
			}
			writes = append(writes, w)
		}
		_, err := log.AppendBatch(t.Context(), writes)
		require.NoError(t, err)
	}
	require.NoError(t, log.Close())
}

// killedCopies runs the copy and kills it, `kills` times, then lets it end.
func killedCopies(t *testing.T, r *rand.Rand, kills int, from, to string) string {
	t.Helper()
	args := []string{"log", "copy", "--from", from, "--to", to}
	for range kills {
		cmd := exec.Command(proctest.Binary(t), args...)
		require.NoError(t, cmd.Start())
		proctest.Pause(t.Context(), time.Duration(50+r.IntN(800))*time.Millisecond)
		_ = cmd.Process.Kill()
		_ = cmd.Wait() // it was killed, or had ended before
	}
	began := time.Now()
	code, out := proctest.Run(t, args...)
	require.Zero(t, code, out)
	t.Logf("%s -> %s in %s: %s", from, to, time.Since(began).Round(time.Millisecond), out)
	return out
}

// sameEvents compares two logs event by event, leaving out the streams of others at the first.
func sameEvents(t *testing.T, a, b string, leaveOut func(domain.StreamID) bool) (events int) {
	t.Helper()
	open := func(data string) *embedded.Reader {
		r, err := embedded.OpenReadOnly(filepath.Join(data, "log"), embedded.Options{})
		require.NoError(t, err)
		t.Cleanup(func() { _ = r.Close() })
		return r
	}
	left, right := open(a), open(b)
	require.NotEqual(t, left.ID(), right.ID(), "a copy has an id of its own")
	var afterA, afterB domain.Position
	var restA, restB []domain.Recorded
	next := func(from *embedded.Reader, after *domain.Position, rest *[]domain.Recorded) *domain.Recorded {
		for {
			for len(*rest) > 0 {
				e := &(*rest)[0]
				*rest = (*rest)[1:]
				if *after = e.Position; !leaveOut(e.Stream) {
					return e
				}
			}
			page, err := from.ReadAll(t.Context(), *after, 4096)
			require.NoError(t, err)
			if len(page) == 0 {
				return nil
			}
			*rest = page
		}
	}
	for {
		x, y := next(left, &afterA, &restA), next(right, &afterB, &restB)
		if x == nil || y == nil {
			require.Nil(t, x, "the copy lacks events")
			require.Nil(t, y, "the copy has more events")
			return events
		}
		if x.Stream != y.Stream || x.Revision != y.Revision || x.ID != y.ID || x.Type != y.Type || !bytes.Equal(x.Metadata, y.Metadata) || !bytes.Equal(x.Data, y.Data) {
			t.Fatalf("event %d: %s/%d %s and %s/%d %s", events, x.Stream, x.Revision, x.ID, y.Stream, y.Revision, y.ID)
		}
		events++
	}
}

// The copy of a log, through a server that speaks KurrentDB's protocol and back, is the log: same streams,
// same hashes, same order, however often it is killed.
func TestLogCopy_ThroughAServerAndBack(t *testing.T) {
	seed := proctest.Seed(t)
	r := rand.New(rand.NewPCG(uint64(seed), 3))
	source, served, back, beside := proctest.DataFolder(t), proctest.DataFolder(t), proctest.DataFolder(t), proctest.DataFolder(t)
	fillLog(t, source, *copyFlag, r)
	addr := freeAddr(t)
	server := proctest.Start(t, proctest.Options{Command: []string{"log", "serve"}, Data: served, Args: []string{"--kurrentdb-addr", addr}})
	server.Ready()
	url := "esdb://" + addr + "?tls=false"
	out := killedCopies(t, r, 2, source, url)
	require.Contains(t, out, "all compared with the source")
	require.Contains(t, out, "not in a log: 0 blobs")
	out = killedCopies(t, r, 2, url, back)
	require.Contains(t, out, "blobs and data keys")
	server.Stop()
	external := func(s domain.StreamID) bool { return strings.HasPrefix(string(s), "ext-") || s == "quipu-log" }
	n := sameEvents(t, source, back, external)
	require.Greater(t, n, *copyFlag*9/10)

	killedCopies(t, r, 2, source, beside)
	all := sameEvents(t, source, beside, func(domain.StreamID) bool { return false })
	require.Greater(t, all, n, "between folders those of other clients come along")
	for _, data := range []string{served, back, beside} {
		code, out := proctest.Run(t, "log", "verify", "--data", data)
		require.Zero(t, code, out)
	}
	code, out := proctest.Run(t, "log", "copy", "--from", back, "--to", beside)
	require.Equal(t, 1, code)
	require.Contains(t, out, "is no copy of it")
}
