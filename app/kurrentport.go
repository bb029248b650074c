package app

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"

	"quipu/infra/kurrentport"
	"quipu/infra/lifecycle"
)

// portMember is the port on which the log speaks KurrentDB's protocol; without an address for it the
// member does nothing. ownWritable lets nodes write Quipu's own streams there.
func (s *server) portMember(ownWritable bool) lifecycle.Member {
	member := lifecycle.Member{Name: "kurrentdb port"}
	c := s.Config.Port
	if c.Addr == "" {
		return member
	}
	var port *kurrentport.Server
	var listener net.Listener
	member.Start = func(context.Context) error {
		options := kurrentport.Options{
			Prefix: s.Config.LogNames.Prefix, OwnWritable: ownWritable,
			AppendBytesMax: c.AppendBytesMax, StreamsMax: c.StreamsMax,
			Credentials: kurrentport.Credentials{Node: c.NodeCredential.Reveal(), Read: c.ReadCredential.Reveal()},
			Clock:       s.Clock.Now, NewID: s.Clock.NewID, Logger: s.Logger,
			Hooks: kurrentport.Hooks{Called: s.Metrics.PortCalled, Subscribed: s.Metrics.PortSubscribed},
		}
		if c.TLSCert != "" {
			pair, err := tls.LoadX509KeyPair(c.TLSCert, c.TLSKey)
			if err != nil {
				return fmt.Errorf("read the port's certificate (set --kurrentdb-tls-cert and --kurrentdb-tls-key to PEM files that belong together): %w", err)
			}
			options.TLS = &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12}
		}
		var err error
		if port, err = kurrentport.New(s.log, options); err != nil {
			return err
		}
		if listener, err = net.Listen("tcp", c.Addr); err != nil {
			return fmt.Errorf("listen on %s (set --kurrentdb-addr to a free address): %w", c.Addr, err)
		}
		s.Logger.Info("the log speaks KurrentDB's protocol", "addr", listener.Addr().String(),
			"prefix", s.Config.LogNames.Prefix, "own_streams_writable", ownWritable, "tls", options.TLS != nil)
		return nil
	}
	member.Run = func(_, work context.Context) error {
		defer context.AfterFunc(work, port.Close)()
		return port.Serve(listener)
	}
	member.Drain = func(ctx context.Context) error { return port.Shutdown(ctx) }
	member.Close = func() error {
		if port != nil {
			port.Close()
		}
		return nil
	}
	return member
}
