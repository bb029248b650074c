package proctest

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"io/fs"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"quipu/domain"
	"quipu/infra/embedded"
)

// A backup of a server at work holds every run acknowledged before it, finished or not, opens with the
// master key alone, and is another log.
func TestBackup_OfARunningServer(t *testing.T) {
	const secret = "sk-backup-/+0123456789"
	stub := NewStub(t)
	g := stub.gate("/gate")
	s := Start(t, Options{Args: []string{"--segment-bytes", "2097152"}})
	c := s.Client()
	held := call("work", stub.URL+"/gate", nil)
	held.Params["config"].(map[string]any)["headers"] = map[string]any{"X-Api-Key": secret}
	unfinished := c.Run(t, dag("held", "r", nil, held, noop("after", depends("work"))))
	g.await(t)
	socket := s.Open(t, "held", "r", "")
	last := socket.Next(t)

	// Runs with payloads in the log and beside it, without a pause.
	var mu sync.Mutex
	acked := map[string]bool{unfinished.TaskID: true}
	stop := make(chan struct{})
	var posters sync.WaitGroup
	for p := range 3 {
		posters.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-stop:
					return
				default:
				}
				inputs := map[string]any{"n": i, "text": strings.Repeat(fmt.Sprint(p, i, " "), 500*(i%40))}
				reply, err := c.Do(t.Context(), http.MethodPost, "/run-dag/", dag("load", fmt.Sprint(p, "-", i), inputs,
					noop("a", map[string]any{"input": "text"}), noop("b", depends("a"))))
				var started Started
				if err != nil || reply.Status != 200 || reply.JSON(&started) != nil {
					t.Errorf("run-dag: %v %d %s", err, reply.Status, reply.Body)
					return
				}
				mu.Lock()
				acked[started.TaskID] = true
				mu.Unlock()
			}
		})
	}
	root := DataFolder(t)
	before := map[string]map[string]bool{}
	for n := 1; n <= 3; n++ {
		Eventually(t, time.Minute, "there are more runs", func() bool {
			mu.Lock()
			defer mu.Unlock()
			return len(acked) > 60*n
		})
		to := filepath.Join(root, fmt.Sprint("backups/", n))
		mu.Lock()
		before[to] = maps.Clone(acked)
		mu.Unlock()
		code, out := Run(t, "log", "backup", "--data", s.Data, "--to", to)
		require.Zero(t, code, out)
		require.Equal(t, 1, strings.Count(out, "\n"), out)
		require.Regexp(t, `^backed up log [0-9a-f-]{36} up to position \d+, \d+ blobs, \d+ bytes in all`, out)
	}
	close(stop)
	posters.Wait()
	ends := map[string]string{}
	for id := range before[slices.Max(slices.Collect(maps.Keys(before)))] {
		if id != unfinished.TaskID {
			_, raw := c.End(t, id)
			ends[id] = string(raw)
		}
	}
	s.Kill()
	master, err := os.ReadFile(filepath.Join(s.Data, "keys", "master.key"))
	require.NoError(t, err)
	ids := map[domain.LogID]bool{logID(t, s.Data): true}
	for to, runs := range before {
		checkBackupHolds(t, to, runs, ends, master, logID(t, s.Data))
		ids[logID(t, to)] = true
	}
	require.Len(t, ids, 4, "every restored copy has an id of its own")

	// The unfinished run was carried on by each, with the secret opened again, under the same key.
	data := slices.Max(slices.Collect(maps.Keys(before)))
	restored := Start(t, Options{Data: data})
	g.await(t)
	close(g.open)
	status, raw := restored.Client().End(t, unfinished.TaskID)
	require.Equal(t, "completed", status.Status, string(raw))
	keys := map[string]bool{}
	for _, call := range stub.Calls() {
		require.Equal(t, secret, call.Header.Get("X-Api-Key"))
		keys[call.Key] = true
	}
	require.Equal(t, map[string]bool{unfinished.TaskID + "/work/0": true}, keys)

	// A cursor of the old log is refused, one without the log's id is not.
	_, err = Dial(t.Context(), restored.Addr(), "held", "r", fmt.Sprintf("after=%d&log=%s", *last.Offset, logID(t, s.Data)))
	var refused *Refused
	require.ErrorAs(t, err, &refused)
	require.Equal(t, 409, refused.Status)
	require.Contains(t, string(refused.Body), "LOG_CHANGED")
	all := restored.Open(t, "held", "r", fmt.Sprintf("from=0&log=%s", logID(t, data))).ToEnd(t)
	require.Equal(t, last.EventID, all[0].EventID)
	require.Contains(t, string(all[0].Raw), string(logID(t, data)), "frames carry the new log's id")
	restored.Stop()
	require.FileExists(t, filepath.Join(data, "restored.json"))
	require.NoFileExists(t, filepath.Join(data, "backup.json"))
}

// checkBackupHolds restores a backup and compares what it shows.
func checkBackupHolds(t *testing.T, dir string, runs map[string]bool, ends map[string]string, master []byte, source domain.LogID) {
	t.Helper()
	for _, text := range [][]byte{bytes.TrimSpace(master), unhex(t, bytes.TrimSpace(master))} {
		require.NoError(t, filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
			if err == nil && !d.IsDir() {
				var b []byte
				b, err = os.ReadFile(path)
				require.False(t, bytes.Contains(b, text), "the master key stands in %s", path)
			}
			return err
		}))
	}
	code, out := Run(t, "log", "verify", "--data", dir)
	require.Zero(t, code, out)
	require.Equal(t, 2, strings.Count(out, " 0 problems\n"), out)
	require.Equal(t, source, logID(t, dir), "looking changes nothing")

	code, out = Run(t, "serve", "--addr", "127.0.0.1:0", "--data", dir)
	require.Equal(t, 1, code, out)
	require.Contains(t, out, "the master key is missing")
	require.Contains(t, out, filepath.Join(dir, "keys", "master.key"))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "keys", "master.key"), master, 0o600))
	s := Start(t, Options{Data: dir})
	c := s.Client()
	id := logID(t, dir)
	require.NotEqual(t, source, id)
	for run := range runs {
		if want, ended := ends[run]; ended {
			_, raw := c.End(t, run) // those the backup caught in the middle are carried on
			require.JSONEq(t, want, string(raw), run)
		}
	}
	s.Kill()
	s = Start(t, Options{Data: dir, Args: []string{"--drain-timeout", "0s"}}) // the held run waits
	s.Ready()
	require.Equal(t, id, logID(t, dir), "once and for all")
	s.Stop()
	code, out = Run(t, "log", "verify", "--data", dir)
	require.Zero(t, code, out)
}

func unhex(t *testing.T, text []byte) []byte {
	t.Helper()
	b, err := hex.DecodeString(string(text))
	require.NoError(t, err)
	return b
}

// logID looks at a log, whoever has it open.
func logID(t *testing.T, data string) domain.LogID {
	t.Helper()
	r, err := embedded.OpenReadOnly(filepath.Join(data, "log"), embedded.Options{})
	require.NoError(t, err)
	require.NoError(t, r.Close())
	return r.ID()
}

// What must not become or pass for a backup is refused with a word on what to do.
func TestBackup_Refusals(t *testing.T) {
	s := Start(t, Options{})
	c := s.Client()
	big := strings.Repeat("blob ", 40_000)
	for i := range 5 {
		c.End(t, c.Run(t, dag("f", fmt.Sprint(i), map[string]any{"text": fmt.Sprint(i, big)}, noop("a", map[string]any{"input": "text"}))).TaskID)
	}
	root := DataFolder(t)
	backup := func(to string) (int, string) { return Run(t, "log", "backup", "--data", s.Data, "--to", to) }
	code, out := backup(filepath.Join(s.Data, "backup"))
	require.Equal(t, 1, code, out)
	require.Contains(t, out, "lies within")
	code, out = Run(t, "log", "backup", "--data", s.Data)
	require.Equal(t, 2, code, out)
	require.Contains(t, out, "--to")
	code, out = Run(t, "log", "backup", "--data", filepath.Join(root, "none"), "--to", filepath.Join(root, "x"))
	require.Equal(t, 1, code, out)
	require.Contains(t, out, "set --data")

	// No room: told, and what is there is never taken for a backup.
	broken := filepath.Join(root, "broken")
	limited := exec.CommandContext(t.Context(), "/bin/sh", "-c", `ulimit -f 64; exec "$0" "$@"`, Binary(t), "log", "backup", "--data", s.Data, "--to", broken)
	limited.Env = environment()
	b, err := limited.CombinedOutput()
	require.Error(t, err)
	require.Contains(t, string(b), "the disk is full")
	require.Contains(t, string(b), "is not complete")
	for _, args := range [][]string{
		{"serve", "--addr", "127.0.0.1:0", "--data", broken},
		{"log", "verify", "--data", broken},
		{"log", "backup", "--data", broken, "--to", filepath.Join(root, "y")},
	} {
		code, out = Run(t, args...)
		require.Equal(t, 1, code, out)
		require.Contains(t, out, "was broken off")
	}
	code, out = backup(broken)
	require.Equal(t, 1, code, out)
	require.Contains(t, out, "broken off; remove it")

	// A copy of a backup that lacks something.
	whole := filepath.Join(root, "whole")
	code, out = backup(whole)
	require.Zero(t, code, out)
	code, out = backup(whole)
	require.Equal(t, 1, code, out)
	require.Contains(t, out, "is not empty")
	require.NoError(t, filepath.WalkDir(whole, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || d.Name() == "backup.json" {
			return err
		}
		content, err := os.ReadFile(path)
		require.NoError(t, err)
		require.NoError(t, os.Remove(path))
		code, out := Run(t, "serve", "--addr", "127.0.0.1:0", "--data", whole)
		require.Equal(t, 1, code, "%s: %s", path, out)
		require.Contains(t, out, "copy", path)
		require.NoError(t, os.WriteFile(path, content, 0o600))
		return nil
	}))
	damaged := filepath.Join(whole, "keys", "keys.table")
	content, err := os.ReadFile(damaged)
	require.NoError(t, err)
	content[3] ^= 1
	require.NoError(t, os.WriteFile(damaged, content, 0o600))
	code, out = Run(t, "log", "verify", "--data", whole)
	require.Equal(t, 1, code, out)
	require.Contains(t, out, "keys/keys.table is not what was backed up")

	// Damage in the source: that of a blob is told and all else saved; that of the log ends it.
	s.Stop()
	blobs, err := filepath.Glob(filepath.Join(s.Data, "blobs", "??", "*"))
	require.NoError(t, err)
	require.NotEmpty(t, blobs)
	require.NoError(t, os.WriteFile(blobs[0], []byte("rot"), 0o600))
	code, out = backup(filepath.Join(root, "without one"))
	require.Equal(t, 1, code, out)
	require.Contains(t, out, "1 blobs are damaged")
	require.Contains(t, out, filepath.Join("blobs", filepath.Base(filepath.Dir(blobs[0])), filepath.Base(blobs[0])))
	restored := Start(t, Options{Data: filepath.Join(root, "without one")})
	restored.Ready()
	restored.Stop()
	segment := filepath.Join(s.Data, "log", "00000001.seg")
	content, err = os.ReadFile(segment)
	require.NoError(t, err)
	content[200] ^= 1
	require.NoError(t, os.WriteFile(segment, content, 0o600))
	code, out = backup(filepath.Join(root, "z"))
	require.Equal(t, 1, code, out)
	require.Contains(t, out, "00000001.seg: offset 64:")
	code, out = Run(t, "serve", "--addr", "127.0.0.1:0", "--data", filepath.Join(root, "z"))
	require.Equal(t, 1, code, out)
	require.Contains(t, out, "was broken off")
}
