package proctest

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// asCurl makes this test binary stand in for curl: machines that run tests need not have it.
const asCurl = "PROCTEST_AS_CURL"

// curl understands what the pages use: -fsS, -X, -H, -d and one address.
func curl(args []string) int {
	method, body, address := "", "", ""
	header := http.Header{}
	for i := 0; i < len(args); i++ {
		switch args[i] {
		case "-fsS":
		case "-X":
			i++
			method = args[i]
		case "-H":
			i++
			name, value, _ := strings.Cut(args[i], ":")
			header.Add(name, strings.TrimSpace(value))
		case "-d":
			i++
			body = args[i]
			header.Set("Content-Type", "application/x-www-form-urlencoded") // as curl does
		default:
			address = args[i]
		}
	}
	switch {
	case method == "" && body != "":
		method = http.MethodPost
	case method == "":
		method = http.MethodGet
	}
	request, err := http.NewRequest(method, address, strings.NewReader(body))
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 3
	}
	request.Header = header
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 7
	}
	defer func() { _ = response.Body.Close() }()
	if response.StatusCode >= http.StatusBadRequest {
		said, _ := io.ReadAll(response.Body)
		fmt.Fprintf(os.Stderr, "curl: %s %s: %s %s\n", method, address, response.Status, said)
		return 22
	}
	if _, err := io.Copy(os.Stdout, response.Body); err != nil {
		return 23
	}
	return 0
}

var shellBlock = regexp.MustCompile("(?ms)^```sh\n(.*?)^```$")

// The lines of docs/control.md do what the page says.
func TestDocs_ControlLinesRun(t *testing.T) {
	page, err := os.ReadFile(filepath.Join("..", "..", "docs", "control.md"))
	require.NoError(t, err)
	script := "set -eu\n"
	for _, block := range shellBlock.FindAllStringSubmatch(string(page), -1) {
		script += block[1]
	}
	require.Greater(t, strings.Count(script, "curl "), 15)
	s := Start(t, Options{})
	bin := t.TempDir()
	self, err := os.Executable()
	require.NoError(t, err)
	require.NoError(t, os.Symlink(self, filepath.Join(bin, "curl")))
	cmd := exec.CommandContext(t.Context(), "/bin/sh", "-c", script+`echo; echo "refund $run shipping $order night $long again $again once $once"`)
	cmd.Env = append(environment(), asCurl+"=1", "PATH="+bin+":"+os.Getenv("PATH"), "QUIPU=http://"+s.Addr())
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s", out)
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	words := strings.Fields(lines[len(lines)-1])
	want := map[string]string{"refund": "completed", "shipping": "completed", "night": "failed", "again": "failed"}
	for i := 0; i+1 < len(words); i += 2 {
		if want[words[i]] != "" {
			status, said := s.Client().End(t, words[i+1])
			require.Equal(t, want[words[i]], status.Status, "%s: %s", words[i], said)
			delete(want, words[i])
		}
	}
	require.Empty(t, want)
}
