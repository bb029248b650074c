package faultproxy

import (
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// Way is what happens to the bytes of one direction. The zero value lets them pass.
type Way struct {
	// Delay is how long bytes are held back, those read at once together; order is kept.
	Delay time.Duration
	// BytesPerSecond slows the direction down; 0 does not.
	BytesPerSecond int
	// Swallow takes bytes and passes none on, while the connection stays open. Bytes taken are lost:
	// when it ends, connections that lost any are reset, as TCP would never go on without them.
	Swallow bool
}

// Faults are the state of the network. The zero value is a good one.
type Faults struct {
	Up, Down Way // from the client to the target, and back
	// Refuse resets new connections at once; open ones go on.
	Refuse bool
}

// Counts say what has come through so far.
type Counts struct {
	Accepted, Refused, Cut int64
	BytesUp, BytesDown     int64
	Open                   int
}

// Proxy is a TCP proxy. All methods are safe for concurrent use.
type Proxy struct {
	listener net.Listener
	target   atomic.Pointer[string]
	group    sync.WaitGroup
	done     chan struct{} // closed by Close

	mu      sync.Mutex
	faults  Faults
	changed chan struct{} // closed and replaced when faults change
	links   map[*link]bool
	counts  Counts
	closed  bool
}

// link is one connection of a client and the one to the target.
type link struct {
	client, target net.Conn
	lost           atomic.Bool // bytes were swallowed
}

// New starts a proxy in front of target (host:port), which may be empty until SetTarget; Close it.
func New(target string) (*Proxy, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	p := &Proxy{listener: listener, done: make(chan struct{}), changed: make(chan struct{}), links: map[*link]bool{}}
	p.SetTarget(target)
	p.group.Go(p.accept)
	return p, nil
}

// Addr is where clients connect to.
func (p *Proxy) Addr() string { return p.listener.Addr().String() }

// SetTarget changes where new connections go.
func (p *Proxy) SetTarget(target string) { p.target.Store(&target) }

// Set makes the network as f says, at once.
func (p *Proxy) Set(f Faults) {
	p.mu.Lock()
	var dead []*link
	for l := range p.links {
		if l.lost.Load() && !f.Up.Swallow && !f.Down.Swallow {
			dead = append(dead, l)
		}
	}
	p.faults = f
	close(p.changed)
	p.changed = make(chan struct{})
	p.mu.Unlock()
	for _, l := range dead {
		l.reset()
	}
}

// Heal makes the network good again.
func (p *Proxy) Heal() { p.Set(Faults{}) }

// Cut resets every open connection, as a firewall that forgets them does, and returns how many.
func (p *Proxy) Cut() int {
	p.mu.Lock()
	var links []*link
	for l := range p.links {
		links = append(links, l)
	}
	p.counts.Cut += int64(len(links))
	p.mu.Unlock()
	for _, l := range links {
		l.reset()
	}
	return len(links)
}

// Part is a network that is cut: new connections are refused, open ones reset.
func (p *Proxy) Part() {
	p.Set(Faults{Refuse: true})
	p.Cut()
}

// HalfOpen is a network that takes everything and delivers nothing, without anybody being told.
func (p *Proxy) HalfOpen() { p.Set(Faults{Up: Way{Swallow: true}, Down: Way{Swallow: true}}) }

// Counts returns what has come through so far.
func (p *Proxy) Counts() Counts {
	p.mu.Lock()
	defer p.mu.Unlock()
	c := p.counts
	c.Open = len(p.links)
	return c
}

// Close ends everything and waits for it. A second Close does nothing.
func (p *Proxy) Close() error {
	p.mu.Lock()
	if p.closed {
		p.mu.Unlock()
		return nil
	}
	p.closed = true
	p.mu.Unlock()
	close(p.done)
	err := p.listener.Close()
	p.Cut()
	p.group.Wait()
	return err
}

func (p *Proxy) accept() {
	for {
		conn, err := p.listener.Accept()
		if err != nil {
			if errors.Is(err, net.ErrClosed) {
				return
			}
			continue // a client that was gone before it was taken
		}
		p.group.Go(func() { p.serve(conn) })
	}
}

// dialTimeout also bounds how long Close waits.
const dialTimeout = 5 * time.Second

func (p *Proxy) serve(client net.Conn) {
	l := &link{client: client}
	if f, _ := p.now(); f.Refuse {
		p.count(func(c *Counts) { c.Refused++ })
		l.reset()
		return
	}
	target, err := net.DialTimeout("tcp", *p.target.Load(), dialTimeout)
	if err != nil { // what the client would see without us, but for the accept
		p.count(func(c *Counts) { c.Refused++ })
		l.reset()
		return
	}
	l.target = target
	p.mu.Lock()
	p.links[l] = true
	p.counts.Accepted++
	closed := p.closed
	p.mu.Unlock()
	if closed {
		l.reset()
	}
	var both sync.WaitGroup
	both.Go(func() { p.pass(l, client, target, true) })
	both.Go(func() { p.pass(l, target, client, false) })
	both.Wait()
	p.mu.Lock()
	delete(p.links, l)
	p.mu.Unlock()
	l.close()
}

// now returns the faults in force and what is closed when they change.
func (p *Proxy) now() (Faults, <-chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.faults, p.changed
}

func (p *Proxy) count(f func(*Counts)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	f(&p.counts)
}

func (l *link) close() {
	_ = l.client.Close()
	if l.target != nil {
		_ = l.target.Close()
	}
}

// reset ends both connections with an RST, so that neither side takes it for an orderly end.
func (l *link) reset() {
	for _, c := range []net.Conn{l.client, l.target} {
		if tcp, ok := c.(*net.TCPConn); ok {
			_ = tcp.SetLinger(0) // the connection may be gone already
			_ = tcp.Close()
		}
	}
}
