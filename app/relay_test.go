package app

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kfake"

	"quipu/app/stores"
	"quipu/infra/checkpoints"
	"quipu/infra/config"
	"quipu/infra/nats"
	"quipu/infra/nats/natstest"
)

const relayedRun = `{"flow_name":"Relay","run_name":"one","default_inputs":{"message":"hello"},"tasks":[
	{"name":"answer","tag":"agent","function":"call_lyzr_agent","params":{
		"config":{"model":"m","api_key":"hunter2hunter2"},"user_message":{"input":"message"}}}
]}`

// A whole server relays a run to NATS and to Kafka, with its secret out of sight; both were away at the start.
func TestRelay_FromARequestToTheTargets(t *testing.T) {
	const patience = time.Minute
	server := natstest.Start(t)
	server.Stop()
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1))
	require.NoError(t, err)
	t.Cleanup(cluster.Close)
	c := config.Default()
	c.Storage.Data, c.HTTP.Addr = t.TempDir(), "127.0.0.1:0"
	c.NATS.URL, c.Relay.NATS = config.Secret(server.URL()), true
	c.Kafka.Brokers, c.Relay.Kafka = cluster.ListenAddrs(), true
	s, err := open(t.Context(), c, testVersion, slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.run(ctx) }()
	base := "http://" + s.web.Listener.Addr().String()
	get := func(path string) string {
		r, err := http.Get(base + path)
		if err != nil {
			return ""
		}
		defer r.Body.Close() //nolint:errcheck // read
		var b bytes.Buffer
		_, _ = b.ReadFrom(r.Body)
		return b.String()
	}
	require.Eventually(t, func() bool { return strings.Contains(get("/health/ready"), `"nats":{"status":"degraded"`) }, patience, 10*time.Millisecond,
		"it serves, and says what is away")
	r, err := http.Post(base+"/run-dag", "application/json", strings.NewReader(relayedRun))
	require.NoError(t, err)
	require.NoError(t, r.Body.Close())
	require.Equal(t, http.StatusOK, r.StatusCode)
	server.Restart()

	conn, err := nats.Connect(nats.Options{URLs: server.URL()})
	require.NoError(t, err)
	defer conn.Close()
	js, err := jetstream.New(conn)
	require.NoError(t, err)
	var types []string
	require.Eventually(t, func() bool {
		types = nil
		stream, err := js.Stream(t.Context(), "quipu-run")
		if err != nil {
			return false
		}
		for seq := uint64(1); ; seq++ {
			m, err := stream.GetMsg(t.Context(), seq)
			if err != nil {
				return len(types) > 0 && types[len(types)-1] == "quipu.run.completed.v1"
			}
			var e event.Event
			require.NoError(t, json.Unmarshal(m.Data, &e))
			require.NotContains(t, string(m.Data), "hunter2hunter2", "no secret leaves in clear")
			require.Equal(t, string(s.log.ID()), e.Source())
			require.Equal(t, e.ID(), m.Header.Get("Nats-Msg-Id"))
			types = append(types, e.Type())
		}
	}, patience, 20*time.Millisecond, "the run is at NATS")
	require.Equal(t, "quipu.run.started.v1", types[0])

	require.Eventually(t, func() bool {
		return strings.Contains(get("/metrics"), `quipu_feed_lag_positions{consumer="relay:kafka"} 0`) &&
			strings.Contains(get("/metrics"), `quipu_feed_lag_positions{consumer="relay:nats"} 0`) &&
			strings.Contains(get("/health/ready"), `"relay_nats":{"status":"ok"}`)
	}, patience, 20*time.Millisecond, "both are at the end of the log")
	for _, relay := range []string{"nats", "kafka"} {
		require.Regexp(t, `quipu_relay_events_total\{relay="`+relay+`"\} [1-9]`, get("/metrics"))
	}
	head, err := s.log.Head(t.Context())
	require.NoError(t, err)
	stop()
	select {
	case err := <-done:
		require.NoError(t, err)
	case <-time.After(patience):
		require.FailNow(t, "the server did not stop")
	}
	saved, err := checkpoints.Open(filepath.Join(c.Storage.Data, stores.CheckpointsFolder), s.log.ID())
	require.NoError(t, err)
	for _, relay := range []string{"relay:nats", "relay:kafka"} {
		at, err := saved.Load(t.Context(), relay)
		require.NoError(t, err)
		require.Equal(t, head, at, "what was done is saved at the end")
	}
}
