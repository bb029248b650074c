package flows

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"
)

// Socket is a WebSocket client that reads as cheaply as it can and answers pings. It belongs to one
// goroutine, but for Close.
type Socket struct {
	conn net.Conn
	r    *bufio.Reader
	body []byte
}

// Opcodes of RFC 6455 section 5.2.
const (
	opText  = 1
	opClose = 8
	opPing  = 9
)

// DialSocket opens a socket on path. buffer is the size of its read buffer; sockets that are only
// held need little.
func DialSocket(addr, path string, buffer int) (*Socket, error) {
	conn, err := net.DialTimeout("tcp", addr, 5*time.Second)
	if err != nil {
		return nil, err
	}
	s := &Socket{conn: conn, r: bufio.NewReaderSize(conn, buffer)}
	if err := s.upgrade(addr, path); err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

func (s *Socket) upgrade(addr, path string) error {
	if _, err := fmt.Fprintf(s.conn, "GET %s HTTP/1.1\r\nHost: %s\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"+
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n", path, addr); err != nil {
		return err
	}
	resp, err := http.ReadResponse(s.r, nil)
	if err != nil {
		return err
	}
	if resp.StatusCode != http.StatusSwitchingProtocols {
		b, _ := io.ReadAll(io.LimitReader(resp.Body, 1024)) // only says more
		return &StatusError{Status: resp.StatusCode, Body: string(b)}
	}
	return nil
}

// Close cuts the connection.
func (s *Socket) Close() { _ = s.conn.Close() }

// Next waits for a text frame. The payload is valid until the next call.
func (s *Socket) Next() ([]byte, error) {
	for {
		op, err := s.frame()
		if err != nil {
			return nil, err
		}
		switch op {
		case opText:
			return s.body, nil
		case opPing:
			// Clients' frames are masked; a mask of zeros leaves the payload as it is.
			pong := append([]byte{0x8a, 0x80 | byte(len(s.body)), 0, 0, 0, 0}, s.body...)
			if _, err := s.conn.Write(pong); err != nil {
				return nil, err
			}
		case opClose:
			return nil, fmt.Errorf("closed by the server: %q", s.body)
		}
	}
}

// frame reads a whole, unmasked frame into body.
func (s *Socket) frame() (op byte, err error) {
	var head [10]byte
	if _, err := io.ReadFull(s.r, head[:2]); err != nil {
		return 0, err
	}
	n := uint64(head[1])
	switch n {
	case 126:
		if _, err := io.ReadFull(s.r, head[2:4]); err != nil {
			return 0, err
		}
		n = uint64(binary.BigEndian.Uint16(head[2:]))
	case 127:
		if _, err := io.ReadFull(s.r, head[2:10]); err != nil {
			return 0, err
		}
		n = binary.BigEndian.Uint64(head[2:])
	}
	if uint64(cap(s.body)) < n {
		s.body = make([]byte, n)
	}
	s.body = s.body[:n]
	_, err = io.ReadFull(s.r, s.body)
	return head[0] & 0x0f, err
}

var offsetKey = []byte(`"offset":`)

// IsEvent reports whether a payload shows an event, which keepalives do not.
func IsEvent(payload []byte) bool { return bytes.Contains(payload, offsetKey) }

// NextEvent is Next for frames that show an event.
func (s *Socket) NextEvent() ([]byte, error) {
	for {
		payload, err := s.Next()
		if err != nil || IsEvent(payload) {
			return payload, err
		}
	}
}
