package main

import (
	"net"
	"testing"
	"time"

	"github.com/gofiber/fiber/v2"
	"github.com/stretchr/testify/require"

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
	case <-time.After(10 * time.Second):
		t.Fatal("the server still serves")
	}
}
