package flows

import (
	"bytes"
	"net"
	"time"
)

// Stub is an HTTP server on the loopback that answers every GET with {"ok":true}.
type Stub struct {
	// OnCall is told when a request has come in; set before the first, may be nil.
	OnCall   func(time.Time)
	listener net.Listener
}

// NewStub starts a stub.
func NewStub() (*Stub, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	s := &Stub{listener: l}
	go s.accept()
	return s, nil
}

// URL is where it answers.
func (s *Stub) URL() string { return "http://" + s.listener.Addr().String() + "/step" }

// Close stops taking connections; those open end with their clients.
func (s *Stub) Close() { _ = s.listener.Close() }

func (s *Stub) accept() {
	for {
		conn, err := s.listener.Accept()
		if err != nil {
			return // closed
		}
		go s.serve(conn)
	}
}

var (
	stubAnswer = []byte("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 11\r\n\r\n{\"ok\":true}")
	headEnd    = []byte("\r\n\r\n")
)

// serve relies on requests without bodies that wait for their answer.
func (s *Stub) serve(conn net.Conn) {
	defer func() { _ = conn.Close() }()
	buf := make([]byte, 8<<10)
	n := 0
	for {
		m, err := conn.Read(buf[n:])
		if err != nil {
			return // the client is done
		}
		if n += m; !bytes.HasSuffix(buf[:n], headEnd) {
			continue
		}
		n = 0
		if s.OnCall != nil {
			s.OnCall(time.Now())
		}
		if _, err := conn.Write(stubAnswer); err != nil {
			return
		}
	}
}
