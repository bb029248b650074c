package app

import (
	"encoding/json"
	"io"
	"log/slog"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"

	"github.com/gofiber/fiber/v2"
	"github.com/stretchr/testify/require"

	"quipu/infra/config"
)

func TestIndex_EveryLinkIsARoute(t *testing.T) {
	c := config.Default()
	c.Storage.Data, c.HTTP.Addr = t.TempDir(), "127.0.0.1:0"
	s, err := open(t.Context(), c, testVersion, slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	t.Cleanup(func() {
		require.NoError(t, s.web.Listener.Close())
		require.NoError(t, s.close())
	})
	get := func(method, path string) (int, string) {
		request := httptest.NewRequest(method, path, nil)
		request.Host = "localhost"
		response, err := s.web.App.Test(request, 10_000)
		require.NoError(t, err)
		body, err := io.ReadAll(response.Body)
		require.NoError(t, err)
		return response.StatusCode, string(body)
	}
	status, body := get(fiber.MethodGet, "/")
	require.Equal(t, 200, status)
	var index struct {
		Name, Version, Log string
		Links              map[string]string
	}
	require.NoError(t, json.Unmarshal([]byte(body), &index))
	require.Equal(t, []string{"quipu", testVersion, string(s.log.ID())}, []string{index.Name, index.Version, index.Log})
	require.Equal(t, links, index.Links)
	routes := map[string]bool{}
	for _, r := range s.web.App.GetRoutes(true) {
		routes[strings.NewReplacer("/:flow/:run", "/{flow}/{run}", "/:id", "/{id}").Replace(r.Path)] = true
	}
	for name, path := range links {
		require.True(t, routes[path], "%s: %s", name, path)
	}
	status, body = get(fiber.MethodGet, "/nowhere")
	require.Equal(t, 404, status)
	for name, path := range links { // whatever order the routes were added in, none hides another
		path = strings.NewReplacer("{flow}", ":flow", "{run}", ":run", "{id}", ":id").Replace(path)
		require.Regexp(t, "[ ]"+regexp.QuoteMeta(path)+"[,/]", body, name)
	}
	require.Less(t, len(body), 4000)
}
