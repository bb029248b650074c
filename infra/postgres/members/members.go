// Package members keeps who works on a log in Postgres, by leases: the adapter of commands.Members.
//
// Each node renews a row; the database's clock alone says which leases stand. Joining, draining and
// leaving are told to the others by a notification, and seen at the next renewal if that is lost. A node
// that dies is out of everybody's set when its lease has lapsed. While the database cannot be asked,
// the last known set stays in force everywhere; see settled for what happens when it is back.
package members

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"quipu/commands"
	"quipu/domain"
	"quipu/infra/postgres/cluster"
	"quipu/infra/postgres/listen"
)

// CodeLevelTooLow is the code of the refusal of a program that is older than what the cluster writes.
const CodeLevelTooLow = "LEVEL_TOO_LOW"

// poolMax is how many connections membership takes: its own, and that of whoever lists the nodes.
const poolMax = 2

// joinTries bounds how often a node that starts tries to become a member.
const joinTries = 5

// retryMin is the wait after the first renewal that failed; it doubles up to Options.Renew.
const retryMin = 100 * time.Millisecond

// Members is one node's membership. Safe for concurrent use.
type Members struct {
	o       Options
	db      *cluster.DB
	pool    *cluster.Pool
	sql     statements
	channel string

	kick  chan struct{} // capacity 1: somebody joined, left, drained or raised the level
	stop  context.CancelFunc
	done  sync.WaitGroup
	ended chan struct{} // closed when this node was refused; why is in refused

	leaving  atomic.Bool // no renewal may bring the row back
	draining atomic.Bool
	level    atomic.Int64
	// turn is held by whoever changes this node's row, so that a renewal under way cannot undo a leaving.
	turn chan struct{}

	mu      sync.Mutex
	set     settled
	changed chan struct{}
	refused error
	last    time.Duration // of the last look that worked, monotonic
}

var _ commands.Members = (*Members)(nil)

// Join makes this process a member and keeps it one until Close. The tables must be there.
// Errors: ErrInvalid for bad options; ErrRefused with code LEVEL_TOO_LOW if this program is older than
// what the cluster writes; ErrExhausted with code NODES_MAX; ErrUnavailable.
func Join(ctx context.Context, db *cluster.DB, o Options) (*Members, error) {
	if err := o.Validate(); err != nil {
		return nil, domain.Wrap(domain.KindInvalid, "join", "the cluster", err)
	}
	o = o.withDefaults()
	pool, err := db.NewPool(ctx, "members", cluster.PoolOptions{Max: poolMax, Timeout: max(o.Renew, o.TTL/3)})
	if err != nil {
		return nil, err
	}
	m := &Members{
		o: o, db: db, pool: pool, sql: newStatements(db.Table), channel: db.Channel("members"),
		kick: make(chan struct{}, 1), changed: make(chan struct{}), ended: make(chan struct{}), turn: make(chan struct{}, 1),
	}
	for range joinTries { // a database that was slow once is no reason not to start
		if err = m.enter(ctx, false); err == nil || !errors.Is(err, domain.ErrUnavailable) || ctx.Err() != nil {
			break
		}
	}
	if err != nil {
		pool.Close()
		return nil, err
	}
	for range joinTries {
		if _, err = m.step(ctx, false); err == nil || !errors.Is(err, domain.ErrUnavailable) || ctx.Err() != nil {
			break
		}
	}
	if err != nil {
		_ = m.mark(context.WithoutCancel(ctx), "leave", m.sql.leave) // else its lease ends by itself
		pool.Close()
		return nil, err
	}
	running, stop := context.WithCancel(context.WithoutCancel(ctx))
	m.stop = stop
	m.done.Go(func() { m.loop(running) })
	m.done.Go(func() {
		listen.Run(running, listen.Options{
			Connect: db.Connect, Channel: m.channel, AfterFunc: o.Clock.AfterFunc,
			Heard: func(log string) {
				if log == "" || log == string(o.Log) {
					m.wake()
				}
			},
			Listening: m.listening(),
		})
	})
	return m, nil
}

// Live implements commands.Members.
func (m *Members) Live() (commands.Nodes, <-chan struct{}) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.set.nodes, m.changed
}

// Level is the feature level in force: what may be written. It only grows.
func (m *Members) Level() int { return int(m.level.Load()) }

// Run waits until ctx ends, or until this node was refused for good: then it must stop.
// Errors: ErrRefused with code LEVEL_TOO_LOW.
func (m *Members) Run(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return nil
	case <-m.ended:
		m.mu.Lock()
		defer m.mu.Unlock()
		return m.refused
	}
}

// Drain lets the others take over what this node owns, while it finishes what it began.
// Errors: ErrUnavailable; the next renewal then says so again.
func (m *Members) Drain(ctx context.Context) error {
	if err := m.take(ctx); err != nil {
		return err
	}
	defer m.give()
	m.draining.Store(true)
	err := m.mark(ctx, "drain", m.sql.drain)
	m.wake()
	return err
}

// Leave takes this node out of everybody's set at once. It does not come back.
// Errors: ErrUnavailable; its lease then ends by itself.
func (m *Members) Leave(ctx context.Context) error {
	if err := m.take(ctx); err != nil {
		return err
	}
	defer m.give()
	m.leaving.Store(true)
	err := m.mark(ctx, "leave", m.sql.leave)
	m.mu.Lock()
	defer m.mu.Unlock()
	set := m.set
	set.nodes = commands.Nodes{Owners: without(set.nodes.Owners, m.o.Node), Alive: without(set.nodes.Alive, m.o.Node)}
	m.put(set)
	return err
}

func without(nodes []string, node string) []string {
	var out []string
	for _, n := range nodes {
		if n != node {
			out = append(out, n)
		}
	}
	return out
}

// Close stops renewing and closes the connections. Call Leave before, or the lease has to lapse.
func (m *Members) Close() error {
	m.stop()
	m.done.Wait()
	m.pool.Close()
	return nil
}

// Silent is for how long the database has not been heard.
func (m *Members) Silent() time.Duration {
	m.mu.Lock()
	defer m.mu.Unlock()
	return max(m.o.Clock.Monotonic()-m.last, 0)
}

func (m *Members) wake() {
	select {
	case m.kick <- struct{}{}:
	default:
	}
}

func (m *Members) take(ctx context.Context) error {
	select {
	case m.turn <- struct{}{}:
		return nil
	case <-ctx.Done():
		return domain.Wrap(domain.KindUnavailable, "change", "membership", ctx.Err())
	}
}

func (m *Members) give() { <-m.turn }

// listening says in the log when notifications stop and begin to arrive.
func (m *Members) listening() func(error) {
	before := "never"
	return func(err error) {
		now := ""
		if err != nil {
			now = err.Error()
		}
		switch {
		case now == before:
		case err != nil:
			m.o.Logger.Warn("no notifications from the cluster's database; changes are found by polling", "error", err, "every", m.o.Renew)
		default:
			m.o.Logger.Debug("notifications from the cluster's database arrive")
		}
		before = now
	}
}

// loop renews until ctx ends.
func (m *Members) loop(ctx context.Context) {
	var said string
	failures, wait := 0, m.o.Renew
	for {
		m.pause(ctx, wait)
		if ctx.Err() != nil {
			return
		}
		next, err := m.step(ctx, failures > 0)
		if ctx.Err() != nil {
			return
		}
		wait = next
		if err != nil {
			wait = min(retryMin<<min(failures, 10), m.o.Renew)
			failures++
			err = fmt.Errorf("the set of %d nodes last known stays in force: %w", m.alive(), err)
		} else {
			failures = 0
		}
		m.o.Hooks.Health(err)
		text := ""
		if err != nil {
			text = err.Error()
		}
		if text != said { // once for each reason, not for each try
			if err != nil {
				m.o.Logger.Warn("membership cannot be renewed", "error", err)
			} else {
				m.o.Logger.Info("membership is renewed again")
			}
			said = text
		}
	}
}

func (m *Members) alive() int {
	nodes, _ := m.Live()
	return len(nodes.Alive)
}

// pause waits for d, a notification or the end.
func (m *Members) pause(ctx context.Context, d time.Duration) {
	due := make(chan struct{})
	stop := m.o.Clock.AfterFunc(d, func() { close(due) })
	defer stop()
	select {
	case <-due:
	case <-m.kick:
	case <-ctx.Done():
	}
}

// step renews once, unless this node has left, and takes in what it sees. next is when to look again.
func (m *Members) step(ctx context.Context, failedBefore bool) (next time.Duration, err error) {
	if err := m.take(ctx); err != nil {
		return 0, err
	}
	defer m.give()
	began := m.o.Clock.Monotonic()
	defer func() { m.o.Hooks.Renewed(m.o.Clock.Monotonic()-began, err) }()
	renewed, rows, level, err := m.look(ctx)
	if err == nil && !renewed && !m.leaving.Load() {
		if err = m.enter(ctx, m.draining.Load()); err == nil {
			_, rows, level, err = m.look(ctx)
		}
	}
	if err == nil && !m.leaving.Load() && m.raisable(rows, level) {
		level, err = m.raise(ctx)
	}
	if err == nil && level > m.o.Level {
		err = domain.E(domain.KindRefused, "renew", "membership", fmt.Sprintf(
			"the cluster's feature level is now %d, this program knows %d: start the newer version", level, m.o.Level)).WithCode(CodeLevelTooLow)
	}
	if err != nil {
		m.refuse(err)
		return 0, err
	}
	m.level.Store(max(m.level.Load(), int64(level)))
	look := seen{at: m.o.Clock.Monotonic(), rows: rows}
	m.mu.Lock()
	defer m.mu.Unlock()
	late := m.set.begun && look.at-m.last > m.o.Renew+m.o.TTL/3
	look.troubled = failedBefore || late
	m.last = look.at
	set := m.set.next(look, m.o.Node, m.o.TTL)
	m.put(set)
	return set.wait(look, m.o.Node, m.o.Renew), nil
}

// raisable reports whether all live nodes know a higher level than the one in force.
func (m *Members) raisable(rows []row, level int) bool {
	least := m.o.Level
	for _, r := range rows {
		if r.left > 0 {
			least = min(least, r.level)
		}
	}
	return least > level
}

// refuse ends the membership for good if err says that this program is too old.
func (m *Members) refuse(err error) {
	if !errors.Is(err, domain.ErrRefused) {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.refused == nil {
		m.refused = err
		close(m.ended)
	}
}

// put makes a set the one in force. m.mu is held.
func (m *Members) put(set settled) {
	before := m.set.nodes
	m.set = set
	if same(before, set.nodes) {
		return
	}
	close(m.changed)
	m.changed = make(chan struct{})
	m.o.Logger.Info("the cluster's nodes changed", "owners", len(set.nodes.Owners), "alive", len(set.nodes.Alive), "nodes", set.nodes.Alive)
	m.o.Hooks.Changed(len(set.nodes.Owners), len(set.nodes.Alive))
}
