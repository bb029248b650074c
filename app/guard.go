package app

import (
	"context"
	"fmt"
	"io"

	"quipu/commands"
	"quipu/domain/wire"
	"quipu/domain/workflow"
	"quipu/infra/config"
)

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
