package deploytest

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/fasthttp/websocket"
	"github.com/stretchr/testify/require"

	"quipu/internal/debian"
	"quipu/internal/proctest"
)

// proxy starts nginx with the configuration of deploy/ in front of nodes, and returns its address. Only
// the names of the nodes and the port are others.
func proxy(t *testing.T, nodes ...string) string {
	t.Helper()
	nginx, err := debian.Program("nginx", "nginx", "/usr/sbin/nginx")
	require.NoError(t, err)
	dir, err := os.MkdirTemp("", "quipu-nginx-") // short: what it makes below is its own
	require.NoError(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	free, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	addr := free.Addr().String()
	require.NoError(t, free.Close())

	conf := read(t, "deploy", "nginx", "nginx.conf")
	require.Equal(t, 1, strings.Count(conf, "listen 8080;"))
	conf = strings.Replace(conf, "listen 8080;", "listen "+addr+";", 1)
	conf = strings.ReplaceAll(conf, "/tmp/nginx", dir+"/nginx")
	var upstreams strings.Builder
	for line := range strings.Lines(read(t, "deploy", "nginx", "upstreams.conf")) {
		switch {
		case strings.HasPrefix(line, "resolver"):
		case strings.Contains(line, "server quipu-"):
			if !strings.Contains(line, "quipu-1:") {
				continue
			}
			for _, node := range nodes {
				// The engine's names need a resolver; older releases do not know the word.
				upstreams.WriteString(strings.Replace(strings.Replace(line, "quipu-1:8080", node, 1), " resolve", "", 1))
			}
		default:
			upstreams.WriteString(line)
		}
	}
	require.NoError(t, os.WriteFile(filepath.Join(dir, "nginx.conf"), []byte(conf), 0o600))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "upstreams.conf"), []byte(upstreams.String()), 0o600))

	cmd := exec.Command(nginx, "-p", dir, "-c", filepath.Join(dir, "nginx.conf"), "-g", "daemon off;")
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if os.Geteuid() == 0 {
		require.NoError(t, os.Chmod(dir, 0o777)) // its workers run as nobody
	}
	require.NoError(t, cmd.Start())
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		_ = cmd.Wait()
		if t.Failed() {
			t.Log(out.String())
		}
	})
	proctest.Eventually(t, 60*time.Second, "the proxy answers", func() bool {
		r, err := http.Get("http://" + addr + "/proxy/health") //nolint:noctx // a moment
		if err != nil {
			return false
		}
		_ = r.Body.Close()
		return r.StatusCode == http.StatusOK
	})
	return addr
}

// Requests and sockets go through the proxy as they are, and on to another node when one is gone.
func TestNginx_BeforeRealNodes(t *testing.T) {
	one, two := proctest.Start(t, proctest.Options{}), proctest.Start(t, proctest.Options{})
	addr := proxy(t, one.Addr(), two.Addr())
	through := proctest.NewClient(func() string { return addr })

	socket, err := proctest.Dial(t.Context(), addr, "behind", "proxy", "")
	require.NoError(t, err)
	defer socket.Close()
	// The two share nothing: whichever has the socket gets the run.
	body := []byte(`{"flow_name":"behind","run_name":"proxy","tasks":[{"name":"a","function":"bench_noop"}]}`)
	for _, s := range []*proctest.Server{one, two} {
		s.Client().Run(t, body)
	}
	require.True(t, socket.ToEnd(t)[0].Offset != nil)

	started := through.Run(t, []byte(`{"flow_name":"behind","run_name":"other","tasks":[{"name":"a","function":"bench_noop"}]}`))
	require.NotEmpty(t, started.TaskID)
	metrics, err := through.Do(t.Context(), http.MethodGet, "/metrics", nil)
	require.NoError(t, err)
	require.Equal(t, http.StatusNotFound, metrics.Status)
	large, err := through.Do(t.Context(), http.MethodPost, "/run-dag", bytes.Repeat([]byte(" "), 5<<20))
	require.NoError(t, err)
	require.Equal(t, http.StatusRequestEntityTooLarge, large.Status)
	require.Contains(t, string(large.Body), `"code"`, "the server says what its limit is, not the proxy")

	one.Kill()
	for i := range 20 {
		run := fmt.Sprint("after-", i)
		through.Run(t, []byte(`{"flow_name":"behind","run_name":"`+run+`","tasks":[{"name":"a","function":"bench_noop"}]}`))
		again, err := proctest.Dial(t.Context(), addr, "behind", run, "from=0")
		require.NoError(t, err)
		again.ToEnd(t)
		again.Close()
	}
}

// A node that ends in order takes no request with it.
func TestNginx_StopOfANodeFailsNoRequest(t *testing.T) {
	one, two := proctest.Start(t, proctest.Options{}), proctest.Start(t, proctest.Options{})
	addr := proxy(t, one.Addr(), two.Addr())
	through := proctest.NewClient(func() string { return addr })
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		one.Stop()
	}()
	done := false
	for i := 0; !done || i < 200; i++ {
		select {
		case <-stopped:
			done = true
		default:
		}
		r, err := through.Do(t.Context(), http.MethodPost, "/run-dag", fmt.Appendf(nil, `{"flow_name":"f","run_name":"r%d","tasks":[{"name":"a","function":"bench_noop"}]}`, i), "Idempotency-Key", fmt.Sprint("key-", i))
		require.NoError(t, err)
		require.Equal(t, http.StatusOK, r.Status, string(r.Body))
		r, err = through.Do(t.Context(), http.MethodGet, "/api/node-types", nil)
		require.NoError(t, err)
		require.Equal(t, http.StatusOK, r.Status, string(r.Body))
	}
}

// What a node took and did not answer is sent to another one only if that does no harm.
func TestNginx_RepeatsWhatMayBeRepeated(t *testing.T) {
	var cut, answered atomic.Int32
	breaks := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		cut.Add(1)
		_, _ = io.Copy(io.Discard, r.Body)
		conn, _, err := w.(http.Hijacker).Hijack()
		if err == nil {
			_ = conn.Close()
		}
	}))
	t.Cleanup(breaks.Close)
	works := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		answered.Add(1)
		b, _ := io.ReadAll(r.Body)
		_, _ = w.Write(append([]byte(r.Method+" "), b...))
	}))
	t.Cleanup(works.Close)
	ask := func(method string, headers ...string) (int, string) {
		// A proxy of its own for each: none remembers which node was bad.
		addr := proxy(t, strings.TrimPrefix(breaks.URL, "http://"), strings.TrimPrefix(works.URL, "http://"))
		cut.Store(0)
		for range 20 { // until the bad one was asked first
			r, err := proctest.NewClient(func() string { return addr }).Do(t.Context(), method, "/api/executions", []byte("body"), headers...)
			require.NoError(t, err)
			if cut.Load() > 0 {
				return r.Status, string(r.Body)
			}
		}
		t.Fatal("the bad node was never asked")
		return 0, ""
	}
	status, _ := ask(http.MethodPost)
	require.Equal(t, http.StatusBadGateway, status, "it may have been done")
	for _, c := range [][]string{{http.MethodPost, "Idempotency-Key", "k"}, {http.MethodGet}} {
		status, body := ask(c[0], c[1:]...)
		require.Equal(t, http.StatusOK, status)
		require.Equal(t, c[0]+" body", body)
	}
}

// The handshake's subprotocol, by which pages of browsers send their key, reaches the node and comes back.
func TestNginx_PassesSubprotocols(t *testing.T) {
	node := proctest.Start(t, proctest.Options{})
	addr := proxy(t, node.Addr())
	made := node.Client().Must(t, http.MethodPost, "/api/endpoints", []byte(`{"slug":"behind"}`))
	var at struct {
		Data struct {
			Endpoint string `json:"endpoint"`
			APIKey   string `json:"api_key"`
		}
	}
	require.NoError(t, made.JSON(&at))
	dialer := websocket.Dialer{Subprotocols: []string{"x-api-key." + at.Data.APIKey}}
	conn, _, err := dialer.DialContext(t.Context(), "ws://"+addr+"/ws?x-wf-endpoint="+at.Data.Endpoint, nil)
	require.NoError(t, err)
	defer func() { _ = conn.Close() }()
	require.Equal(t, "x-api-key."+at.Data.APIKey, conn.Subprotocol())
}
