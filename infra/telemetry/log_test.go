package telemetry

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestSecretKey(t *testing.T) {
	for key, want := range map[string]bool{
		"authorization": true, "Authorization": true, "Proxy-Authorization": true,
		"api_key": true, "api-key": true, "apiKey": true, "APIKey": true, "x-api-key": true, "openai_api_key": true, "apikey": true,
		"token": true, "access_token": true, "refreshToken": true, "TOKEN": true,
		"password": true, "db.password": true, "clientSecret": true, "secret": true,
		"sec-websocket-protocol": true, "Sec-WebSocket-Protocol": true, "Set-Cookie": true,
		"max_tokens": false, "input_tokens": false, "tokenizer": false, "secretary": false,
		"key": false, "api": false, "run_id": false, "": false, "--": false, "protocol": false, "author": false,
	} {
		require.Equal(t, want, SecretKey(key), "%q", key)
	}
}

type lazy struct{ v slog.Value }

func (l lazy) LogValue() slog.Value { return l.v }

// One careless attribute must not put a key into the log, however deep it sits.
func TestNewLogger_RedactsInBothFormats(t *testing.T) {
	for _, format := range []string{"text", "json"} {
		var b strings.Builder
		log, err := NewLogger(&b, "debug", format)
		require.NoError(t, err)
		log = log.With("api_key", "hunter2").WithGroup("request")
		log.Info("called",
			"authorization", "Bearer hunter2",
			slog.Group("auth", "token", "hunter2", "kind", "visible-1"),
			slog.Group("secret", "part", "hunter2"),
			"headers", http.Header{"X-Api-Key": {"hunter2"}, "Accept": {"visible-2"}},
			"query", map[string]string{"password": "hunter2", "q": "visible-3"},
			"deep", map[string]any{"a": map[string]any{"client_secret": "hunter2", "b": "visible-4"}},
			"lazy", lazy{slog.GroupValue(slog.String("password", "hunter2"), slog.String("user", "visible-5"))},
			"max_tokens", 512,
		)
		require.NotContains(t, b.String(), "hunter2")
		for _, visible := range []string{"visible-1", "visible-2", "visible-3", "visible-4", "visible-5", "512"} {
			require.Contains(t, b.String(), visible)
		}
	}
}

func TestNewLogger_DoesNotChangeTheCallersMap(t *testing.T) {
	var b strings.Builder
	log, err := NewLogger(&b, "info", "text")
	require.NoError(t, err)
	h := http.Header{"Authorization": {"Bearer x"}}
	log.Info("called", "headers", h)
	require.Equal(t, "Bearer x", h.Get("Authorization"))
}

func TestNewLogger_TimesAreUTCWithMilliseconds(t *testing.T) {
	var b strings.Builder
	log, err := NewLogger(&b, "info", "json")
	require.NoError(t, err)
	at := time.Date(2030, 1, 2, 3, 4, 5, 60_000_000, time.FixedZone("east", 3600))
	require.NoError(t, log.Handler().Handle(context.Background(), slog.NewRecord(at, slog.LevelInfo, "m", 0)))
	var line map[string]any
	require.NoError(t, json.Unmarshal([]byte(b.String()), &line))
	require.Equal(t, "2030-01-02T02:04:05.060Z", line["time"])
}

func TestNewLogger_Levels(t *testing.T) {
	for i, level := range []string{"debug", "info", "warn", "error"} {
		var b strings.Builder
		log, err := NewLogger(&b, level, "text")
		require.NoError(t, err)
		for _, l := range []slog.Level{slog.LevelDebug, slog.LevelInfo, slog.LevelWarn, slog.LevelError} {
			log.Log(context.Background(), l, "m")
		}
		require.Equal(t, 4-i, strings.Count(b.String(), "\n"), level)
	}
	_, err := NewLogger(nil, "loud", "text")
	require.ErrorContains(t, err, "loud")
	_, err = NewLogger(nil, "info", "xml")
	require.ErrorContains(t, err, "xml")
}
