package app

import (
	"log/slog"
	"net"
	"testing"
	"time"

	"github.com/gofiber/fiber/v2"
	"github.com/stretchr/testify/require"

	"quipu/app/stores"
	"quipu/domain"
	"quipu/infra/config"
	"quipu/infra/embedded"
	"quipu/infra/telemetry"
)

// A signal may come between the moment that a server says it serves and the moment that it does.
func TestServer_StopsBeforeItServes(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	s := &server{app: fiber.New(fiber.Config{DisableStartupMessage: true}), listener: listener, health: telemetry.NewHealth()}
	require.NoError(t, s.drainHTTP(t.Context()))
	served := make(chan error, 1)
	go func() { served <- s.serveHTTP(t.Context(), t.Context()) }()
	select {
	case err := <-served:
		require.NoError(t, err)
	case <-time.After(60 * time.Second):
		t.Fatal("the server still serves")
	}
}

// A client may come back before the feed has connected: what an earlier process acknowledged to it counts
// as seen from the first moment on, or a list without it would be called fresh.
func TestServer_HasSeenWhatIsInItsLog(t *testing.T) {
	c := config.Default()
	c.Storage.Data, c.HTTP.Addr = t.TempDir(), "127.0.0.1:0"
	log, err := embedded.Open(stores.LogDir(c.Storage.Data), embedded.Options{})
	require.NoError(t, err)
	_, err = log.Append(t.Context(), "other", domain.NoStream, []domain.Pending{{ID: domain.EventID{1}, Type: "other.v1", Data: []byte("{}"), Metadata: []byte("{}")}})
	require.NoError(t, err)
	require.NoError(t, log.Close())
	s, err := open(t.Context(), c, testVersion, slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	t.Cleanup(func() {
		require.NoError(t, s.listener.Close())
		require.NoError(t, s.close())
	})
	require.EqualValues(t, 1, freshness{s.views, &s.acknowledged, &s.published}.Seen())
}
