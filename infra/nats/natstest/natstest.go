// Package natstest runs a NATS server with JetStream inside a test.
package natstest

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/stretchr/testify/require"
)

// startMax bounds the wait for a server to take connections.
const startMax = 20 * time.Second

// Server is a real NATS server whose streams are files in the test's folder. It keeps its port over
// a restart. Safe for concurrent use.
type Server struct {
	t       testing.TB
	options server.Options

	mu      sync.Mutex
	running *server.Server
}

// Start starts a server on a free port of 127.0.0.1; the end of the test stops it. change may set
// further options.
func Start(t testing.TB, change ...func(*server.Options)) *Server {
	t.Helper()
	s := &Server{t: t, options: server.Options{
		ServerName: "natstest", Host: "127.0.0.1", Port: server.RANDOM_PORT,
		JetStream: true, StoreDir: t.TempDir(), NoLog: true, NoSigs: true,
	}}
	s.Restart(change...)
	t.Cleanup(s.Stop)
	return s
}

// URL is where the server listens, or did and will again.
func (s *Server) URL() string { return fmt.Sprintf("nats://127.0.0.1:%d", s.options.Port) }

// Stop shuts the server down, cutting its connections. Streams stay on disk. Idempotent.
func (s *Server) Stop() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.running != nil {
		s.running.Shutdown()
		s.running.WaitForShutdown()
		s.running = nil
	}
}

// Restart starts the server again on its port with the streams it had, stopping it first if it runs.
// change may set options that hold from then on.
func (s *Server) Restart(change ...func(*server.Options)) {
	s.t.Helper()
	s.Stop()
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, f := range change {
		f(&s.options)
	}
	options := s.options // the server writes to its options
	running, err := server.NewServer(&options)
	require.NoError(s.t, err)
	running.Start()
	if !running.ReadyForConnections(startMax) {
		running.Shutdown()
		require.FailNow(s.t, "the NATS server took no connections", "within %v", startMax)
	}
	s.options.Port = options.Port
	s.running = running
}
