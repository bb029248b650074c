// Demo shows the product in a few seconds: it starts the server and a stub of the world outside on
// free loopback ports, runs the pipelines of the folder examples, kills the server in the middle of
// one, and asks for what happened.
//
//	go run ./examples/demo            what make demo does
//	go run ./examples/demo -keep      leave everything running until Ctrl-C
//
// It exits with 1 if anything is not as it should be.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"
)

func main() {
	var o options
	flag.StringVar(&o.binary, "binary", "", "server to run; empty builds one")
	flag.StringVar(&o.addr, "addr", "127.0.0.1:0", "host:port of the server; port 0 takes a free one")
	flag.DurationVar(&o.pace, "pace", 150*time.Millisecond, "how long an answer of the stub takes")
	flag.BoolVar(&o.keep, "keep", false, "leave server and stub running until Ctrl-C")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	err := run(ctx, o, newScreen(os.Stdout, isTerminal(os.Stdout)))
	switch {
	case err == nil:
	case ctx.Err() != nil:
		os.Exit(130) // what the interrupted step says is no fault
	default:
		fmt.Fprintln(os.Stderr, "demo:", err)
		os.Exit(1)
	}
}
