package cli

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"quipu/infra/config"
)

// A container's health check knows the address that the server listens on, and acts on the exit code.
func TestHealth_SaysWhatIsWrong(t *testing.T) {
	for answer, want := range map[string]struct {
		status int
		out    string
		fails  string
	}{
		`{"status":"ok","checks":{"log":{"status":"ok"}}}`:                              {200, "ok\n", ""},
		`{"status":"degraded","checks":{"relay":{"status":"degraded","error":"away"}}}`: {200, "degraded\nrelay: degraded: away\n", ""},
		`{"status":"failed","checks":{"log":{"status":"failed","error":"disk full"}}}`:  {503, "failed\nlog: failed: disk full\n", "answered 503"},
		`{"status":"failed"}`: {503, "failed\n", "answered 503"},
		`<html>`:              {200, "", "is it a Quipu"},
	} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			require.Equal(t, "/health/ready", r.URL.Path)
			require.Equal(t, "k", r.Header.Get("x-api-key"))
			w.WriteHeader(want.status)
			_, _ = w.Write([]byte(answer))
		}))
		var out bytes.Buffer
		err := health(t.Context(), config.Health{Server: strings.TrimPrefix(server.URL, "http://"), Timeout: 10 * time.Second, APIKey: "k"}, &out)
		server.Close()
		require.Equal(t, want.out, out.String())
		if want.fails == "" {
			require.NoError(t, err)
		} else {
			require.ErrorContains(t, err, want.fails)
		}
	}
	require.Error(t, health(t.Context(), config.Health{Server: "127.0.0.1:1", Timeout: time.Second}, &bytes.Buffer{}))
}

func TestReachable(t *testing.T) {
	for addr, want := range map[string]string{
		":8080": "127.0.0.1:8080", "0.0.0.0:80": "127.0.0.1:80", "[::]:80": "127.0.0.1:80",
		"quipu-1:8080": "quipu-1:8080", "127.0.0.2:1": "127.0.0.2:1", "nonsense": "nonsense",
	} {
		require.Equal(t, want, reachable(addr))
	}
}
