package main

import (
	"fmt"
	"net"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gofiber/contrib/websocket"

	"quipu/bench/flows"
	"quipu/bench/report"
	"quipu/infra/embedded"
)

const broadcastSockets = 1_000

// burst is how many frames are under way at once where frames do not wait for each other.
const burst = 20

// broadcast compares one run's event to many sockets with a bare Fiber app that sends the same
// frame to as many. Both wait until all clients have what was sent before they send more.
func broadcast(b *bench) error {
	section := fmt.Sprintf("broadcast to %d sockets on one run", broadcastSockets)
	for _, frames := range []int{1, burst} {
		ours, frame, err := b.quipuBroadcast(frames)
		if err != nil {
			return err
		}
		bare, err := b.bareBroadcast(frames, frame)
		if err != nil {
			return err
		}
		b.report.Add(report.Row{
			Section: section, What: fmt.Sprintf("%d frames at a time", frames), Figure: ours, Unit: "frames/s", Raw: bare, RawUnit: "frames/s (bare Fiber)", Ratio: ours / bare,
			Target: report.RatioAtLeast(0.5), Note: fmt.Sprintf("frames of %d bytes; ours includes the append of each; clients in the same process", len(frame)),
		})
	}
	return b.idleSockets()
}

// audience are the sockets of a broadcast and their count of frames.
type audience struct {
	sockets []*flows.Socket
	due     atomic.Int64 // frames that the round still waits for
	round   chan struct{}
	failed  chan error
	wg      sync.WaitGroup
}

// newAudience opens the sockets and, on each, waits for as many frames as a newcomer is shown.
func newAudience(addr, path string, newcomer int) (*audience, error) {
	a := &audience{round: make(chan struct{}, 1), failed: make(chan error, broadcastSockets)}
	for range broadcastSockets {
		s, err := flows.DialSocket(addr, path, 4<<10)
		if err != nil {
			a.close()
			return nil, err
		}
		a.sockets = append(a.sockets, s)
		for range newcomer {
			if _, err := s.NextEvent(); err != nil {
				a.close()
				return nil, err
			}
		}
		a.wg.Go(func() { a.read(s) })
	}
	return a, nil
}

func (a *audience) read(s *flows.Socket) {
	for {
		if _, err := s.NextEvent(); err != nil {
			a.failed <- err
			return
		}
		if a.due.Add(-1) == 0 {
			a.round <- struct{}{}
		}
	}
}

// rounds repeats send, which makes so many frames for each socket, and returns the rate of frames.
func (a *audience) rounds(d time.Duration, frames int, send func() error) (float64, error) {
	start := time.Now()
	for n := 1; ; n++ {
		a.due.Store(int64(frames * len(a.sockets)))
		if err := send(); err != nil {
			return 0, err
		}
		select {
		case <-a.round:
		case err := <-a.failed:
			return 0, err
		case <-time.After(time.Minute):
			return 0, fmt.Errorf("%d frames of round %d did not arrive", a.due.Load(), n)
		}
		if took := time.Since(start); took >= d {
			return float64(n*frames*len(a.sockets)) / took.Seconds(), nil
		}
	}
}

func (a *audience) close() {
	for _, s := range a.sockets {
		s.Close()
	}
	a.wg.Wait()
}

func (b *bench) quipuBroadcast(frames int) (rate float64, frame []byte, err error) {
	dir, remove, err := b.temp()
	if err != nil {
		return 0, nil, err
	}
	defer remove()
	k, err := newKit(dir, embedded.Options{})
	if err != nil {
		return 0, nil, err
	}
	defer func() {
		if closed := k.close(); err == nil {
			err = closed
		}
	}()
	r, err := k.newRun("broadcast")
	if err != nil {
		return 0, nil, err
	}
	a, err := newAudience(k.addr, r.path(""), 1)
	if err != nil {
		return 0, nil, err
	}
	defer a.close()
	if rate, err = a.rounds(b.point(), frames, func() error {
		for range frames {
			if err := r.half(); err != nil {
				return err
			}
		}
		return nil
	}); err != nil {
		return 0, nil, err
	}
	s, err := flows.DialSocket(k.addr, r.path("?from=1"), 4<<10)
	if err != nil {
		return 0, nil, err
	}
	defer s.Close()
	payload, err := s.NextEvent()
	return rate, append([]byte(nil), payload...), err
}

func (b *bench) bareBroadcast(frames int, frame []byte) (float64, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	app := newApp()
	conns := make(chan *websocket.Conn, broadcastSockets)
	app.Get("/", websocket.New(func(c *websocket.Conn) {
		conns <- c
		for {
			if _, _, err := c.ReadMessage(); err != nil {
				return // the client is done
			}
		}
	}))
	go func() { _ = app.Listener(listener) }()                      // ends with Shutdown
	defer func() { _ = app.ShutdownWithTimeout(5 * time.Second) }() // its sockets are ours
	a, err := newAudience(listener.Addr().String(), "/", 0)
	if err != nil {
		return 0, err
	}
	defer a.close()
	all := make([]*websocket.Conn, 0, broadcastSockets)
	for range broadcastSockets {
		all = append(all, <-conns)
	}
	workers := runtime.GOMAXPROCS(0)
	return a.rounds(b.point(), frames, func() error {
		var wg sync.WaitGroup
		errs := make([]error, workers)
		for w := range workers {
			wg.Go(func() {
				for range frames {
					for i := w; i < len(all) && errs[w] == nil; i += workers {
						errs[w] = all[i].WriteMessage(websocket.TextMessage, frame)
					}
				}
			})
		}
		wg.Wait()
		for _, err := range errs {
			if err != nil {
				return err
			}
		}
		return nil
	})
}

const idleSockets = 5_000

// idleSockets measures what a socket that waits for a name's first run costs the real server.
func (b *bench) idleSockets() error {
	return b.withServer(func(s *flows.Server) error {
		before, err := s.SettledRSS()
		if err != nil {
			return err
		}
		for i := range idleSockets {
			c, err := flows.DialSocket(s.Addr, fmt.Sprintf("/ws/bench/idle%d", i), 512)
			if err != nil {
				return fmt.Errorf("socket %d: %w", i, err)
			}
			defer c.Close()
		}
		after, err := s.SettledRSS()
		if err != nil {
			return err
		}
		b.report.Add(report.Row{
			Section: "memory", What: fmt.Sprintf("an idle socket, of %d", idleSockets), Figure: float64(after-before) / idleSockets / 1000, Unit: "KB",
			Target: report.AtMost(25), Note: "growth of the process's resident memory; the kernel's buffers come on top",
		})
		return nil
	})
}
