package browsertest

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"sync"
)

// devtools speaks Chromium's DevTools protocol over a pair of pipes: JSON messages, each ended by a
// NUL byte. Safe for concurrent use.
// Source: https://chromedevtools.github.io/devtools-protocol, flag --remote-debugging-pipe.
type devtools struct {
	out io.Writer

	mu       sync.Mutex
	next     int
	waiting  map[int]chan message
	sessions map[string]func(method string, params json.RawMessage)
	err      error // set when the browser has gone
}

// message is what the browser sends: an answer if it has an id, else an event.
type message struct {
	ID        int             `json:"id"`
	SessionID string          `json:"sessionId"`
	Method    string          `json:"method"`
	Params    json.RawMessage `json:"params"`
	Result    json.RawMessage `json:"result"`
	Error     *struct {
		Message string `json:"message"`
		Data    string `json:"data"`
	} `json:"error"`
}

func newDevtools(out io.Writer, in io.Reader) *devtools {
	d := &devtools{out: out, waiting: map[int]chan message{}, sessions: map[string]func(string, json.RawMessage){}}
	go d.read(in)
	return d
}

// read hands answers to who waits for them and events to their session, in the order they come.
func (d *devtools) read(in io.Reader) {
	r := bufio.NewReaderSize(in, 64<<10)
	for {
		raw, err := r.ReadBytes(0)
		if err != nil {
			d.fail(fmt.Errorf("chromium is gone: %w", err))
			return
		}
		var m message
		if err := json.Unmarshal(raw[:len(raw)-1], &m); err != nil {
			d.fail(fmt.Errorf("chromium said %q: %w", raw, err))
			return
		}
		d.mu.Lock()
		answer := d.waiting[m.ID]
		delete(d.waiting, m.ID)
		event := d.sessions[m.SessionID]
		d.mu.Unlock()
		switch {
		case m.ID != 0 && answer != nil:
			answer <- m
		case m.ID == 0 && event != nil:
			event(m.Method, m.Params)
		}
	}
}

func (d *devtools) fail(err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.err = err
	for id, answer := range d.waiting {
		close(answer)
		delete(d.waiting, id)
	}
}

// follow has the events of a session passed to f, one at a time; f must not call the browser.
func (d *devtools) follow(session string, f func(method string, params json.RawMessage)) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.sessions[session] = f
}

// call sends a command to a session, or to the browser itself if session is empty, and decodes its
// result into `into` unless that is nil.
func (d *devtools) call(ctx context.Context, session, method string, params, into any) error {
	answer := make(chan message, 1)
	d.mu.Lock()
	if d.err != nil {
		defer d.mu.Unlock()
		return d.err
	}
	d.next++
	id := d.next
	d.waiting[id] = answer
	raw, err := json.Marshal(struct {
		ID        int    `json:"id"`
		SessionID string `json:"sessionId,omitempty"`
		Method    string `json:"method"`
		Params    any    `json:"params,omitempty"`
	}{id, session, method, params})
	if err == nil {
		_, err = d.out.Write(append(raw, 0)) // under mu: messages must not mingle
	}
	d.mu.Unlock()
	if err != nil {
		return fmt.Errorf("%s: %w", method, err)
	}
	select {
	case m, ok := <-answer:
		if !ok {
			return fmt.Errorf("%s: %w", method, d.gone())
		}
		if m.Error != nil {
			return fmt.Errorf("%s: %s %s", method, m.Error.Message, m.Error.Data)
		}
		if into == nil {
			return nil
		}
		return json.Unmarshal(m.Result, into)
	case <-ctx.Done():
		return fmt.Errorf("%s: %w", method, ctx.Err())
	}
}

func (d *devtools) gone() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.err
}
