package nodetypes_test

import (
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/require"

	"quipu/commands/node"
	"quipu/commands/nodetypes"
	"quipu/infra/outbound"
)

// seen is a request as a far side got it.
type seen struct {
	method, uri, body string
	header            http.Header
}

// serve starts a far side that records its requests and answers with handler, {} without one.
func serve(t testing.TB, handler http.HandlerFunc) (*httptest.Server, *[]seen) {
	t.Helper()
	var requests []seen
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		requests = append(requests, seen{r.Method, r.URL.RequestURI(), string(body), r.Header})
		if handler != nil {
			handler(w, r)
			return
		}
		_, _ = w.Write([]byte("{}"))
	}))
	t.Cleanup(s.Close)
	return s, &requests
}

// serveRaw starts a far side that answers each connection with text and then waits until the
// client gives up, or closes at once.
func serveRaw(t testing.TB, text string, wait bool) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			_, _ = io.ReadAtLeast(conn, make([]byte, 64<<10), 1)
			_, _ = io.WriteString(conn, text)
			if wait {
				_, _ = io.Copy(io.Discard, conn)
			}
			_ = conn.Close()
		}
	}()
	t.Cleanup(func() { _ = l.Close(); <-done })
	return "http://" + l.Addr().String()
}

// guarded is the process's client, with loopback allowed.
func guarded(t testing.TB) nodetypes.Client {
	t.Helper()
	c, err := outbound.NewClient(outbound.Options{AllowLoopback: true})
	require.NoError(t, err)
	t.Cleanup(c.CloseIdleConnections)
	return c
}

func quote(s string) string {
	b, _ := json.Marshal(s)
	return string(b)
}

// api runs an api_call.
func api(t testing.TB, d nodetypes.Deps, call node.Call) (node.Reply, error) {
	t.Helper()
	if d.HTTP == nil {
		d.HTTP = guarded(t)
	}
	return run(t, registry(t, d), "api_call", call)
}

// failure runs an api_call that must fail.
func failure(t testing.TB, d nodetypes.Deps, ctx context.Context, call node.Call) *node.Failure {
	t.Helper()
	if d.HTTP == nil {
		d.HTTP = guarded(t)
	}
	typ, _ := registry(t, d).Get("api_call")
	_, err := typ.Run(ctx, call)
	var f *node.Failure
	require.ErrorAs(t, err, &f)
	return f
}
