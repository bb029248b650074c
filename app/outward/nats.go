package outward

import (
	"fmt"

	"quipu/infra/nats"
)

// openNATS makes the process's one connection, if there is to be one. Servers that are away are no fault.
func (o *Outward) openNATS() (err error) {
	c := o.Config.NATS
	if c.URL == "" {
		return nil
	}
	health := o.Health.Part("nats")
	o.nats, err = nats.Connect(nats.Options{
		URLs: c.URL.Reveal(), Name: "quipu " + o.node.ID, CredentialsFile: c.Credentials, CAFile: c.CA, CertFile: c.Cert, KeyFile: c.Key,
		Random: o.Clock.Jitter, Logger: o.Logger, Changed: health.Set,
	})
	if err != nil {
		return fmt.Errorf("NATS (see --nats and what goes with it): %w", err)
	}
	return nil
}
