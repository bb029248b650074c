package postgres_test

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"
	"github.com/stretchr/testify/require"

	"quipu/domain"
	"quipu/infra/postgres"
	"quipu/infra/postgres/pgtest"
	"quipu/projections/view"
	"quipu/projections/viewstest"
)

// pooler is a small transaction pooler: clients share a few server connections, and each transaction of
// a client runs on another one than the transaction before.
type pooler struct {
	listener net.Listener
	url      string
	free     chan *pgconn.HijackedConn
	wg       sync.WaitGroup

	mu      sync.Mutex
	clients map[net.Conn]bool
	deaf    bool // answers are lost, and the client with them, once the server has given them
}

func newPooler(tb testing.TB, target string, servers int) *pooler {
	tb.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(tb, err)
	u, err := url.Parse(target)
	require.NoError(tb, err)
	u.Host, u.User = l.Addr().String(), url.User("quipu")
	p := &pooler{listener: l, url: u.String(), free: make(chan *pgconn.HijackedConn, servers), clients: map[net.Conn]bool{}}
	for range servers {
		conn, err := pgconn.Connect(tb.Context(), target)
		require.NoError(tb, err)
		raw, err := conn.Hijack()
		require.NoError(tb, err)
		p.free <- raw
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

// checkClean fails if a session was left with anything in it.
func (p *pooler) checkClean(tb testing.TB, raw *pgconn.HijackedConn) {
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

func (p *pooler) serve(client net.Conn) {
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

// Everything that writes or manages generations works behind a pooler, and leaves nothing in sessions.
func TestViews_BehindATransactionPooler(t *testing.T) {
	var urls sync.Map
	start := func(tb testing.TB, url string) viewstest.Views {
		v := open(tb, url, postgres.Options{CopyEventsMin: 16})
		urls.Store(viewstest.Views(v), url)
		return v
	}
	caps := viewstest.Capabilities{Again: func(tb testing.TB, v viewstest.Views, _ *viewstest.Log) viewstest.Views {
		url, _ := urls.Load(v)
		return start(tb, url.(string))
	}}
	ran := 0
	for _, c := range viewstest.Cases() {
		group, _, _ := strings.Cut(c.Name, "_")
		if group != "Commit" && group != "Generations" {
			continue
		}
		ran++
		t.Run(c.Name, func(t *testing.T) {
			t.Parallel()
			viewstest.RunCase(t, c, func(tb testing.TB, _ *viewstest.Log) viewstest.Views {
				url := pgtest.URL(tb)
				unqualified(tb, url)
				return start(tb, newPooler(tb, url, 6).url)
			}, caps)
		})
	}
	require.Greater(t, ran, 10)
}

// The connection breaks after the server has committed and before it could say so.
func TestCommit_UnknownOutcome(t *testing.T) {
	for name, n := range map[string]int{"pipeline": 10, "COPY": 100} {
		t.Run(name, func(t *testing.T) {
			p := newPooler(t, pgtest.URL(t), 4)
			v := open(t, p.url, postgres.Options{CopyEventsMin: 50})
			s, err := v.Current(t.Context())
			require.NoError(t, err)
			require.NoError(t, s.Commit(t.Context(), counted(0, 5)))
			deaf := func(on bool) {
				p.mu.Lock()
				p.deaf = on
				p.mu.Unlock()
			}
			before := domain.Position(5)
			if name == "pipeline" {
				deaf(true)
				err = s.Commit(t.Context(), counted(5, n))
				deaf(false)
				require.ErrorIs(t, err, domain.ErrIndeterminate)
				before += domain.Position(n)
			}
			st, err := s.State(t.Context())
			require.NoError(t, err)
			require.Equal(t, before, st.Position)
			// The same handle goes on.
			require.NoError(t, s.Commit(t.Context(), counted(before, n)))
			got, err := v.Events(t.Context(), view.EventQuery{Page: view.Page{Limit: view.LimitMax, Total: true}})
			require.NoError(t, err)
			require.EqualValues(t, int(before)+n, got.Total)
		})
	}
}

// unqualified makes names without a schema fail in new sessions of a database.
func unqualified(tb testing.TB, url string) {
	tb.Helper()
	conn, err := pgconn.Connect(tb.Context(), url)
	require.NoError(tb, err)
	require.NoError(tb, conn.Exec(tb.Context(), `DO $$ BEGIN
		EXECUTE 'ALTER DATABASE ' || current_database() || ' SET search_path = ''''';
	END $$`).Close())
	require.NoError(tb, conn.Close(tb.Context()))
}
