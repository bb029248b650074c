package app

import (
	"io"
	"log/slog"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"quipu/infra/config"
	"quipu/internal/apitest"
	"quipu/readapi/openapi"
)

// undescribed are routes that the document leaves out, with the reason.
var undescribed = map[string]string{
	"/ws/":                 "sockets: OpenAPI has no words for them; docs/sockets.md has",
	"/ws":                  "likewise",
	"/api/events/ws/":      "likewise",
	openapi.DocumentPath:   "the document itself",
	openapi.DocsPath:       "pages for people",
	openapi.DocsPath + "/": "and what they load",
}

func isUndescribed(path string) bool {
	for prefix := range undescribed {
		if path == prefix || strings.HasSuffix(prefix, "/") && strings.HasPrefix(path, prefix) {
			return true
		}
	}
	return false
}

const testVersion = "9.9.9"

// testServer opens the whole program on a folder of its own; its parts do not run, its routes answer.
func testServer(t *testing.T) *server {
	t.Helper()
	c := config.Default()
	c.Storage.Data, c.HTTP.Addr = t.TempDir(), "127.0.0.1:0"
	s, err := open(t.Context(), c, testVersion, slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	t.Cleanup(func() {
		require.NoError(t, s.web.Listener.Close())
		require.NoError(t, s.close())
	})
	return s
}

func get(t *testing.T, s *server, path string) (status int, header func(string) string, body []byte) {
	t.Helper()
	request := httptest.NewRequest("GET", path, nil)
	request.Host = "localhost"
	response, err := s.web.App.Test(request, 10_000)
	require.NoError(t, err)
	body, err = io.ReadAll(response.Body)
	require.NoError(t, err)
	return response.StatusCode, response.Header.Get, body
}

func TestS2_4_DocumentIsValidAndTheSameEachTime(t *testing.T) {
	first, err := buildDocument(testVersion)
	require.NoError(t, err)
	second, err := buildDocument(testVersion)
	require.NoError(t, err)
	require.Equal(t, string(first), string(second))
	_, err = apitest.NewChecker(first)
	require.NoError(t, err, "an example, a schema or a reference is wrong")
}

// What is served is described, and what is described is served. A route that fails here wants an
// Operation: see package apidoc.
func TestS2_4_EveryRouteIsDescribed(t *testing.T) {
	s := testServer(t)
	status, _, document := get(t, s, openapi.DocumentPath)
	require.Equal(t, 200, status)
	checker, err := apitest.NewChecker(document)
	require.NoError(t, err)
	described := map[string]bool{}
	for path, item := range checker.Document.Paths.Map() {
		for method := range item.Operations() {
			described[method+" "+path] = true
		}
	}
	for _, route := range s.web.App.GetRoutes(true) {
		if route.Method == "HEAD" || isUndescribed(route.Path) {
			continue
		}
		key := route.Method + " " + openapi.Path(route.Path)
		if !described[key] {
			t.Errorf("%s is served and not described: add an apidoc.Operation to the Operations of its package (package apidoc shows how)", key)
		}
		delete(described, key)
	}
	for key := range described {
		t.Errorf("%s is described and not served", key)
	}
}

// The pages load nothing from elsewhere: every address in them is one of ours, and is served.
func TestS2_4_PagesWorkOffline(t *testing.T) {
	s := testServer(t)
	for _, path := range []string{openapi.DocsPath, openapi.DocsPath + "/", openapi.SocketsPath} {
		status, header, body := get(t, s, path)
		require.Equal(t, 200, status, path)
		require.Contains(t, header("Content-Type"), "text/html")
		require.Contains(t, header("Content-Security-Policy"), "default-src 'none'")
		require.NotContains(t, header("Content-Security-Policy"), "unsafe-eval")
		require.NotContains(t, string(body), "<script>", "scripts within the page would need a weaker policy")
		links := regexp.MustCompile(`(?:src|href)="([^"]+)"`).FindAllStringSubmatch(string(body), -1)
		require.NotEmpty(t, links)
		for _, link := range links {
			if strings.HasPrefix(link[1], "#") {
				continue
			}
			require.Regexp(t, `^/`, link[1])
			status, _, content := get(t, s, link[1])
			require.Equal(t, 200, status, link[1])
			require.NotEmpty(t, content, link[1])
		}
	}
	_, _, page := get(t, s, openapi.SocketsPath)
	for _, path := range []string{"/ws/{flow_name}/{run_name}", "/ws?x-wf-endpoint={endpoint}", "/ws/workflows/{id}", "1012"} {
		require.Contains(t, string(page), path)
	}
}
