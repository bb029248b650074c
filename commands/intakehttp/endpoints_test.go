package intakehttp

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"quipu/commands"
	"quipu/domain"
	"quipu/domain/endpoint"
	"quipu/domain/wire"
	"quipu/infra/clock"
)

func endpointSite(t *testing.T) (*site, *commands.Endpoints) {
	t.Helper()
	s := newSite(t)
	e := commands.NewEndpoints(commands.EndpointDeps{Log: s.log, Clock: clock.System{}, IDs: clock.System{}, Secret: clock.System{}.Secret})
	routes := &Endpoints{Endpoints: e, LogID: s.log.ID(), Timeout: 10 * time.Second}
	routes.Register(s.app)
	return s, e
}

// D15, D16, D17, D22: an endpoint is made; its key is in the answer and nowhere else.
func TestD15_EndpointIsMade(t *testing.T) {
	s, e := endpointSite(t)
	made := s.do(t, "POST", "/api/endpoints", ` {"slug":"coffee-shop","other":1}`)
	require.Equal(t, 201, made.status, made.body)
	id, key := made.text(t, "endpoint"), made.text(t, "api_key")
	require.Equal(t, "/api/endpoints/"+id, made.location)
	require.Equal(t, "coffee-shop", made.text(t, "slug"))
	require.Equal(t, made.position, made.text(t, "position"))
	_, _, err := domain.ParseCursor(made.position)
	require.NoError(t, err)
	_, err = time.Parse(domain.TimeLayout, made.text(t, "created_at"))
	require.NoError(t, err)
	created, err := e.Authenticate(t.Context(), id, key)
	require.NoError(t, err)
	require.Equal(t, endpoint.Created{ID: id, Slug: "coffee-shop", KeyHash: endpoint.HashKey(key)}, created)
	require.NotContains(t, made.body, created.KeyHash)
	events, err := s.log.ReadStream(t.Context(), endpoint.Stream(id), 0, 2)
	require.NoError(t, err)
	require.Len(t, events, 1)
	m, err := wire.DecodeMetadata(events[0].Metadata)
	require.NoError(t, err)
	require.Equal(t, wire.Actor{Kind: wire.ActorAnonymous, Via: "api"}, m.Actor)
	require.Equal(t, "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", m.Traceparent)
}

func TestD15_BadBodies(t *testing.T) {
	s, _ := endpointSite(t)
	for body, want := range map[string]struct {
		status int
		code   string
		field  string
	}{
		"":                        {400, "INVALID_JSON", "body"},
		"{":                       {400, "INVALID_JSON", "body"},
		"\xef\xbb\xbf{}":          {400, "INVALID_JSON", "body"},
		`{"slug":"a","slug":"b"}`: {400, "INVALID_JSON", "body"},
		"[]":                      {422, "INVALID_BODY", ""},
		"null":                    {422, "INVALID_BODY", ""},
		"{}":                      {422, "INVALID_BODY", "/slug"},
		`{"slug":null}`:           {422, "INVALID_BODY", "/slug"},
		`{"slug":1}`:              {422, "INVALID_BODY", "/slug"},
		`{"slug":["a"]}`:          {422, "INVALID_BODY", "/slug"},
		`{"slug":"\ud800"}`:       {422, "INVALID_BODY", "/slug"},
		`{"slug":""}`:             {422, "INVALID_SLUG", "/slug"},
		`{"slug":"Coffee"}`:       {422, "INVALID_SLUG", "/slug"},
		`{"slug":"a\u0000"}`:      {422, "INVALID_SLUG", "/slug"},
		`{"slug":"-a"}`:           {422, "INVALID_SLUG", "/slug"},
		`{"slug":"` + strings.Repeat("x", endpoint.SlugBytesMax+1) + `"}`: {422, "INVALID_SLUG", "/slug"},
	} {
		got := s.do(t, "POST", "/api/endpoints", body)
		require.Equal(t, want.status, got.status, "%q: %s", body, got.body)
		code, _, fields := got.problem(t)
		require.Equal(t, want.code, code, body)
		if want.field != "" {
			require.Equal(t, []string{want.field}, fields, "%q: %s", body, got.body)
		}
	}
	head, err := s.log.Head(t.Context())
	require.NoError(t, err)
	require.Zero(t, head)
}
