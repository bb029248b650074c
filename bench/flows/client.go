package flows

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"time"
)

// Client is one kept-alive HTTP/1.1 connection to a server. It belongs to one goroutine.
type Client struct {
	addr string
	conn net.Conn
	r    *bufio.Reader
	out  []byte
	body []byte
}

// Dial connects a client.
func Dial(addr string) (*Client, error) {
	conn, err := net.DialTimeout("tcp", addr, 5*time.Second)
	if err != nil {
		return nil, err
	}
	return &Client{addr: addr, conn: conn, r: bufio.NewReaderSize(conn, 4<<10)}, nil
}

// Close closes the connection.
func (c *Client) Close() { _ = c.conn.Close() }

// StatusError is an answer that is not 200.
type StatusError struct {
	Status int
	Body   string
}

func (e *StatusError) Error() string { return fmt.Sprintf("status %d: %s", e.Status, e.Body) }

// Get asks for path. The answer's body is valid until the next request.
func (c *Client) Get(path string) ([]byte, error) {
	c.out = append(append(c.out[:0], "GET "...), path...)
	c.out = append(append(append(c.out, " HTTP/1.1\r\nHost: "...), c.addr...), "\r\n\r\n"...)
	return c.exchange()
}

// Post sends a JSON body to path. The answer's body is valid until the next request.
func (c *Client) Post(path string, body []byte) ([]byte, error) {
	c.out = append(append(c.out[:0], "POST "...), path...)
	c.out = append(append(c.out, " HTTP/1.1\r\nContent-Type: application/json\r\nHost: "...), c.addr...)
	c.out = strconv.AppendInt(append(c.out, "\r\nContent-Length: "...), int64(len(body)), 10)
	c.out = append(append(c.out, "\r\n\r\n"...), body...)
	return c.exchange()
}

var (
	lengthHeader = []byte("Content-Length:")
	errNoLength  = errors.New("answer without a Content-Length")
)

func (c *Client) exchange() ([]byte, error) {
	if _, err := c.conn.Write(c.out); err != nil {
		return nil, err
	}
	line, err := c.r.ReadSlice('\n')
	if err != nil {
		return nil, err
	}
	if len(line) < 12 {
		return nil, fmt.Errorf("status line %q", line)
	}
	status, err := strconv.Atoi(string(line[9:12]))
	if err != nil {
		return nil, fmt.Errorf("status line %q", line)
	}
	length := -1
	for {
		if line, err = c.r.ReadSlice('\n'); err != nil {
			return nil, err
		}
		if len(line) <= 2 {
			break
		}
		if value, ok := bytes.CutPrefix(line, lengthHeader); ok {
			if length, err = strconv.Atoi(string(bytes.TrimSpace(value))); err != nil {
				return nil, err
			}
		}
	}
	if length < 0 {
		return nil, errNoLength
	}
	if cap(c.body) < length {
		c.body = make([]byte, length)
	}
	c.body = c.body[:length]
	if _, err := io.ReadFull(c.r, c.body); err != nil {
		return nil, err
	}
	if status != 200 {
		return nil, &StatusError{Status: status, Body: string(c.body)}
	}
	return c.body, nil
}

var taskIDKey = []byte(`"task_id":"`)

// Start starts the flow in body and returns its run's id. The answer means that the start is on
// disk.
func (c *Client) Start(body []byte) (string, error) {
	answer, err := c.Post("/run-dag", body)
	if err != nil {
		return "", err
	}
	_, rest, found := bytes.Cut(answer, taskIDKey)
	id, _, closed := bytes.Cut(rest, []byte{'"'})
	if !found || !closed {
		return "", fmt.Errorf("no task_id in %q", answer)
	}
	return string(id), nil
}

var completed = []byte(`{"status":"completed"`)

// Wait returns when the run has completed.
func (c *Client) Wait(id string) error {
	answer, err := c.Get("/task-status/" + id + "?wait=60s")
	if err != nil {
		return err
	}
	if !bytes.HasPrefix(answer, completed) {
		return fmt.Errorf("run %s: %s", id, answer)
	}
	return nil
}
