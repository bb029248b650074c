package faultproxy

import (
	"errors"
	"io"
	"net"
	"time"
)

// pieceBytes is what is read at once.
const pieceBytes = 32 << 10

// pass carries the bytes of one direction until it ends. An orderly end is passed on as one, anything
// else resets both connections.
func (p *Proxy) pass(l *link, from, to net.Conn, up bool) {
	buf := make([]byte, pieceBytes)
	for {
		n, err := from.Read(buf)
		if n > 0 && !p.deliver(l, to, buf[:n], up) {
			l.reset()
			return
		}
		switch {
		case err == nil:
		case errors.Is(err, io.EOF) && !l.lost.Load():
			if tcp, ok := to.(*net.TCPConn); ok {
				_ = tcp.CloseWrite() // the other direction may go on
			}
			return
		default:
			l.reset()
			return
		}
	}
}

// deliver writes b as the faults in force allow; false if the connection is over.
func (p *Proxy) deliver(l *link, to net.Conn, b []byte, up bool) bool {
	for len(b) > 0 {
		f, changed := p.now()
		way := f.Down
		if up {
			way = f.Up
		}
		if way.Swallow {
			l.lost.Store(true)
			return true
		}
		if l.lost.Load() {
			return false // it cannot go on without what is lost
		}
		piece := b
		wait := way.Delay
		if way.BytesPerSecond > 0 {
			// In pieces of a fiftieth of a second, so that a change is noticed soon.
			piece = b[:min(len(b), max(1, way.BytesPerSecond/50))]
			wait += time.Duration(len(piece)) * time.Second / time.Duration(way.BytesPerSecond)
		}
		if wait > 0 && !p.wait(wait, changed) {
			select {
			case <-p.done:
				return false
			default:
			}
			continue // the faults have changed: look anew
		}
		if _, err := to.Write(piece); err != nil {
			return false
		}
		p.count(func(c *Counts) {
			if up {
				c.BytesUp += int64(len(piece))
			} else {
				c.BytesDown += int64(len(piece))
			}
		})
		b = b[len(piece):]
	}
	return true
}

// wait waits for d; false if the faults change or the proxy ends before.
func (p *Proxy) wait(d time.Duration, changed <-chan struct{}) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-changed:
	case <-p.done:
	}
	return false
}
