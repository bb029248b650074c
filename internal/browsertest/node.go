package browsertest

import (
	"bufio"
	"bytes"
	"encoding/json"
	"io"
	"os/exec"
	"path/filepath"
	"testing"
)

// Process is a process of Node.js that runs a client.
type Process struct {
	*Reports

	stdin io.WriteCloser
}

// Eval evaluates an expression in the process; its value is not looked at.
func (p *Process) Eval(t testing.TB, expression string) {
	t.Helper()
	if _, err := io.WriteString(p.stdin, expression+"\n"); err != nil {
		t.Fatalf("node: %v", err)
	}
}

// Node runs a client in a process of Node.js. The process ends with the test.
func Node(t testing.TB, params Params) *Process {
	t.Helper()
	path, err := nodePath()
	if err != nil {
		t.Fatal(err)
	}
	raw, err := json.Marshal(params)
	if err != nil {
		t.Fatal(err)
	}
	args := []string{"--no-warnings", filepath.Join("clients", "node.cjs"), string(raw)}
	if hidesWebSocket(path) {
		args = append([]string{"--experimental-websocket"}, args...)
	}
	cmd := exec.Command(path, args...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	stdin, err := cmd.StdinPipe() // its end is how the process learns of ours
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	p := &Process{Reports: &Reports{}, stdin: stdin}
	done := make(chan struct{})
	go func() {
		defer close(done)
		lines := bufio.NewScanner(stdout)
		lines.Buffer(nil, 8<<20)
		for lines.Scan() {
			p.add(bytes.Clone(lines.Bytes()))
		}
	}()
	t.Cleanup(func() {
		_ = stdin.Close()
		<-done
		err := cmd.Wait()
		if err != nil {
			t.Errorf("node: %v\n%s", err, &stderr)
		}
		if t.Failed() {
			t.Logf("reports of node with %s:\n%s", raw, p)
		}
	})
	return p
}

// hidesWebSocket reports whether Node.js has the WebSocket of browsers behind a flag, as 20 and 21 do. It
// refuses a flag that it does not know.
func hidesWebSocket(path string) bool {
	has := func(flags ...string) bool {
		return exec.Command(path, append(flags, "-e", "process.exit(globalThis.WebSocket ? 0 : 1)")...).Run() == nil
	}
	return !has() && has("--experimental-websocket")
}
