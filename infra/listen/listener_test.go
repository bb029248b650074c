package listen

import (
	"io"
	"net"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// serve answers every connection with one byte until the listener is closed, pausing before each Accept until
// it is let.
func serve(l net.Listener, let <-chan struct{}) (done chan struct{}) {
	done = make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			_, _ = c.Write([]byte("x"))
			_ = c.Close()
			<-let
		}
	}()
	return done
}

func open(t *testing.T) net.Listener {
	t.Helper()
	l, err := TCP("127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { _ = l.Close() })
	return l
}

// Connections that were complete when the stop began are served, however slowly they are accepted.
func TestClose_ServesWhoeverHasConnected(t *testing.T) {
	l, let := open(t), make(chan struct{})
	done := serve(l, let)
	var clients []net.Conn
	for range 50 { // more than are accepted before the close: one, and one at a time after it
		c, err := net.Dial("tcp", l.Addr().String())
		require.NoError(t, err)
		t.Cleanup(func() { _ = c.Close() })
		clients = append(clients, c)
	}
	closed := make(chan error, 1)
	go func() { closed <- l.Close() }()
	close(let)
	for _, c := range clients {
		got, err := io.ReadAll(c)
		require.NoError(t, err)
		require.Equal(t, "x", string(got))
	}
	require.NoError(t, <-closed)
	<-done
	_, err := net.Dial("tcp", l.Addr().String())
	require.ErrorIs(t, err, syscall.ECONNREFUSED)
}

// A server that has stopped accepting, or never began, does not hold up the stop for long.
func TestClose_EndsWithoutAnybodyAccepting(t *testing.T) {
	l := open(t)
	begin := time.Now()
	require.NoError(t, l.Close())
	require.NoError(t, l.Close(), "closing again changes nothing")
	require.Less(t, time.Since(begin), 30*time.Second)

	l, never := open(t), make(chan struct{})
	done := serve(l, never)
	for range 3 {
		c, err := net.Dial("tcp", l.Addr().String())
		require.NoError(t, err)
		t.Cleanup(func() { _ = c.Close() })
	}
	require.NoError(t, l.Close())
	close(never)
	<-done
}
