package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"quipu/examples/stub/service"
)

type options struct {
	binary string
	addr   string
	pace   time.Duration
	keep   bool
}

// demo is one showing: the two processes, and what the scenes hand to each other.
type demo struct {
	*screen
	root   string // of the repository
	server *server
	api    *api
	stub   string // host:port

	support, quality *trace
}

// stubAddr is where the examples expect the stub; the demo's own is on a free port.
const stubAddr = "127.0.0.1:9090"

// run plays all scenes. It leaves nothing behind.
func run(ctx context.Context, o options, s *screen) (err error) {
	began := time.Now()
	root, err := moduleRoot(ctx)
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "quipu-demo-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	if o.binary == "" {
		s.line("building the server …")
		o.binary = filepath.Join(dir, "quipu")
		if err := build(ctx, root, o.binary); err != nil {
			return err
		}
	} else if o.binary, err = filepath.Abs(o.binary); err != nil {
		return err
	}
	d := &demo{screen: s, root: root, server: &server{
		binary: o.binary, data: filepath.Join(dir, "data"), logFile: filepath.Join(dir, "server.log"), addr: o.addr,
	}}
	stop, err := d.startStub(o.pace)
	if err != nil {
		return err
	}
	defer stop()
	defer d.server.kill()
	if err := d.play(ctx); err != nil {
		return err
	}
	s.line("\n%s", s.paint(green, fmt.Sprintf("All as it should be, after %.1f s.", time.Since(began).Seconds())))
	return d.finish(ctx, o.keep)
}

// play shows one scene after another.
func (d *demo) play(ctx context.Context) error {
	for _, scene := range []func(context.Context) error{
		d.open, d.showSupport, d.showQuality, d.showCrash, d.showHistory, d.showPast, d.showStored, d.showViews, d.showBackup,
	} {
		if err := scene(ctx); err != nil {
			return err
		}
	}
	return nil
}

func (d *demo) startStub(pace time.Duration) (stop func(), err error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	stub := service.New()
	stub.Pace = pace
	outside := &http.Server{Handler: stub, ReadHeaderTimeout: 10 * time.Second}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = outside.Serve(listener)
	}()
	d.stub = listener.Addr().String()
	return func() {
		_ = outside.Close()
		<-done
	}, nil
}

func (d *demo) open(ctx context.Context) error {
	d.scene("A server, its data folder and a stub of the world outside")
	took, err := d.server.start(ctx)
	if err != nil {
		return err
	}
	d.api = newAPI(d.server.addr)
	d.line("   server http://%s, ready %d ms after its start; stub http://%s", d.server.addr, took.Milliseconds(), d.stub)
	return nil
}

// example reads a file of the folder examples and points it to the stub in use.
func (d *demo) example(name string) ([]byte, error) {
	b, err := os.ReadFile(filepath.Join(d.root, "examples", name))
	return bytes.ReplaceAll(b, []byte(stubAddr), []byte(d.stub)), err
}

// pipeline opens the socket, starts the run and prints its frames to the end.
func (d *demo) pipeline(ctx context.Context, file, flow, run string) (*trace, error) {
	body, err := d.example(file)
	if err != nil {
		return nil, err
	}
	d.command(fmt.Sprintf("./bin/quipu watch --server %s %s %s &", d.server.addr, flow, run))
	socket, err := dial(ctx, d.server.addr, flow, run, "")
	if err != nil {
		return nil, err
	}
	defer socket.close()
	d.command(fmt.Sprintf("curl http://%s/run-dag -d @examples/%s", d.server.addr, file))
	if _, err := d.api.runDAG(ctx, body); err != nil {
		return nil, err
	}
	d.frameHead()
	t := newTrace()
	return t, d.follow(socket, t, frame.ends)
}

// follow prints and keeps frames until one is the last wanted.
func (d *demo) follow(s *socket, t *trace, last func(frame) bool) error {
	for {
		f, err := s.next()
		if err != nil {
			return err
		}
		if err := t.add(f); err != nil {
			return err
		}
		d.frame(f)
		if last(f) {
			return nil
		}
	}
}

// finish stops the server and checks its log, or leaves it running until ctx ends.
func (d *demo) finish(ctx context.Context, keep bool) error {
	if keep {
		d.line("\nServer and stub keep running; Ctrl-C ends both and removes their data. Try:")
		d.hints()
		<-ctx.Done()
		return d.server.stop()
	}
	if err := d.server.stop(); err != nil {
		return err
	}
	out, err := d.quipu(ctx, "log", "verify", "--data", d.server.data)
	if err != nil {
		return err
	}
	d.line("The stopped server's log, every hash checked: %s", out)
	d.line("Go on by hand: make demo ARGS=-keep leaves all of this running. The README has the curl lines.")
	return nil
}

var errMissing = errors.New("not as expected")

// expect makes an error unless ok.
func expect(ok bool, format string, args ...any) error {
	if ok {
		return nil
	}
	return fmt.Errorf("%w: %s", errMissing, fmt.Sprintf(format, args...))
}
