package history_test

import (
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// wrong are values that no parameter but a text takes, and that no server may fall over.
var wrong = map[string]string{
	"letters": "abc", "negative": "-1", "huge": "99999999999999999999999999", "float": "1.5.5", "exponent": "1e9999", "hex": "0x10",
	"sql": "1'; DROP TABLE executions; --", "union": "' UNION SELECT * FROM events --", "nul": "\x00", "control": "a\nb", "utf8": "\xff\xfe",
	"surrogate": "\xed\xa0\x80", "json": `{"$gt":""}`, "template": "{{7*7}}", "format": "%s%n%x", "path": "../../etc/passwd", "cursor": "AQEB",
	"overflow": "9223372036854775808", "infinity": "Infinity", "nan": "NaN", "bigdate": "99999-01-01T00:00:00Z", "year0": "0000-01-01T00:00:00Z",
}

// D17, D18: every parameter of every route with every wrong value: never a 5xx, never a hang, and a
// refusal names the parameter.
func TestD17_WrongValuesOfEveryParameter(t *testing.T) {
	eachStore(t, testD17_WrongValuesOfEveryParameter)
}

func testD17_WrongValuesOfEveryParameter(t *testing.T, open openFunc) {
	w := open(t, nil)
	id := w.dag("f", "r", noop("a"))
	w.ended(id)
	wf := w.createWorkflow("w")
	paging := []string{"limit", "cursor", "offset", "page", "page_size", "order", "total", "at_least"}
	routes := map[string]struct{ typed, texts []string }{
		"/api/executions":                    {append([]string{"status", "source", "started_after", "started_before"}, paging...), []string{"workflow_id", "flow_name", "run_name"}},
		"/api/events":                        {append([]string{"event_type", "from", "to", "after", "before"}, paging...), []string{"workflow_id", "execution_id", "node_id"}},
		"/api/workflows/" + wf + "/events":   {append([]string{"event_type", "from", "to", "after", "before"}, paging...), []string{"execution_id", "node_id"}},
		"/api/workflows":                     {paging, []string{"endpoint", "name"}},
		"/api/workflows/" + wf + "/versions": {append([]string{"include"}, paging...), nil},
		"/api/endpoints":                     {paging, nil},
		"/api/workflows/" + wf:               {[]string{"version"}, nil},
		"/api/executions/" + id:              {[]string{"at"}, nil},
		"/api/executions/" + id + "/tasks":   {[]string{"at"}, nil},
	}
	// Huge numbers say a page, an offset or a version beyond all there is, which is out of range too.
	for path, params := range routes {
		for _, name := range append(slices.Clone(params.typed), params.texts...) {
			text := slices.Contains(params.texts, name)
			for kind, value := range wrong {
				a := w.get(path + query(name, value))
				label := fmt.Sprintf("%s?%s=%s", path, name, kind)
				require.Less(t, a.status, 500, "%s: %s", label, a.raw)
				if text && !slices.Contains([]string{"nul", "control", "utf8", "surrogate"}, kind) {
					require.Equal(t, 200, a.status, label)
					continue
				}
				require.Equal(t, []string{"query/" + name}, a.refused(422).fields(), label)
			}
			long := w.get(path + query(name, strings.Repeat("x", 3000)))
			require.Equal(t, []string{"query/" + name}, long.refused(422).fields())
			if name != "event_type" {
				twice := w.get(path + query(name, "1", name, "1")).refused(422)
				require.Contains(t, twice.fields(), "query/"+name)
				require.Contains(t, twice.Message, "more than once")
			}
		}
		require.Less(t, w.get(path+"?unknown=1&session_id=x&%00=%ff&=&&a[]=1").status, 300)
	}
}

// All faults are told at once.
func TestD17_EveryFaultIsNamed(t *testing.T) {
	w := newWorld(t, nil)
	p := w.get("/api/executions?limit=0&status=dead&order=up&started_after=x&cursor=y&at_least=z").refused(422)
	require.ElementsMatch(t, []string{"query/limit", "query/status", "query/order", "query/started_after", "query/cursor", "query/at_least"}, p.fields())
	require.Contains(t, p.Message, "and 5 more")
}

// D18: what is out of range, or contradicts itself.
func TestD18_Ranges(t *testing.T) {
	w := newWorld(t, nil)
	position := func(n int) string { return fmt.Sprintf("%s-%016x", w.log.ID(), n) }
	for path, field := range map[string]string{
		"/api/executions?limit=201":                                    "limit",
		"/api/executions?page_size=201":                                "page_size",
		"/api/executions?page=0":                                       "page",
		"/api/executions?offset=100001":                                "offset",
		"/api/executions?page=100001&page_size=200":                    "page",
		"/api/executions?limit=5&page_size=5":                          "page_size",
		"/api/executions?offset=5&page=5":                              "page",
		"/api/executions?started_after=200&started_before=100":         "started_after",
		"/api/events?from=2025-01-02T00:00:00Z&to=2025-01-01":          "to",
		"/api/events?from=2025-01-02T00:00:00Z&to=1":                   "from",
		"/api/events?after=" + position(5) + "&before=" + position(5):  "after",
		"/api/events?event_type=" + strings.Repeat("node.failed,", 51): "event_type",
	} {
		require.Equal(t, []string{"query/" + field}, w.get(path).refused(422).fields(), path)
	}
	require.Equal(t, []string{"query/cursor"}, w.get("/api/executions?cursor=AAAA&offset=0").refused(422).fields()[:1])
	// An empty range of instants is not an impossible one.
	require.Empty(t, w.get("/api/events?from=100&to=100").list().Items)
	require.Empty(t, w.get("/api/events?from=2025-09-02T09:42:05%2B02:00&to=2025-09-02T09:42:06+02:00").list().Items)
}

// What is longer than a request line may be is refused in the same shape, and the server goes on.
func TestD17_TenThousandCharacters(t *testing.T) {
	w := newWorld(t, nil)
	for _, path := range []string{"/api/executions?flow_name=", "/api/events?node_id=", "/api/executions/"} {
		resp, err := http.Get(w.base + path + url.QueryEscape(strings.Repeat("é", 5000)))
		require.NoError(t, err)
		b, err := io.ReadAll(resp.Body)
		require.NoError(t, err)
		require.NoError(t, resp.Body.Close())
		require.Equal(t, http.StatusRequestHeaderFieldsTooLarge, resp.StatusCode)
		require.Contains(t, string(b), `"status":"error"`)
	}
	require.Empty(t, w.get("/api/executions").list().Items)
}
