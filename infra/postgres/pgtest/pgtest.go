//go:build unix

package pgtest

import (
	"context"
	"sync"
	"testing"
	"time"
)

const databaseTimeout = 30 * time.Second // of making or removing one; 0.1 s on an idle machine

// shared is the server of this test binary; its watcher ends it.
var shared struct {
	once   sync.Once
	server *Server
	err    error
}

// Shared returns the server of this test binary, which is started by the first caller and ends with
// the binary. Leave it running: other tests use it.
func Shared(tb testing.TB) *Server {
	tb.Helper()
	shared.once.Do(func() { shared.server, shared.err = Launch(Options{}) })
	if shared.err != nil {
		tb.Fatalf("no PostgreSQL server for the tests: %v", shared.err)
	}
	return shared.server
}

// URL returns the URL of an empty database of this test, on the shared server. It is removed with the
// test.
func URL(tb testing.TB) string {
	tb.Helper()
	return Database(tb, Shared(tb))
}

// Start starts a server of this test alone, to be stopped, killed or filled. It ends with the test.
func Start(tb testing.TB, o Options) *Server {
	tb.Helper()
	s, err := Launch(o)
	if err != nil {
		tb.Fatalf("no PostgreSQL server for the test: %v", err)
	}
	tb.Cleanup(func() {
		if tb.Failed() {
			tb.Logf("the server's log:\n%s", s.Log())
		}
		if err := s.Close(); err != nil {
			tb.Errorf("close the PostgreSQL server: %v", err)
		}
	})
	return s
}

// Database makes an empty database on s and returns its URL. It is removed with the test, if s still
// runs then.
func Database(tb testing.TB, s *Server) string {
	tb.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), databaseTimeout)
	defer cancel()
	url, drop, err := s.Database(ctx)
	if err != nil {
		tb.Fatalf("make a database: %v", err)
	}
	tb.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), databaseTimeout)
		defer cancel()
		if err := drop(ctx); err != nil && s.running() {
			tb.Errorf("remove the test's database: %v", err)
		}
	})
	return url
}

func (s *Server) running() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.cmd != nil
}
