// Package poolertest is a small transaction pooler for tests: what works behind it works behind PgBouncer's
// transaction mode.
package poolertest

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/url"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"
	"github.com/stretchr/testify/require"
)

// Pooler is a pooler: clients share a few server connections, and each transaction of
// a client runs on another one than the transaction before.
type Pooler struct {
	listener net.Listener
	URL      string // of the database through the pooler
	free     chan *pgconn.HijackedConn
	wg       sync.WaitGroup

	mu      sync.Mutex
	clients map[net.Conn]bool
	deaf    bool // see Deaf
}

// New starts a pooler in front of a database, with so many connections to it. It ends with the test, and
// fails it if a session was left with anything in it.
func New(tb testing.TB, target string, servers int) *Pooler {
	tb.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(tb, err)
	u, err := url.Parse(target)
	require.NoError(tb, err)
	u.Host, u.User = l.Addr().String(), url.User("quipu")
	p := &Pooler{listener: l, URL: u.String(), free: make(chan *pgconn.HijackedConn, servers), clients: map[net.Conn]bool{}}
	for range servers {
		p.free <- connect(tb, target)
	}
	p.wg.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			p.mu.Lock()
			p.clients[conn] = true
			p.mu.Unlock()
			p.wg.Go(func() { p.serve(conn) })
		}
	})
	tb.Cleanup(func() {
		_ = l.Close()
		p.mu.Lock()
		for conn := range p.clients {
			_ = conn.Close()
		}
		p.mu.Unlock()
		p.wg.Wait()
		for range servers {
			raw := <-p.free
			p.checkClean(tb, raw)
			_ = raw.Conn.Close()
		}
	})
	return p
}

// connect opens a connection to the server, of which the pooler gets every byte.
func connect(tb testing.TB, target string) *pgconn.HijackedConn {
	tb.Helper()
	config, err := pgconn.ParseConfig(target)
	require.NoError(tb, err)
	var dialed *watched
	dial := config.DialFunc
	config.DialFunc = func(ctx context.Context, network, addr string) (net.Conn, error) {
		conn, err := dial(ctx, network, addr)
		dialed = &watched{Conn: conn}
		return dialed, err
	}
	conn, err := pgconn.ConnectConfig(tb.Context(), config)
	require.NoError(tb, err)
	raw, err := conn.Hijack()
	require.NoError(tb, err)
	require.NoError(tb, dialed.endReads())
	return raw
}

// watched is a connection of which it is known when nobody reads any more. When a write takes longer than a
// moment, pgconn begins to read in the background, and may still do so when its connection is hijacked: it
// would take the answer to the first question after that.
type watched struct {
	net.Conn
	reading sync.RWMutex
}

func (w *watched) Read(b []byte) (int, error) {
	w.reading.RLock()
	defer w.reading.RUnlock()
	return w.Conn.Read(b)
}

// endReads ends reads under way, with nothing read.
func (w *watched) endReads() error {
	if err := w.SetReadDeadline(time.Unix(1, 0)); err != nil {
		return err
	}
	w.reading.Lock() // when the last of them has returned
	defer w.reading.Unlock()
	return w.SetReadDeadline(time.Time{})
}

// Deaf makes the pooler lose answers, and the client with them, once the server has given them.
func (p *Pooler) Deaf(on bool) {
	p.mu.Lock()
	p.deaf = on
	p.mu.Unlock()
}

// checkClean fails if a session was left with anything in it.
func (p *Pooler) checkClean(tb testing.TB, raw *pgconn.HijackedConn) {
	conn, err := pgconn.Construct(raw)
	require.NoError(tb, err)
	results, err := conn.Exec(context.WithoutCancel(tb.Context()), `SELECT
		(SELECT count(*) FROM pg_catalog.pg_prepared_statements) + (SELECT count(*) FROM pg_catalog.pg_cursors)
		+ (SELECT count(*) FROM pg_catalog.pg_locks WHERE pid = pg_backend_pid() AND locktype = 'advisory')
		+ (SELECT count(*) FROM pg_catalog.pg_settings WHERE source = 'session')`).ReadAll()
	if errors.Is(err, io.ErrUnexpectedEOF) || pgconn.SafeToRetry(err) {
		return // its database is gone already
	}
	require.NoError(tb, err)
	require.Equal(tb, "0", string(results[0].Rows[0][0]), "the session keeps state")
}

func (p *Pooler) serve(client net.Conn) {
	defer client.Close() //nolint:errcheck // nothing is lost
	hello := pgproto3.NewBackend(client, client)
	for {
		m, err := hello.ReceiveStartupMessage()
		if err != nil {
			return
		}
		if _, ok := m.(*pgproto3.StartupMessage); ok {
			break
		}
		if _, ok := m.(*pgproto3.SSLRequest); !ok {
			return // a cancel request: not passed on
		}
		_, _ = client.Write([]byte("N"))
	}
	hello.Send(&pgproto3.AuthenticationOk{})
	hello.Send(&pgproto3.ParameterStatus{Name: "client_encoding", Value: "UTF8"})
	hello.Send(&pgproto3.ParameterStatus{Name: "standard_conforming_strings", Value: "on"})
	hello.Send(&pgproto3.BackendKeyData{ProcessID: 1, SecretKey: []byte{1, 2, 3, 4}})
	hello.Send(&pgproto3.ReadyForQuery{TxStatus: 'I'})
	if hello.Flush() != nil {
		return
	}
	var mu sync.Mutex
	var server *pgconn.HijackedConn // of the transaction under way
	var answers sync.WaitGroup
	defer answers.Wait()
	for {
		m, err := message(client)
		mu.Lock()
		now := server
		mu.Unlock()
		if err != nil || m[0] == 'X' {
			if now != nil { // a transaction is left open: end it, as a pooler does
				_, _ = now.Conn.Write(query("ROLLBACK"))
			}
			return
		}
		if now == nil {
			now = <-p.free
			mu.Lock()
			server = now
			mu.Unlock()
			answers.Go(func() {
				for {
					m, err := message(now.Conn)
					done := err != nil || m[0] == 'Z' && m[5] == 'I'
					if done {
						mu.Lock()
						server = nil
						mu.Unlock()
						p.free <- now
					}
					p.mu.Lock()
					deaf := p.deaf
					p.mu.Unlock()
					if deaf && done {
						_ = client.Close()
					}
					if err == nil && !deaf {
						_, _ = client.Write(m) // a client that left misses it
					}
					if done {
						return
					}
				}
			})
		}
		if _, err := now.Conn.Write(m); err != nil {
			return
		}
	}
}

// message reads one message: a byte for its type, its length, and the rest.
func message(r io.Reader) ([]byte, error) {
	head := make([]byte, 5)
	if _, err := io.ReadFull(r, head); err != nil {
		return nil, err
	}
	m := append(head, make([]byte, binary.BigEndian.Uint32(head[1:])-4)...)
	_, err := io.ReadFull(r, m[5:])
	return m, err
}

func query(sql string) []byte {
	m, err := (&pgproto3.Query{String: sql}).Encode(nil)
	if err != nil {
		panic(err)
	}
	return m
}
