package web

import (
	"net"
	"testing"
	"time"

	"github.com/gofiber/fiber/v2"
	"github.com/stretchr/testify/require"

	"quipu/app/process"
	"quipu/infra/telemetry"
)

// A signal may come between the moment that a server says it serves and the moment that it does.
func TestServer_StopsBeforeItServes(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	s := &Server{Process: process.Process{Health: telemetry.NewHealth()}, App: fiber.New(fiber.Config{DisableStartupMessage: true}), Listener: listener}
	require.NoError(t, s.Drain(t.Context()))
	served := make(chan error, 1)
	go func() { served <- s.Serve(t.Context(), t.Context()) }()
	select {
	case err := <-served:
		require.NoError(t, err)
	case <-time.After(time.Minute):
		t.Fatal("the server still serves")
	}
}
