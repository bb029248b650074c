package nats

import (
	"errors"
	"net"
	"net/url"
	"sync/atomic"

	natsgo "github.com/nats-io/nats.go"

	"quipu/domain"
)

// Connect opens the connection and returns at once, whether or not a server answers: it is tried
// again for ever, with Options' pace, and so after every loss. Subscriptions come back by themselves;
// what is published meanwhile fails at once and is not kept.
//
// The caller closes the connection (Close, or Drain to let running subscriptions finish).
// Errors: ErrInvalid for bad options, among them credentials or certificates that cannot be read.
func Connect(o Options) (*natsgo.Conn, error) {
	if err := o.Validate(); err != nil {
		return nil, domain.Wrap(domain.KindInvalid, "connect to NATS", "", err)
	}
	o = o.withDefaults()
	var last atomic.Pointer[string] // the last failure that was logged: each is told once, not each second
	told := func(what string, err error) {
		text := what
		if err != nil {
			text += ": " + Plain(err).Error()
		}
		if before := last.Swap(&text); before == nil || *before != text {
			o.Logger.Warn(what, "error", Plain(err))
		}
		if err == nil {
			err = natsgo.ErrConnectionClosed
		}
		o.Changed(domain.Wrap(domain.KindUnavailable, "reach NATS", "", Plain(err)))
	}
	well := func(c *natsgo.Conn) {
		last.Store(nil)
		o.Logger.Info("NATS connected", "server", c.ConnectedServerName(), "addr", c.ConnectedAddr())
		o.Changed(nil)
	}
	options := append(o.options(),
		natsgo.ConnectHandler(well), natsgo.ReconnectHandler(well),
		natsgo.DisconnectErrHandler(func(c *natsgo.Conn, err error) {
			if !c.IsClosed() {
				told("NATS connection lost", err)
			}
		}),
		natsgo.ReconnectErrHandler(func(_ *natsgo.Conn, err error) { told("NATS cannot be reached", err) }),
		natsgo.ErrorHandler(func(_ *natsgo.Conn, s *natsgo.Subscription, err error) {
			subject := ""
			if s != nil {
				subject = s.Subject
			}
			o.Logger.Warn("NATS", "error", Plain(err), "subject", subject)
		}),
	)
	conn, err := natsgo.Connect(o.URLs, options...)
	if err != nil {
		return nil, domain.Wrap(domain.KindInvalid, "connect to NATS", "", Plain(err))
	}
	if !conn.IsConnected() {
		o.Changed(domain.E(domain.KindUnavailable, "reach NATS", "", "no server has answered yet"))
	}
	return conn, nil
}

// Health is nil while conn is connected. Errors: ErrUnavailable with why it is not.
func Health(conn *natsgo.Conn) error {
	if conn.IsConnected() {
		return nil
	}
	cause := conn.LastError()
	if cause == nil {
		cause = errors.New("not connected: " + conn.Status().String())
	}
	return domain.Wrap(domain.KindUnavailable, "reach NATS", "", Plain(cause))
}

// Plain removes the address with its user and password from an error of the url package.
func Plain(err error) error {
	if u, ok := errors.AsType[*url.Error](err); ok {
		return u.Err
	}
	return err
}

var schemes = map[string]bool{"nats": true, "tls": true, "ws": true, "wss": true}

func checkURL(text string) error {
	u, err := url.Parse(text)
	switch {
	case err != nil:
		return errors.New("is not a URL; write it like nats://host:4222")
	case !schemes[u.Scheme]:
		return errors.New("has no scheme nats, tls, ws or wss; write it like nats://host:4222")
	case u.Hostname() == "":
		return errors.New("names no host; write it like nats://host:4222")
	case u.Path != "" && u.Path != "/":
		return errors.New("has a path; write it like nats://host:4222")
	}
	if port := u.Port(); port != "" {
		if _, err := net.LookupPort("tcp", port); err != nil {
			return errors.New("has a bad port; write it like nats://host:4222")
		}
	}
	return nil
}
