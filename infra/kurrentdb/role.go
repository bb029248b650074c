package kurrentdb

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"

	"quipu/domain"
)

// role is one use of the server, with a connection of its own: a client that is given up and built anew
// when its connection fails. Calls begin only on a client that has answered before. So what hangs without
// heeding its context, since the library looks for a server, is one call for each role and not all of them;
// and a library that never closes a connection it replaces has none to replace.
//
// Concurrency: safe.
type role struct {
	name    string
	config  esdb.Configuration
	options *Options
	shared  *shared
	callers sync.WaitGroup // calls that somebody waits for; added to under mu while not closed
	slots   chan struct{}

	mu     sync.Mutex
	live   *client       // nil while there is none
	up     chan struct{} // closed when live is set
	lost   chan struct{} // closed once there has been none for ConnectWait
	why    error         // why there is none
	closed bool
	stop   chan struct{} // closed by close
	cut    chan struct{} // closed by close when it has waited long enough
	ended  chan struct{} // closed when connect has ended
	kick   chan struct{} // tells connect to look whether it is needed; holds one
}

// shared is what the roles of one log have in common.
type shared struct {
	left    atomic.Int64                 // calls nobody waits for any more
	foreign atomic.Pointer[domain.Error] // set while the server holds another log
}

// client is one client of the library. Its counters belong to the role's mu.
type client struct {
	*esdb.Client
	calls   int  // under way
	retired bool // closed once the last call has ended
	served  bool // it has answered since it was found
	strikes int  // calls in a row that found no answer
}

// errTooLong is the cause of a call's end at its own time limit, not at its caller's.
var errTooLong = errors.New("no answer in time")

func newRole(name string, config esdb.Configuration, options *Options, shared *shared) *role {
	r := &role{
		name: name, config: config, options: options, shared: shared, slots: make(chan struct{}, CallsMax),
		up: make(chan struct{}), stop: make(chan struct{}), cut: make(chan struct{}), ended: make(chan struct{}), kick: make(chan struct{}, 1),
	}
	r.config.Logger = r.hear
	r.lost = after(options.ConnectWait)
	r.kick <- struct{}{}
	return r
}

// hear takes the library's log lines; the last one of a search is why there is no connection.
func (r *role) hear(level esdb.LogLevel, format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	r.options.Logger.Debug("client of the log's server", "role", r.name, "level", level, "line", text)
	if level == esdb.LogWarn {
		r.mu.Lock()
		defer r.mu.Unlock()
		if r.live == nil {
			r.why = errors.New(text)
		}
	}
}

// call carries out one call on r's client. f runs on a goroutine of its own, since the library may not heed
// ctx, and must take care of its own time there: what it returns late is dropped. sent says whether f
// was begun at all.
func call[T any](ctx context.Context, r *role, f func(context.Context, *esdb.Client) (T, error)) (result T, sent bool, err error) {
	c, err := r.acquire(ctx)
	if err != nil {
		return result, false, err
	}
	defer r.callers.Done()
	type answer struct {
		result T
		err    error
	}
	done := make(chan answer, 1)
	var state atomic.Int32 // 1: returned, 2: given up; the first one counts
	go func() {
		var a answer
		a.result, a.err = protected(func() (T, error) { return f(ctx, c.Client) })
		r.judge(ctx, c, a.err)
		if !state.CompareAndSwap(0, 1) {
			r.leftBehind(-1)
		}
		r.release(c)
		done <- a
	}()
	select {
	case a := <-done:
		return a.result, true, a.err
	case <-ctx.Done():
		err = context.Cause(ctx)
	case <-r.cut:
		err = errCut
	}
	if state.CompareAndSwap(0, 2) {
		r.leftBehind(1)
		return result, true, err
	}
	a := <-done
	return a.result, true, a.err
}

func (r *role) leftBehind(n int64) {
	if f := r.options.Hooks.LeftBehind; f != nil {
		f(r.shared.left.Add(n))
	} else {
		r.shared.left.Add(n)
	}
}

// acquire waits for a place and a client that answers; release gives both back.
func (r *role) acquire(ctx context.Context) (*client, error) {
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	select {
	case r.slots <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-r.stop:
		return nil, closedError("use", "log")
	}
	c, err := r.await(ctx)
	if err != nil {
		<-r.slots
	}
	return c, err
}

func (r *role) await(ctx context.Context) (*client, error) {
	for {
		if foreign := r.shared.foreign.Load(); foreign != nil {
			return nil, foreign
		}
		r.mu.Lock()
		c, up, lost, closed := r.live, r.up, r.lost, r.closed
		if c != nil && !closed {
			c.calls++
			r.callers.Add(1)
			r.mu.Unlock()
			return c, nil
		}
		r.mu.Unlock()
		if closed {
			return nil, closedError("use", "log")
		}
		select {
		case <-up:
		case <-r.stop:
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-lost:
			return nil, r.noConnection()
		}
	}
}

func (r *role) connected() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.live != nil
}

// errNoConnection marks the error of a call that found no server to be sent to.
var errNoConnection = errors.New("no server answers")

func (r *role) noConnection() error {
	r.mu.Lock()
	why := r.why
	r.mu.Unlock()
	if why == nil {
		why = errors.New("none was found yet")
	}
	e := domain.Wrap(domain.KindUnavailable, "connect to", "the log's server", fmt.Errorf("%w: %w", errNoConnection, plain(why)))
	e.Message = classify(why).hint
	return e
}

// after returns a channel that is closed after d.
func after(d time.Duration) chan struct{} {
	c := make(chan struct{})
	time.AfterFunc(d, func() { close(c) })
	return c
}

func (r *role) release(c *client) {
	r.mu.Lock()
	c.calls--
	last := c.retired && c.calls == 0
	r.mu.Unlock()
	<-r.slots
	if last {
		shut(c)
	}
}

// shut closes a client that nobody uses: closing one under a call makes the call panic.
func shut(c *client) { _ = c.Close() } // it always returns nil

// judge looks at how a call ended, before its caller does: the next call finds another client if this
// one's connection is gone.
func (r *role) judge(ctx context.Context, c *client, err error) {
	if err == nil {
		r.mu.Lock()
		c.served, c.strikes = true, 0
		r.mu.Unlock()
		return
	}
	f, tooLong := classify(err), errors.Is(context.Cause(ctx), errTooLong)
	if ctx.Err() != nil && !tooLong && !errors.As(err, new(*panicError)) {
		return // the caller's doing
	}
	r.mu.Lock()
	switch {
	case f.broken:
	case tooLong:
		c.strikes++
	default:
		c.served = true // an answer, if not the wanted one
	}
	broken := f.broken || c.strikes >= strikesMax
	r.mu.Unlock()
	if broken {
		r.retire(c, err)
	}
}

// retire gives a client up and has another one built.
func (r *role) retire(c *client, err error) {
	r.mu.Lock()
	if r.live != c {
		r.mu.Unlock()
		return
	}
	r.live, r.up, r.why, c.retired = nil, make(chan struct{}), plain(err), true
	r.lost = after(r.options.ConnectWait)
	idle := c.calls == 0
	r.mu.Unlock()
	if idle {
		shut(c)
	}
	r.options.Logger.Warn("lost the connection to the log's server", "role", r.name, "error", err)
	if f := r.options.Hooks.Lost; f != nil {
		f(r.name, err)
	}
	select {
	case r.kick <- struct{}{}:
	default:
	}
}

// connect builds clients while there is none, until close.
func (r *role) connect(ctx context.Context, probe func(context.Context, *esdb.Client) error) {
	defer close(r.ended)
	failures := 0
	for {
		select {
		case <-r.stop:
			return
		case <-r.kick:
		}
		for r.needed(&failures) {
			if failures > 0 && !pause(r.stop, r.options.backoff(failures)) {
				return
			}
			failures++
			c, err := r.find(ctx, probe)
			if err != nil {
				r.mu.Lock()
				r.why = plain(err)
				r.mu.Unlock()
				continue
			}
			r.publish(c)
		}
	}
}

// needed reports whether there is no client. One that served ends a row of failures.
func (r *role) needed(failures *int) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.live != nil && r.live.served {
		*failures = 0
	}
	return r.live == nil && !r.closed
}

// find builds a client and waits until it has answered once. The library looks for a server on its own,
// without end: should close come first, it is left to that, and closed when a server has been found.
func (r *role) find(ctx context.Context, probe func(context.Context, *esdb.Client) error) (*client, error) {
	config := r.config
	made, err := esdb.NewClient(&config)
	if err != nil {
		return nil, err
	}
	c := &client{Client: made}
	done := make(chan error, 1)
	go func() {
		_, err := protected(func() (struct{}, error) { return struct{}{}, probe(ctx, made) })
		if err != nil {
			shut(c)
		}
		done <- err
	}()
	select {
	case err := <-done:
		return c, err
	case <-r.stop:
		go func() {
			<-done
			shut(c)
		}()
		return nil, closedError("use", "log")
	}
}

func (r *role) publish(c *client) {
	r.mu.Lock()
	if r.closed {
		r.mu.Unlock()
		shut(c)
		return
	}
	r.live, r.why = c, nil
	close(r.up)
	r.mu.Unlock()
	r.options.Logger.Info("connected to the log's server", "role", r.name)
	if f := r.options.Hooks.Connected; f != nil {
		f(r.name)
	}
}

// errCut is the error of a call that the log's close did not wait for any longer.
var errCut = errors.New("the log was closed meanwhile")

// closeGrace is how long close waits for the calls under way.
const closeGrace = 2 * time.Second

// close lets no call begin any more, waits for those under way, and cuts off what takes too long. What the
// library has not returned from then closes its client itself.
func (r *role) close() {
	r.mu.Lock()
	if !r.closed {
		r.closed = true
		close(r.stop)
	}
	r.mu.Unlock()
	<-r.ended
	cutting := time.AfterFunc(closeGrace, func() { close(r.cut) })
	r.callers.Wait()
	cutting.Stop()
	r.mu.Lock()
	c := r.live
	r.live = nil
	idle := c != nil && c.calls == 0
	if c != nil {
		c.retired = true
	}
	r.mu.Unlock()
	if idle {
		shut(c)
	}
}

// pause waits and reports whether stop did not come first.
func pause(stop <-chan struct{}, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-stop:
		return false
	case <-timer.C:
		return true
	}
}
