package faultproxy_test

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"quipu/internal/faultproxy"
)

// echo is a server that sends back what it gets, and says how connections ended.
type echo struct {
	addr string
	ends chan error // nil: in order
}

func newEcho(t *testing.T) *echo {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	e := &echo{addr: listener.Addr().String(), ends: make(chan error, 16)}
	var group sync.WaitGroup
	group.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			group.Go(func() {
				_, err := io.Copy(conn, conn)
				_ = conn.Close()
				e.ends <- err
			})
		}
	})
	t.Cleanup(func() {
		_ = listener.Close()
		group.Wait()
	})
	return e
}

func proxied(t *testing.T) (*faultproxy.Proxy, *echo) {
	t.Helper()
	e := newEcho(t)
	p, err := faultproxy.New(e.addr)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, p.Close()) })
	return p, e
}

const limit = time.Minute

func dial(t *testing.T, p *faultproxy.Proxy) *net.TCPConn {
	t.Helper()
	conn, err := net.DialTimeout("tcp", p.Addr(), limit)
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	require.NoError(t, conn.SetDeadline(time.Now().Add(limit)))
	return conn.(*net.TCPConn)
}

func say(t *testing.T, conn net.Conn, text string) {
	t.Helper()
	_, err := conn.Write([]byte(text))
	require.NoError(t, err)
}

func hear(t *testing.T, conn net.Conn, text string) {
	t.Helper()
	b := make([]byte, len(text))
	_, err := io.ReadFull(conn, b)
	require.NoError(t, err)
	require.Equal(t, text, string(b))
}

func silent(t *testing.T, conn net.Conn, d time.Duration) {
	t.Helper()
	require.NoError(t, conn.SetReadDeadline(time.Now().Add(d)))
	_, err := conn.Read(make([]byte, 1))
	require.ErrorIs(t, err, os.ErrDeadlineExceeded)
	require.NoError(t, conn.SetReadDeadline(time.Now().Add(limit)))
}

func requireReset(t *testing.T, conn net.Conn) {
	t.Helper()
	_, err := io.Copy(io.Discard, conn)
	if err == nil { // a reset may have been read as such by an earlier call
		_, err = conn.Write([]byte("x"))
	}
	require.True(t, errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE), "%v", err)
}

// requireRefused connects in vain; the reset may come before the connection counts as made.
func requireRefused(t *testing.T, p *faultproxy.Proxy) {
	t.Helper()
	conn, err := net.DialTimeout("tcp", p.Addr(), limit)
	if err != nil {
		require.ErrorIs(t, err, syscall.ECONNRESET)
		return
	}
	defer func() { _ = conn.Close() }()
	require.NoError(t, conn.SetDeadline(time.Now().Add(limit)))
	requireReset(t, conn)
}

func TestProxy_PassesBytesAndOrderlyEnds(t *testing.T) {
	p, e := proxied(t)
	conn := dial(t, p)
	sent := bytes.Repeat([]byte("0123456789"), 100_000)
	go func() {
		_, _ = conn.Write(sent)
		_ = conn.CloseWrite()
	}()
	got, err := io.ReadAll(conn)
	require.NoError(t, err)
	require.True(t, bytes.Equal(sent, got))
	require.NoError(t, <-e.ends, "the server sees the end, and no reset")
	require.Eventually(t, func() bool { return p.Counts().Open == 0 }, limit, time.Millisecond)
	c := p.Counts()
	require.EqualValues(t, 1, c.Accepted)
	require.EqualValues(t, len(sent), c.BytesUp)
	require.EqualValues(t, len(sent), c.BytesDown)
}

func TestProxy_CutResetsBothSides(t *testing.T) {
	p, e := proxied(t)
	conn := dial(t, p)
	say(t, conn, "a")
	hear(t, conn, "a")
	require.Equal(t, 1, p.Cut())
	requireReset(t, conn)
	require.Error(t, <-e.ends)
	say(t, dial(t, p), "new connections pass")
	require.EqualValues(t, 1, p.Counts().Cut)
}

func TestProxy_RefusesNewAndKeepsOpenConnections(t *testing.T) {
	p, _ := proxied(t)
	open := dial(t, p)
	say(t, open, "a")
	hear(t, open, "a")
	p.Set(faultproxy.Faults{Refuse: true})
	requireRefused(t, p)
	say(t, open, "b")
	hear(t, open, "b")
	p.Part()
	requireReset(t, open)
	p.Heal()
	again := dial(t, p)
	say(t, again, "c")
	hear(t, again, "c")
	require.EqualValues(t, 1, p.Counts().Refused)
}

// A half-open connection takes what is sent and says nothing; afterwards it is reset, since bytes are lost.
func TestProxy_HalfOpenSwallows(t *testing.T) {
	for _, way := range []faultproxy.Faults{
		{Up: faultproxy.Way{Swallow: true}},
		{Down: faultproxy.Way{Swallow: true}},
		{Up: faultproxy.Way{Swallow: true}, Down: faultproxy.Way{Swallow: true}},
	} {
		p, _ := proxied(t)
		lost, idle := dial(t, p), dial(t, p)
		say(t, lost, "a")
		hear(t, lost, "a")
		say(t, idle, "a")
		hear(t, idle, "a")
		p.Set(way)
		say(t, lost, "b")
		silent(t, lost, 50*time.Millisecond)
		p.Heal()
		requireReset(t, lost)
		say(t, idle, "c")
		hear(t, idle, "c")
	}
}

func TestProxy_DelaysAndSlowsDown(t *testing.T) {
	p, _ := proxied(t)
	conn := dial(t, p)
	const delay = 60 * time.Millisecond
	p.Set(faultproxy.Faults{Up: faultproxy.Way{Delay: delay}, Down: faultproxy.Way{Delay: delay}})
	began := time.Now()
	say(t, conn, "a")
	hear(t, conn, "a")
	require.GreaterOrEqual(t, time.Since(began), 2*delay)

	p.Set(faultproxy.Faults{Down: faultproxy.Way{BytesPerSecond: 10_000}})
	text := strings.Repeat("x", 2000)
	began = time.Now()
	say(t, conn, text)
	hear(t, conn, text)
	require.GreaterOrEqual(t, time.Since(began), 150*time.Millisecond)

	// A change counts at once, also for bytes that are held back.
	p.Set(faultproxy.Faults{Up: faultproxy.Way{Delay: time.Hour}})
	say(t, conn, "b")
	silent(t, conn, 20*time.Millisecond)
	p.Heal()
	hear(t, conn, "b")
}

func TestProxy_TheTargetMayChangeAndBeAway(t *testing.T) {
	p, _ := proxied(t)
	p.SetTarget("127.0.0.1:1") // nobody listens there
	requireRefused(t, p)
	other := newEcho(t)
	p.SetTarget(other.addr)
	conn := dial(t, p)
	say(t, conn, "a")
	hear(t, conn, "a")
	require.NoError(t, p.Close())
	requireReset(t, conn)
	require.NoError(t, p.Close())
	require.Error(t, <-other.ends)
}
