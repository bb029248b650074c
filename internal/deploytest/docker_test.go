package deploytest

import (
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// An image that is built from less than what the binary is made of fails far from here.
func TestDockerfile_CopiesWhatTheBinaryIsMadeOf(t *testing.T) {
	var kept []string
	for line := range strings.Lines(read(t, ".dockerignore")) {
		if path, ok := strings.CutPrefix(strings.TrimSpace(line), "!"); ok {
			kept = append(kept, path)
		}
	}
	list := exec.Command("go", "list", "-deps", "-json=Dir,Module,GoFiles,EmbedFiles,Standard", ".")
	list.Dir = filepath.Join("..", "..")
	out, err := list.Output()
	require.NoError(t, err)
	root := abs(t)
	files := 0
	for d := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p struct {
			Dir                 string
			Standard            bool
			Module              *struct{ Main bool }
			GoFiles, EmbedFiles []string
		}
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else {
			require.NoError(t, err)
		}
		if p.Standard || p.Module == nil || !p.Module.Main {
			continue
		}
		for _, f := range append(p.GoFiles, p.EmbedFiles...) {
			path, err := filepath.Rel(root, filepath.Join(p.Dir, f))
			require.NoError(t, err)
			top, _, _ := strings.Cut(path, "/")
			require.True(t, slices.Contains(kept, path) || top != path && slices.Contains(kept, top) || top == path && slices.Contains(kept, "*.go"), "%s is not copied", path)
			require.NotContains(t, path, "testdata")
			files++
		}
	}
	require.Greater(t, files, 100)
}

func TestDockerfile_RunsAsNobodyAndSaysHowItIs(t *testing.T) {
	file := read(t, "Dockerfile")
	for _, want := range []string{"CGO_ENABLED=0", "FROM scratch", "USER 65532:65532", "VOLUME /data", `CMD ["/quipu", "health"]`, "HEALTHCHECK", "ca-certificates.crt"} {
		require.Contains(t, file, want)
	}
	require.Contains(t, read(t, "go.mod"), "\ngo 1.26")
	require.Regexp(t, `FROM golang:1\.26\.\d+-\w+ AS build`, file)
}
