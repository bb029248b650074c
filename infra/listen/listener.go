package listen

import (
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// What Close waits for at most, when clients come faster than the server accepts them or it has
// stopped accepting, and how often it looks.
const (
	drainMax  = time.Second
	drainPoll = time.Millisecond
)

type listener struct {
	*net.TCPListener

	accepting, closing atomic.Bool
	once               sync.Once
	err                error
}

// TCP listens at host:port. The listener's Close leaves no completed connection behind: it waits until
// each has been accepted, at most a second. What completes in the microseconds between the last look and
// the end is still reset. A listener that nobody accepts from is closed at once. Only Linux tells whether
// connections wait; elsewhere Close is that of package net.
func TCP(addr string) (net.Listener, error) {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, err
	}
	return &listener{TCPListener: l.(*net.TCPListener)}, nil
}

// Accept waits for the next connection; until it returns an error, the caller is taken to accept whatever comes.
func (l *listener) Accept() (net.Conn, error) {
	l.accepting.Store(true)
	c, err := l.TCPListener.Accept()
	if err == nil {
		return c, nil
	}
	l.accepting.Store(false)
	if l.closing.Load() { // a socket that was shut says that it cannot accept
		err = net.ErrClosed
	}
	return nil, err
}

func (l *listener) Close() error {
	l.once.Do(func() {
		l.closing.Store(true)
		if l.accepting.Load() {
			l.drain()
		}
		l.err = l.TCPListener.Close()
	})
	return l.err
}

func (l *listener) drain() {
	raw, err := l.SyscallConn()
	if err != nil {
		return
	}
	look, limit := time.NewTicker(drainPoll), time.NewTimer(drainMax)
	defer look.Stop()
	defer limit.Stop()
	for !shutIfIdle(raw) {
		select {
		case <-look.C:
		case <-limit.C:
			return
		}
	}
}
