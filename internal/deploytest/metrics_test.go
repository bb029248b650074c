package deploytest

import (
	"encoding/json"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"
)

var (
	listed    = regexp.MustCompile("(?m)^\\| `(quipu_[a-z_]+)` \\| (\\w+) \\| ([^|]*) \\|")
	mentioned = regexp.MustCompile(`quipu_[a-z_]+[a-z]`)
	labelUsed = regexp.MustCompile(`(quipu_[a-z_]+)\{([^}]*)\}`)
	labelName = regexp.MustCompile(`(\w+)\s*(?:=~|!~|!=|=)`)
)

// metrics are those in docs/operations.md, which a test of infra/telemetry holds equal to the registry:
// each name that can be asked for, with its labels.
func metrics(t *testing.T) map[string][]string {
	t.Helper()
	out := map[string][]string{}
	for _, m := range listed.FindAllStringSubmatch(read(t, "docs", "operations.md"), -1) {
		labels := strings.Split(strings.ReplaceAll(m[3], " ", ""), ",")
		out[m[1]] = labels
		if m[2] == "histogram" {
			for _, suffix := range []string{"_bucket", "_count", "_sum"} {
				out[m[1]+suffix] = append([]string{"le"}, labels...)
			}
		}
	}
	require.Greater(t, len(out), 40)
	return out
}

// checkQuery fails for a metric, or a label of one, that no node has: the panel would stay empty and the
// alarm silent.
func checkQuery(t *testing.T, have map[string][]string, where, query string) {
	t.Helper()
	found := mentioned.FindAllString(query, -1)
	for _, name := range found {
		require.Contains(t, have, name, "%s: %s", where, query)
	}
	for _, m := range labelUsed.FindAllStringSubmatch(query, -1) {
		for _, label := range labelName.FindAllStringSubmatch(m[2], -1) {
			if l := label[1]; l != "instance" && l != "job" {
				require.Contains(t, have[m[1]], l, "%s: %s", where, query)
			}
		}
	}
	require.Equal(t, strings.Count(query, "("), strings.Count(query, ")"), "%s: %s", where, query)
	require.Equal(t, strings.Count(query, "{"), strings.Count(query, "}"), "%s: %s", where, query)
}

func TestAlerts_AskForMetricsThatExist(t *testing.T) {
	have := metrics(t)
	var rules struct {
		Groups []struct {
			Name  string
			Rules []struct {
				Alert, Expr, For    string
				Labels, Annotations map[string]string
			}
		}
	}
	require.NoError(t, yaml.Unmarshal([]byte(read(t, "deploy", "prometheus", "alerts.yml")), &rules))
	doc, seen := read(t, "docs", "operations.md"), map[string]bool{}
	for _, g := range rules.Groups {
		for _, r := range g.Rules {
			require.False(t, seen[r.Alert], "%s stands twice", r.Alert)
			seen[r.Alert] = true
			require.NotEmpty(t, r.Annotations["summary"], r.Alert)
			require.Contains(t, []string{"page", "ticket"}, r.Labels["severity"], r.Alert)
			checkQuery(t, have, r.Alert, r.Expr)
			require.Contains(t, doc, "`"+r.Alert+"`", "docs/operations.md says what to do at each alarm")
		}
	}
	require.Greater(t, len(seen), 10)

	var prometheus struct {
		RuleFiles     []string `yaml:"rule_files"`
		ScrapeConfigs []struct {
			StaticConfigs []struct{ Targets []string } `yaml:"static_configs"`
		} `yaml:"scrape_configs"`
	}
	require.NoError(t, yaml.Unmarshal([]byte(read(t, "deploy", "prometheus", "prometheus.yml")), &prometheus))
	require.Equal(t, []string{"alerts.yml"}, prometheus.RuleFiles)
	require.Equal(t, []string{"quipu-1:8080", "quipu-2:8080", "quipu-3:8080"}, prometheus.ScrapeConfigs[0].StaticConfigs[0].Targets)
}

func TestDashboard_AsksForMetricsThatExist(t *testing.T) {
	have := metrics(t)
	var board struct {
		UID    string
		Title  string
		Panels []struct {
			ID      int
			Type    string
			Title   string
			GridPos struct{ H, W, X, Y int }
			Targets []struct{ Expr, RefID string }
		}
	}
	require.NoError(t, json.Unmarshal([]byte(read(t, "deploy", "grafana", "dashboards", "quipu.json")), &board))
	require.Equal(t, "quipu", board.UID)
	ids, queries := map[int]bool{}, 0
	for _, p := range board.Panels {
		require.False(t, ids[p.ID], "%s: id %d stands twice", p.Title, p.ID)
		ids[p.ID] = true
		require.LessOrEqual(t, p.GridPos.X+p.GridPos.W, 24, p.Title)
		if p.Type == "row" {
			continue
		}
		require.NotEmpty(t, p.Targets, p.Title)
		for _, q := range p.Targets {
			checkQuery(t, have, p.Title, q.Expr)
			queries++
		}
	}
	require.Greater(t, queries, 20)
	var source struct {
		Datasources []struct{ UID, URL string }
	}
	require.NoError(t, yaml.Unmarshal([]byte(read(t, "deploy", "grafana", "provisioning", "datasources", "prometheus.yml")), &source))
	require.Equal(t, "prometheus", source.Datasources[0].UID)
	require.Contains(t, read(t, "deploy", "grafana", "provisioning", "dashboards", "quipu.yml"), "/var/lib/grafana/dashboards")
}

// What the docs tell to look at is there.
func TestDocs_NameMetricsThatExist(t *testing.T) {
	have := metrics(t)
	for _, name := range mentioned.FindAllString(read(t, "docs", "operations.md"), -1) {
		if strings.HasPrefix(name, "quipu_views_g") || name == "quipu_views" || name == "quipu_cluster" {
			continue // schemas of Postgres
		}
		require.Contains(t, have, name)
	}
}
