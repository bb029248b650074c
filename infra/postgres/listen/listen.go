// Package listen waits for notifications of a Postgres database on a connection of its own, which is
// opened anew whenever it breaks. A notification is a hint to look; whoever needs certainty polls too,
// since behind a pooler in transaction mode none arrives.
package listen

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"
)

// Bounds of a listener.
const (
	// Silence is how long a connection may say nothing before it is asked for a sign of life: one whose
	// other end is gone says nothing for ever.
	Silence    = 10 * time.Second
	pingMax    = 2 * time.Second
	backoffMin = 100 * time.Millisecond
	backoffMax = 5 * time.Second
)

// Options of a listener.
type Options struct {
	// Connect opens a connection that lasts.
	Connect func(context.Context) (*pgx.Conn, error)
	Channel string
	// Heard is called for each notification, and with "" after each connecting, since some may have been
	// missed. It must not block.
	Heard func(payload string)
	// Listening is told whether notifications can arrive, and why not; nil is fine.
	Listening func(error)
	// AfterFunc calls f after d; stop prevents it.
	AfterFunc func(d time.Duration, f func()) (stop func() bool)
}

// Run listens until ctx ends.
func Run(ctx context.Context, o Options) {
	tell := o.Listening
	if tell == nil {
		tell = func(error) {}
	}
	for wait := backoffMin; ctx.Err() == nil; {
		began := false
		err := session(ctx, o, func() { began = true; tell(nil); o.Heard("") })
		if ctx.Err() != nil {
			return
		}
		tell(err)
		if began {
			wait = backoffMin
		}
		pause(ctx, o, wait)
		wait = min(2*wait, backoffMax)
	}
}

// session listens on one connection until it breaks.
func session(ctx context.Context, o Options, began func()) error {
	conn, err := o.Connect(ctx)
	if err != nil {
		return err
	}
	defer func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), pingMax)
		defer cancel()
		_ = conn.Close(ctx) // it is over either way
	}()
	if _, err := conn.Exec(ctx, "LISTEN "+pgx.Identifier{o.Channel}.Sanitize()); err != nil {
		return err
	}
	began()
	for {
		silent, cancel := context.WithTimeout(ctx, Silence)
		n, err := conn.WaitForNotification(silent)
		late := silent.Err() != nil
		cancel()
		switch {
		case err == nil:
			o.Heard(n.Payload)
			continue
		case ctx.Err() != nil || !late || conn.IsClosed():
			return err
		}
		asked, cancel := context.WithTimeout(ctx, pingMax)
		err = conn.Ping(asked)
		cancel()
		if err != nil {
			return err
		}
	}
}

func pause(ctx context.Context, o Options, d time.Duration) {
	done := make(chan struct{})
	stop := o.AfterFunc(d, func() { close(done) })
	defer stop()
	select {
	case <-done:
	case <-ctx.Done():
	}
}
