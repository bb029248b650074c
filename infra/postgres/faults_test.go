package postgres_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"quipu/domain"
	"quipu/infra/postgres"
	"quipu/infra/postgres/pgtest"
	"quipu/projections"
	"quipu/projections/view"
)

const faultWait = 60 * time.Second

// counted is a batch of n events after a position, each with an execution of its own: what is stored
// shows whether one was missed or counted twice.
func counted(after domain.Position, n int) projections.Changes {
	c := projections.Changes{Log: "log", After: after, To: after + domain.Position(n), Versions: map[string]int{"events": 1}}
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for i := range n {
		p := after + 1 + domain.Position(i)
		id := fmt.Sprintf("%036d", p)
		var event domain.EventID
		copy(event[:], id[20:])
		when := at.Add(time.Duration(p) * time.Millisecond)
		c.Events = append(c.Events, view.Event{
			Recorded:    domain.Recorded{Stream: domain.StreamID("run-" + id), Position: p, ID: event, Type: "run.started.v1", Metadata: []byte(`{"at":"2026-01-02T03:04:05.000Z"}`), Data: []byte(`{"run_id":"` + id + `"}`)},
			At:          when,
			Execution:   p,
			ExecutionID: id,
			WorkflowID:  fmt.Sprintf("workflow-%d", p%100),
		})
		c.Executions = append(c.Executions, view.Execution{Position: p, ID: id, WorkflowID: fmt.Sprintf("workflow-%d", p%100), Source: "lao", Status: view.Running, StartedAt: when})
		c.Statuses = append(c.Statuses, view.StatusInterval{Execution: p, Status: view.Running, From: p})
	}
	return c
}

// project commits batches of growing size until stop, as a runner does: what may have happened is
// settled by reading the state, and what certainly did not is tried again.
func project(ctx context.Context, v *postgres.Views, stop <-chan struct{}) (at domain.Position, indeterminate, cut int, err error) {
	var s projections.Store
	size := 0
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-stop:
			return at, indeterminate, cut, nil
		case <-tick.C:
		}
		if s == nil {
			got, err := v.Current(ctx)
			if err == nil {
				var st projections.State
				if st, err = got.State(ctx); err == nil {
					s, at = got, st.Position
				}
			}
			if err != nil && domain.KindOf(err) != domain.KindUnavailable {
				return at, indeterminate, cut, err
			}
			continue
		}
		size = (size+41)%90 + 1
		c := counted(at, size)
		switch err := s.Commit(ctx, c); domain.KindOf(err) {
		case domain.KindIndeterminate:
			indeterminate++
			s = nil
		case domain.KindUnavailable: // certainly not done
			cut++
		default:
			if err != nil {
				return at, indeterminate, cut, err
			}
			at = c.To
		}
	}
}

func TestViews_ServerKilledAgainAndAgain(t *testing.T) {
	server := pgtest.Start(t, pgtest.Options{})
	url := pgtest.Database(t, server)
	// From 45 events on by COPY: both ways of committing are cut.
	v := open(t, url, postgres.Options{CopyEventsMin: 45, PartitionWidth: 1024})
	ctx, cancel := context.WithTimeout(t.Context(), 2*faultWait)
	defer cancel()
	stop, done := make(chan struct{}), make(chan struct{})
	var at domain.Position
	var indeterminate, cut int
	var failed error
	go func() {
		defer close(done)
		at, indeterminate, cut, failed = project(ctx, v, stop)
	}()
	reached := func(p domain.Position) {
		t.Helper()
		require.Eventually(t, func() bool {
			as, err := v.Checkpoint(ctx)
			return err == nil && as.Position >= p
		}, faultWait, time.Millisecond)
	}
	const kills = 16
	for kill := range kills {
		as, err := v.Checkpoint(ctx)
		require.NoError(t, err)
		reached(as.Position + 200)
		<-time.After(time.Duration(kill) * 700 * time.Microsecond) // anywhere within a commit
		require.NoError(t, server.Kill())
		_, err = v.Checkpoint(ctx)
		require.ErrorIs(t, err, domain.ErrUnavailable)
		require.NoError(t, server.Restart())
		reached(as.Position + 1)
	}
	close(stop)
	<-done
	require.NoError(t, failed)
	t.Logf("at %d; %d commits of unknown outcome, %d not done", at, indeterminate, cut)

	s, err := v.Current(ctx)
	require.NoError(t, err)
	snap, err := s.Snapshot(ctx)
	require.NoError(t, err)
	defer func() { require.NoError(t, snap.Close()) }()
	require.Equal(t, at, snap.State().Position)
	next := domain.Position(1)
	for e, err := range snap.Events(ctx) {
		require.NoError(t, err)
		require.Equal(t, next, e.Position)
		next++
	}
	require.Equal(t, at+1, next, "every event once")
	next = 1
	for e, err := range snap.Executions(ctx) {
		require.NoError(t, err)
		require.Equal(t, next, e.Position)
		next++
	}
	require.Equal(t, at+1, next)
}

func TestViews_ServerDownAtStart(t *testing.T) {
	server := pgtest.Start(t, pgtest.Options{})
	url := pgtest.Database(t, server)
	require.NoError(t, server.Stop())
	v := open(t, url, postgres.Options{})
	_, err := v.Current(t.Context())
	require.ErrorIs(t, err, domain.ErrUnavailable)
	_, err = v.Begin(t.Context())
	require.ErrorIs(t, err, domain.ErrUnavailable)
	_, err = v.Executions(t.Context(), view.ExecutionQuery{Page: view.Page{Limit: 1}})
	require.ErrorIs(t, err, domain.ErrUnavailable)
	require.ErrorIs(t, v.Ping(t.Context()), domain.ErrUnavailable)
	require.NoError(t, server.Restart())
	require.NoError(t, v.Ping(t.Context()))
	s, err := v.Current(t.Context())
	require.NoError(t, err)
	require.NoError(t, s.Commit(t.Context(), counted(0, 10)))

	// And in between, with connections open.
	require.NoError(t, server.Stop())
	require.ErrorIs(t, v.Ping(t.Context()), domain.ErrUnavailable)
	err = s.Commit(t.Context(), counted(10, 10))
	require.Contains(t, []domain.Kind{domain.KindUnavailable, domain.KindIndeterminate}, domain.KindOf(err))
	_, err = s.State(t.Context())
	require.ErrorIs(t, err, domain.ErrUnavailable)
	require.NoError(t, server.Restart())
	st, err := s.State(t.Context())
	require.NoError(t, err)
	require.EqualValues(t, 10, st.Position)
	require.NoError(t, s.Commit(t.Context(), counted(10, 10)))
}

func TestViews_WrongAddressAndPassword(t *testing.T) {
	server := pgtest.Shared(t)
	for name, url := range map[string]string{
		"nobody listens":   "postgres://quipu:secret@127.0.0.1:1/x",
		"wrong password":   "postgres://quipu:secret@" + server.Addr() + "/postgres",
		"no such database": server.URL("nosuch"),
	} {
		t.Run(name, func(t *testing.T) {
			v := open(t, url, postgres.Options{})
			_, err := v.Current(t.Context())
			require.ErrorIs(t, err, domain.ErrUnavailable)
			require.NotContains(t, err.Error(), "secret")
		})
	}
	_, err := postgres.Open(t.Context(), "postgres://quipu:secret@[::bad/x", postgres.Options{})
	require.ErrorIs(t, err, domain.ErrInvalid)
	require.NotContains(t, err.Error(), "secret")
	_, err = postgres.Open(t.Context(), "postgres://localhost/x", postgres.Options{Schema: "Robert'); --", ReadersMax: -1})
	require.ErrorIs(t, err, domain.ErrInvalid)
	require.ErrorContains(t, err, "Schema")
	require.ErrorContains(t, err, "ReadersMax")
}

func TestViews_OutOfConnections(t *testing.T) {
	server := pgtest.Start(t, pgtest.Options{Settings: []string{"max_connections = 5", "superuser_reserved_connections = 0", "max_wal_senders = 0", "autovacuum = off"}})
	url := pgtest.Database(t, server)
	v := open(t, url, postgres.Options{})
	var hogs []*pgx.Conn
	for {
		conn, err := pgx.Connect(t.Context(), url)
		if err != nil {
			break
		}
		hogs = append(hogs, conn)
	}
	require.NotEmpty(t, hogs)
	_, err := v.Current(t.Context())
	require.ErrorIs(t, err, domain.ErrUnavailable)
	for _, conn := range hogs {
		require.NoError(t, conn.Close(t.Context()))
	}
	require.Eventually(t, func() bool {
		s, err := v.Current(t.Context())
		return err == nil && s != nil
	}, faultWait, 10*time.Millisecond, "the server takes its time to notice")
}

func TestViews_SlowServer(t *testing.T) {
	server := pgtest.Start(t, pgtest.Options{})
	url := pgtest.Database(t, server)
	v := open(t, url, postgres.Options{ReadTimeout: 200 * time.Millisecond, CommitTimeout: 500 * time.Millisecond})
	s, err := v.Current(t.Context())
	require.NoError(t, err)
	require.NoError(t, s.Commit(t.Context(), counted(0, 10)))

	// Somebody locks a table: the query waits on the server, which ends it.
	conn, err := pgx.Connect(t.Context(), url)
	require.NoError(t, err)
	defer conn.Close(context.WithoutCancel(t.Context())) //nolint:errcheck // the server goes anyway
	tx, err := conn.Begin(t.Context())
	require.NoError(t, err)
	_, err = tx.Exec(t.Context(), "LOCK TABLE quipu_views_g1.executions IN ACCESS EXCLUSIVE MODE")
	require.NoError(t, err)
	_, err = v.Executions(t.Context(), view.ExecutionQuery{Page: view.Page{Limit: 1}})
	require.ErrorIs(t, err, domain.ErrDeadline)
	err = s.Commit(t.Context(), counted(10, 10))
	require.Error(t, err)
	require.NoError(t, tx.Rollback(t.Context()))
	st, err := s.State(t.Context())
	require.NoError(t, err)
	require.EqualValues(t, 10, st.Position)
	require.NoError(t, s.Commit(t.Context(), counted(10, 10)))

	// The whole server stands still: nobody answers, and nobody waits for ever.
	resume := server.Pause()
	_, err = v.Executions(t.Context(), view.ExecutionQuery{Page: view.Page{Limit: 1}})
	require.ErrorIs(t, err, domain.ErrUnavailable)
	err = s.Commit(t.Context(), counted(20, 10))
	require.Contains(t, []domain.Kind{domain.KindUnavailable, domain.KindIndeterminate}, domain.KindOf(err), "%v", err)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	_, err = v.Executions(ctx, view.ExecutionQuery{Page: view.Page{Limit: 1}})
	require.ErrorIs(t, err, domain.ErrDeadline)
	resume()
	require.Eventually(t, func() bool {
		st, err = s.State(t.Context())
		return err == nil
	}, faultWait, 10*time.Millisecond)
	require.NoError(t, s.Commit(t.Context(), counted(st.Position, 10)))
}

// A database that only reads (a standby, or an administrator's brake) refuses commits and serves
// queries, and takes commits again afterwards.
func TestViews_ReadOnlyDatabase(t *testing.T) {
	url := pgtest.URL(t)
	v := open(t, url, postgres.Options{})
	s, err := v.Current(t.Context())
	require.NoError(t, err)
	require.NoError(t, s.Commit(t.Context(), counted(0, 3)))
	config, err := pgx.ParseConfig(url)
	require.NoError(t, err)
	conn, err := pgx.ConnectConfig(t.Context(), config) // whose session stays able to write
	require.NoError(t, err)
	_, err = conn.Exec(t.Context(), "ALTER DATABASE "+config.Database+" SET default_transaction_read_only = on")
	require.NoError(t, err)
	again := open(t, url, postgres.Options{})
	s2, err := again.Current(t.Context())
	require.NoError(t, err)
	require.ErrorIs(t, s2.Commit(t.Context(), counted(3, 3)), domain.ErrUnavailable)
	require.ErrorIs(t, s2.Commit(t.Context(), counted(3, 600)), domain.ErrUnavailable, "by COPY")
	got, err := again.Events(t.Context(), view.EventQuery{Page: view.Page{Limit: 10}})
	require.NoError(t, err)
	require.Len(t, got.Rows, 3)
	_, err = conn.Exec(t.Context(), "ALTER DATABASE "+config.Database+" RESET default_transaction_read_only")
	require.NoError(t, err)
	require.NoError(t, conn.Close(t.Context()))
	require.NoError(t, s.Commit(t.Context(), counted(3, 3)))
}
