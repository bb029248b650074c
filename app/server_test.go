package app

import (
	"log/slog"
	"testing"

	"github.com/stretchr/testify/require"

	"quipu/app/stores"
	"quipu/domain"
	"quipu/infra/config"
	"quipu/infra/embedded"
)

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
		require.NoError(t, s.web.Listener.Close())
		require.NoError(t, s.close())
	})
	require.EqualValues(t, 1, s.views.Freshness().Seen())
}
