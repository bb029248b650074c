// Package porttest starts the protocol port over a log for tests: on a free port of this machine,
// without TLS, and stoppable and startable again at the same address.
package porttest

import (
	"context"
	"net"
	"sync"
	"testing"
	"time"

	"quipu/commands"
	"quipu/infra/kurrentport"
)

// stopTimeout is how long Stop waits for calls in progress.
const stopTimeout = 5 * time.Second

// Port is a running port.
type Port struct {
	tb   testing.TB
	log  commands.Log
	opts kurrentport.Options

	mu     sync.Mutex
	addr   string
	server *kurrentport.Server
	served chan error
}

// Start serves log on a free port until the test ends. Quipu's own streams are writable unless
// change says otherwise; change may set any option. The log is left to the caller, who may exchange
// it with Use while the port is stopped.
func Start(tb testing.TB, log commands.Log, change ...func(*kurrentport.Options)) *Port {
	tb.Helper()
	p := &Port{tb: tb, log: log, addr: "127.0.0.1:0", opts: kurrentport.Options{OwnWritable: true}}
	for _, f := range change {
		f(&p.opts)
	}
	p.Restart()
	tb.Cleanup(p.Kill)
	return p
}

// Addr returns host and port.
func (p *Port) Addr() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.addr
}

// URL returns the connection string of a client without TLS.
func (p *Port) URL() string { return "esdb://" + p.Addr() + "?tls=false" }

// DiscoverURL is URL by gossip.
func (p *Port) DiscoverURL() string { return "esdb+discover://" + p.Addr() + "?tls=false" }

// Server returns what serves now, nil while stopped.
func (p *Port) Server() *kurrentport.Server {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.server
}

// Use makes the next Restart serve another log.
func (p *Port) Use(log commands.Log) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.log = log
}

// Restart serves again at the same address, after Stop or Kill; it stops first if need be.
func (p *Port) Restart() {
	p.tb.Helper()
	p.Stop()
	p.mu.Lock()
	defer p.mu.Unlock()
	server, err := kurrentport.New(p.log, p.opts)
	if err != nil {
		p.tb.Fatalf("protocol port: %v", err)
	}
	l, err := net.Listen("tcp", p.addr)
	if err != nil {
		p.tb.Fatalf("protocol port: %v", err)
	}
	served := make(chan error, 1)
	go func() { served <- server.Serve(l) }()
	p.addr, p.server, p.served = l.Addr().String(), server, served
}

// Stop ends it in order: clients are told, subscriptions end, appends in progress are answered.
func (p *Port) Stop() {
	p.end(func(s *kurrentport.Server) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(p.tb.Context()), stopTimeout)
		defer cancel()
		if err := s.Shutdown(ctx); err != nil {
			p.tb.Logf("protocol port: calls were cut off after %v: %v", stopTimeout, err)
		}
	})
}

// Kill cuts every connection at once.
func (p *Port) Kill() { p.end((*kurrentport.Server).Close) }

func (p *Port) end(stop func(*kurrentport.Server)) {
	p.mu.Lock()
	server, served := p.server, p.served
	p.server = nil
	p.mu.Unlock()
	if server == nil {
		return
	}
	stop(server)
	if err := <-served; err != nil {
		p.tb.Errorf("protocol port: %v", err)
	}
}
