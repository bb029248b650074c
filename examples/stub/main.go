// Stub is the world outside for the examples: a model, a CRM, notifications and a data source on
// one loopback port, with deterministic answers.
//
//	go run ./examples/stub -addr 127.0.0.1:9090
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/signal"
	"time"

	"quipu/examples/stub/service"
)

func main() {
	addr := flag.String("addr", "127.0.0.1:9090", "host:port to serve on")
	pace := flag.Duration("pace", 150*time.Millisecond, "how long an answer takes; a model's takes twice that")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := serve(ctx, *addr, *pace); err != nil {
		fmt.Fprintln(os.Stderr, "stub:", err)
		os.Exit(1)
	}
}

func serve(ctx context.Context, addr string, pace time.Duration) error {
	listener, err := net.Listen("tcp", addr)
	if err != nil {
		return fmt.Errorf("%w (choose another port with -addr)", err)
	}
	fmt.Printf("stub serves http://%s/ (GET / lists its routes)\n", listener.Addr())
	stub := service.New()
	stub.Pace = pace
	server := &http.Server{Handler: stub, ReadHeaderTimeout: 10 * time.Second}
	context.AfterFunc(ctx, func() { _ = server.Close() })
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}
