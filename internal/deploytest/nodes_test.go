package deploytest

import (
	"fmt"
	"maps"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"quipu/infra/nats/natstest"
	"quipu/infra/postgres/pgtest"
	"quipu/internal/otlptest"
	"quipu/internal/proctest"
)

// The compose file's nodes, with its settings word for word but for the names of the other services, serve as
// one behind its proxy; the end of one is noticed by nobody, and traces of one run come from several nodes.
func TestCompose_NodesServeTogether(t *testing.T) {
	free, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	logAddr := free.Addr().String()
	require.NoError(t, free.Close())
	log := proctest.Start(t, proctest.Options{Command: []string{"log", "serve"}, Args: []string{"--kurrentdb-addr", logAddr}})
	log.Ready()
	database, err := url.Parse(pgtest.Database(t, pgtest.Start(t, pgtest.Options{})))
	require.NoError(t, err)
	bus, err := url.Parse(natstest.Start(t).URL())
	require.NoError(t, err)
	collector := otlptest.New(t)
	master := filepath.Join(t.TempDir(), "master.key")
	require.NoError(t, os.WriteFile(master, []byte(strings.Repeat("5a", 32)), 0o600))
	here := strings.NewReplacer(
		"kurrentdb:2113", logAddr, "postgres://quipu:"+values["POSTGRES_PASSWORD"]+"@postgres:5432/quipu", database.String(),
		"nats:4222", bus.Host, "http://jaeger:4318", collector.URL, "/run/secrets/master_key", master,
	)
	c := loadCompose(t)
	var nodes []*proctest.Server
	var addrs []string
	for i := 1; i <= 3; i++ {
		var args []string
		settings := c.Services[fmt.Sprint("quipu-", i)].Environment
		for _, key := range slices.Sorted(maps.Keys(settings)) {
			value := here.Replace(expand(t, settings[key]))
			flag := "--" + strings.ReplaceAll(strings.ToLower(strings.TrimPrefix(key, "QUIPU_")), "_", "-")
			if value != "" {
				args = append(args, flag+"="+value)
			}
		}
		nodes = append(nodes, proctest.Start(t, proctest.Options{Args: args}))
	}
	for _, n := range nodes {
		addrs = append(addrs, n.Addr())
	}
	addr := proxy(t, addrs...)
	through := proctest.NewClient(func() string { return addr })
	key := []string{"x-api-key", strings.TrimPrefix(strings.Split(values["QUIPU_API_KEYS"], ",")[0], "admin:")}
	run := func(name string) string {
		r, err := through.Do(t.Context(), http.MethodPost, "/run-dag", fmt.Appendf(nil, `{"flow_name":"f","run_name":%q,"tasks":[{"name":"a","function":"bench_noop"},{"name":"b","function":"bench_noop"}],"edges":[{"source":"a","target":"b"}]}`, name),
			append(key, "Idempotency-Key", name, "traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")...)
		require.NoError(t, err)
		require.Equal(t, http.StatusOK, r.Status, string(r.Body))
		var started proctest.Started
		require.NoError(t, r.JSON(&started))
		return started.TaskID
	}
	ends := func(id string) {
		r, err := through.Do(t.Context(), http.MethodGet, "/task-status/"+id+"?wait=30s", nil, key...)
		require.NoError(t, err)
		require.Contains(t, string(r.Body), `"status":"completed"`)
	}
	var all []string
	for i := range 30 {
		all = append(all, run(fmt.Sprint("before-", i)))
	}
	nodes[1].Kill()
	for i := range 30 {
		all = append(all, run(fmt.Sprint("after-", i)))
	}
	for _, id := range all {
		ends(id)
	}
	list, err := through.Do(t.Context(), http.MethodGet, "/api/executions?limit=200", nil, key...)
	require.NoError(t, err)
	for _, id := range all {
		require.Contains(t, string(list.Body), id)
	}
	refused, err := through.Do(t.Context(), http.MethodGet, "/api/executions", nil)
	require.NoError(t, err)
	require.Equal(t, http.StatusUnauthorized, refused.Status)
	owners := 0
	for _, n := range []int{0, 2} {
		ready, err := nodes[n].Client().Do(t.Context(), http.MethodGet, "/health/ready", nil, key...)
		require.NoError(t, err)
		require.Equal(t, http.StatusOK, ready.Status, string(ready.Body))
		require.Contains(t, string(ready.Body), `"members":{"status":"ok"}`)
		metrics, err := nodes[n].Client().Do(t.Context(), http.MethodGet, "/metrics", nil, key...)
		require.NoError(t, err)
		owners += strings.Count(string(metrics.Body), `quipu_owned{work="projector:views"} 1`)
	}
	require.Equal(t, 1, owners, "one node keeps the views")
	nodes[0].Stop()
	nodes[2].Stop()
	instances := map[string]bool{}
	for _, span := range collector.Spans() {
		instances[span.Instance] = true
	}
	require.GreaterOrEqual(t, len(instances), 2, "nodes that took part in the trace")
}
