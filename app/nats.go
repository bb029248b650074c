package app

import (
	"errors"
	"fmt"

	"quipu/infra/nats"
)

// openNATS makes the process's one connection, if there is to be one. Servers that are away are no fault.
func (s *server) openNATS() (err error) {
	c := s.Config.NATS
	if c.URL == "" {
		return nil
	}
	health := s.Health.Part("nats")
	s.nats, err = nats.Connect(nats.Options{
		URLs: c.URL.Reveal(), Name: "quipu " + s.node.ID, CredentialsFile: c.Credentials, CAFile: c.CA, CertFile: c.Cert, KeyFile: c.Key,
		Random: s.Clock.Jitter, Logger: s.Logger, Changed: health.Set,
	})
	if err != nil {
		return fmt.Errorf("NATS (see --nats and what goes with it): %w", err)
	}
	return nil
}

// closeBus closes the connections to other systems; nothing uses them any more.
func (s *server) closeBus() error {
	var errs []error
	for _, r := range s.relays {
		errs = append(errs, r.close())
	}
	if s.checkpointPool != nil {
		s.checkpointPool.Close()
	}
	if s.nats != nil {
		s.nats.Close()
	}
	return errors.Join(errs...)
}
