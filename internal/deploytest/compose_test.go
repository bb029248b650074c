package deploytest

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"

	"quipu/infra/config"
)

type compose struct {
	Services map[string]struct {
		Image       string
		User        string
		ReadOnly    bool `yaml:"read_only"`
		Environment map[string]string
		Volumes     []string
		Tmpfs       []string
		Ports       []string
		DependsOn   any `yaml:"depends_on"`
		Networks    []string
		Secrets     []string
	}
	Volumes map[string]any
	Secrets map[string]struct{ File string }
}

// values are what deploy/secrets.sh writes, of the same form.
var values = map[string]string{
	"QUIPU_UID": "1000", "QUIPU_GID": "1000", "POSTGRES_PASSWORD": "0123456789abcdef", "GRAFANA_PASSWORD": "0123456789ab",
	"QUIPU_API_KEYS": "admin:0123456789abcdef0123456789abcdef,metrics:fedcba9876543210fedcba9876543210",
}

var variable = regexp.MustCompile(`\$\{([A-Z_]+)(:[-?]([^}]*))?\}`)

// expand replaces variables as compose does.
func expand(t *testing.T, text string) string {
	t.Helper()
	return variable.ReplaceAllStringFunc(text, func(found string) string {
		m := variable.FindStringSubmatch(found)
		if v, ok := values[m[1]]; ok {
			return v
		}
		require.True(t, strings.HasPrefix(m[2], ":-"), "%s is neither made by deploy/secrets.sh nor has a default", m[1])
		return m[3]
	})
}

func loadCompose(t *testing.T) compose {
	t.Helper()
	var c compose
	require.NoError(t, yaml.Unmarshal([]byte(read(t, "docker-compose.yml")), &c))
	return c
}

// A node of the compose file must start with what the file says: every variable is a setting, and all
// values together are a configuration that is accepted.
func TestCompose_NodesAreConfigured(t *testing.T) {
	c := loadCompose(t)
	names := map[string]bool{}
	for i := 1; i <= 3; i++ {
		node, ok := c.Services[fmt.Sprint("quipu-", i)]
		require.True(t, ok)
		require.True(t, node.ReadOnly)
		require.NotEmpty(t, node.User)
		environ := []string{"QUIPU_ADDR=:8080", "QUIPU_DATA=/data", "QUIPU_LOG_FORMAT=json"} // the image's
		for key, value := range node.Environment {
			environ = append(environ, key+"="+expand(t, value))
		}
		inv, err := config.Load([]string{"serve"}, environ, nil)
		require.NoError(t, err)
		require.Empty(t, inv.Warnings, "variables that are no settings")
		names[node.Environment["QUIPU_NODE_NAME"]] = true
		require.NotContains(t, inv.Config.Redacted(), values["POSTGRES_PASSWORD"])
	}
	require.Len(t, names, 3)
}

// What the file refers to is there, and nothing changes by itself with a new release of somebody else.
func TestCompose_RefersToWhatExists(t *testing.T) {
	c := loadCompose(t)
	for _, want := range strings.Fields("quipu-1 quipu-2 quipu-3 proxy kurrentdb postgres nats prometheus grafana") {
		require.Contains(t, c.Services, want)
	}
	for name, s := range c.Services {
		require.Regexp(t, `:(v?\d+\.\d+\.\d+|\d+\.\d+|\$\{)`, s.Image, "%s: a tag that says which version", name)
		for _, v := range s.Volumes {
			from, _, _ := strings.Cut(v, ":")
			if strings.HasPrefix(from, "./") {
				_, err := os.Stat(filepath.Join("..", "..", from))
				require.NoError(t, err, "%s mounts %s", name, from)
			} else {
				require.Contains(t, c.Volumes, from, name)
			}
		}
		for _, p := range s.Ports {
			require.True(t, strings.HasPrefix(p, "127.0.0.1:"), "%s: %s would be open to the network", name, p)
		}
		for _, secret := range s.Secrets {
			require.Contains(t, c.Secrets, secret)
		}
		switch d := s.DependsOn.(type) {
		case []any:
			for _, on := range d {
				require.Contains(t, c.Services, on)
			}
		case map[string]any:
			for on := range d {
				require.Contains(t, c.Services, on)
			}
		}
	}
	script := read(t, "deploy", "secrets.sh")
	for name, s := range c.Secrets {
		require.Contains(t, script, strings.TrimPrefix(s.File, "./"), name)
	}
	for name := range values {
		require.Contains(t, script, name+"=")
	}
	require.Contains(t, read(t, ".gitignore"), "/deploy/secrets/")
	require.Contains(t, read(t, ".gitignore"), "/.env")
}

// The script makes what the file needs, once.
func TestSecrets_AreMadeOnceAndFit(t *testing.T) {
	dir := t.TempDir()
	run := func() string {
		cmd := exec.Command("sh", "-c", `mkdir -p deploy && cp "$0" deploy/ && sh deploy/secrets.sh && cat .env deploy/secrets/* && stat -c %a deploy/secrets/master.key .env`, abs(t, "deploy", "secrets.sh"))
		cmd.Dir = dir
		out, err := cmd.CombinedOutput()
		require.NoError(t, err, string(out))
		return string(out)
	}
	first := run()
	_, again, _ := strings.Cut(first, "(.env has it)\n")
	require.Equal(t, again, run(), "a second run keeps what there is")
	require.True(t, strings.HasSuffix(again, "600\n600\n"), again)
	var environ []string
	for line := range strings.Lines(again) {
		if strings.HasPrefix(line, "QUIPU_API_KEYS=") {
			environ = append(environ, strings.TrimSpace(line))
		}
	}
	inv, err := config.Load([]string{"serve", "--addr", ":8080"}, environ, nil)
	require.NoError(t, err)
	require.Len(t, inv.Config.Guard.Keys(), 2)
}

func abs(t *testing.T, path ...string) string {
	t.Helper()
	p, err := filepath.Abs(filepath.Join(append([]string{"..", ".."}, path...)...))
	require.NoError(t, err)
	return p
}
