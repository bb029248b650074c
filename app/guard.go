package app

import (
	"context"
	"fmt"
	"io"

	"quipu/commands"
	"quipu/domain/wire"
	"quipu/domain/workflow"
	"quipu/infra/config"
	"quipu/infra/guard"
)

// newGuard makes the door that every request passes.
func (s *server) newGuard() *guard.Guard {
	c := s.config
	keys := c.Guard.Keys()
	options := guard.Options{
		LAOOpen: c.LAOIsOpen(), Origins: guard.NewOrigins(c.HTTP.CORSOrigins),
		Hosts:   guard.NewHosts(c.Guard.Hosts, c.HTTP.CORSOrigins, c.HTTP.ServesLoopbackOnly()),
		Refused: s.metrics.RequestRefused, Now: s.clock.Now,
		Told: func(reason, from string, more int) {
			s.logger.Warn("request refused at the door", "reason", reason, "from", from, "more_since_last_line", more)
		},
	}
	for _, k := range keys {
		options.Keys = append(options.Keys, guard.Key{Name: k.Name, SHA256: k.SHA256})
	}
	if len(keys) == 0 && !c.HTTP.ServesLoopbackOnly() {
		s.logger.Warn("no api-keys are set and --insecure was said: whoever reaches the address may do everything", "addr", c.HTTP.Addr)
	}
	return guard.New(options)
}

// processKeys are the keys of the process itself, which no output of a run may show.
func processKeys(c config.Config) []string {
	keys := []string{c.LLM.APIKey.Reveal()}
	for _, k := range c.Guard.Keys() {
		keys = append(keys, k.Plain.Reveal())
	}
	return keys
}

// firstEndpoint makes an endpoint on a log without events and prints its key, this once: a client of
// an endpoint can begin without another step.
func (s *server) firstEndpoint(ctx context.Context, stdout io.Writer) error {
	head, err := s.log.Head(ctx)
	if err != nil || head > 0 {
		return err
	}
	by := commands.By{Actor: wire.Actor{Kind: wire.ActorSystem, Via: "first-start"}}
	made, err := s.endpoints.Create(ctx, workflow.EndpointDefault, by)
	if err != nil {
		return fmt.Errorf("make the first endpoint: %w", err)
	}
	_, err = fmt.Fprintf(stdout, "endpoint %s is ready; its key, which is shown this once: %s\n", made.ID, made.Key)
	return err
}
