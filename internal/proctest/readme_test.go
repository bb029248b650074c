package proctest

import (
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// What the README tells people to type works, in the order it stands there, but for what starts servers
// and watchers in terminals of their own: those the test starts.
func TestREADME_CommandsWork(t *testing.T) {
	root := filepath.Join("..", "..")
	readme, err := os.ReadFile(filepath.Join(root, "README.md"))
	require.NoError(t, err)
	_, steps, found := strings.Cut(string(readme), "## Five minutes to a running pipeline")
	require.True(t, found)
	steps, _, _ = strings.Cut(steps, "\n## ")
	script, blocks := "set -eu\n", 0
	for _, block := range regexp.MustCompile("(?s)```sh\n(.*?)```").FindAllStringSubmatch(steps, -1) {
		if !regexp.MustCompile(`(?m)# \d: |quipu serve`).MatchString(block[1]) {
			script += block[1]
			blocks++
		}
	}
	require.GreaterOrEqual(t, blocks, 7)

	tools := t.TempDir()
	built, err := exec.Command("go", "build", "-o", tools, root+"/examples/stub", root+"/examples/agnt5").CombinedOutput()
	require.NoError(t, err, string(built))
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	outside := l.Addr().String()
	require.NoError(t, l.Close())
	stub := exec.Command(filepath.Join(tools, "stub"), "-addr", outside, "-pace", "10ms")
	require.NoError(t, stub.Start())
	t.Cleanup(func() { _ = stub.Process.Kill(); _ = stub.Wait() })
	Eventually(t, 60*time.Second, "the stub answers", func() bool {
		conn, err := net.Dial("tcp", outside)
		if err == nil {
			_ = conn.Close()
		}
		return err == nil
	})
	files, err := filepath.Glob(root + "/examples/*.json")
	require.NoError(t, err)
	for _, name := range files {
		b, err := os.ReadFile(name)
		require.NoError(t, err)
		text := strings.ReplaceAll(string(b), "127.0.0.1:9090", outside)
		require.NoError(t, os.WriteFile(filepath.Join(tools, filepath.Base(name)), []byte(text), 0o600))
	}

	s := Start(t, Options{})
	script = strings.NewReplacer("127.0.0.1:8080", s.Addr(), "@examples/", "@"+tools+"/", "go run ./examples/agnt5", filepath.Join(tools, "agnt5"),
		"./bin/quipu watch", Binary(t)+" watch --server "+s.Addr(), "./bin/quipu", Binary(t), "/tmp/quipu-backup", t.TempDir()+"/backup").Replace(script)
	bash := exec.CommandContext(t.Context(), "bash", "-c", script)
	bash.Env = append(environment(), "QUIPU_DATA="+s.Data)
	out, err := bash.CombinedOutput()
	require.NoError(t, err, "%s\n%s", script, tail(string(out), 5))
	for _, word := range []string{
		`"status":"processing"`, `"event_type":"flow_completed"`, `"event_type":"flow_error"`, `"type":"execution_completed"`,
		`"source":"agnt5"`, `"openapi":"3.0.3"`, ": 0 problems",
	} {
		require.Contains(t, string(out), word)
	}
	require.NotContains(t, string(out), `"status":"error"`)
}
