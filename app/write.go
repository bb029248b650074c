package app

import (
	"fmt"
	"time"

	"quipu/app/process"
	"quipu/commands"
	"quipu/commands/node"
	"quipu/commands/nodetypes"
	"quipu/eventbus"
	"quipu/infra/config"
	"quipu/infra/outbound"
)

// buildWriteSide makes what decides: node types, the executor, channels, definitions and endpoints.
func (s *server) buildWriteSide() error {
	c := s.Config
	client, err := outbound.NewClient(outbound.Options{Allow: c.Outbound.Allow, AllowLoopback: c.LoopbackAllowed()})
	if err != nil {
		return fmt.Errorf("outbound client: %w", err)
	}
	if s.Tracer != nil {
		client.Transport = s.Tracer.Transport(client.Transport)
	}
	log := s.seen.Log(s.node.Gated(s.traced(s.log)))
	secrets := commands.Secrets{Vault: s.node.Vault, Blobs: s.node.Blobs, Process: processKeys(c)}
	s.channels = commands.NewChannels(commands.ChannelDeps{
		Log: log, Blobs: s.node.Blobs, Secrets: secrets, Clock: s.Clock, IDs: s.Clock, Logger: s.Logger, Shared: s.node.Shared(),
	})
	s.registry, err = node.NewRegistry(nodetypes.All(nodetypes.Deps{
		Channels: s.channels, HTTP: client, ReplyBytesMax: int64(c.Outbound.ReplyBytesMax), Now: s.Clock.Now,
		Model: nodetypes.Model{BaseURL: c.LLM.BaseURL, Key: c.LLM.APIKey.Reveal(), Name: c.LLM.Model},
	})...)
	if err != nil {
		return err
	}
	s.effects = eventbus.NewEffects(c.Effects.Max, s.Logger)
	s.executor = commands.NewExecutor(commands.Deps{
		Node: s.node.ID, Members: s.node.Members, Snapshots: s.node.Snapshots(), Log: log, Tails: s.tails, Blobs: s.node.Blobs, Secrets: secrets, Effects: s.effects,
		Registry: s.registry, Compute: commands.Compute{Registry: s.registry, Blobs: s.node.Blobs},
		Clock: s.Clock, IDs: s.Clock, Logger: s.Logger, Hooks: s.executorHooks(), Tracer: s.executorTracer(),
	}, commands.Limits{
		ActiveRunsMax: c.Runs.ActiveMax, PendingRunsMax: noneIfZero(c.Runs.PendingMax), SleepingRunsMax: noneIfZero(c.Runs.SleepingMax),
		TaskTimeout: c.Effects.TaskTimeout,
	})
	s.definitions = commands.NewDefinitions(commands.DefinitionDeps{
		Log: log, Blobs: s.node.Blobs, Secrets: secrets, Clock: s.Clock, IDs: s.Clock,
		Registry: s.registry, Starter: s.executor, Hooks: s.executorHooks(),
	})
	s.endpoints = commands.NewEndpoints(commands.EndpointDeps{
		Log: log, Clock: s.Clock, IDs: s.Clock, Secret: s.Clock.Secret, Hooks: s.executorHooks(),
	})
	return nil
}

func (s *server) executorHooks() commands.Hooks {
	return commands.Hooks{
		Appended: func(_ int, took time.Duration, err error) { s.Metrics.AppendObserved(process.Outcome(err), took) },
		Command: func(name string, took time.Duration, err error) {
			s.Metrics.CommandObserved(name, process.Outcome(err), took)
		},
		Started: func(string) { s.Metrics.EffectStarted() },
		Runs: func(active, pending, quarantined int) {
			s.Metrics.RunsActive(active)
			s.Metrics.RunsPending(pending)
			s.Metrics.RunsQuarantined(quarantined)
		},
		Sleeping: s.Metrics.RunsSleeping,
		Awaits:   s.channels.Awaits,
		Effect: func(function string, took time.Duration, outcome string) {
			s.Metrics.EffectEnded(function, outcome, took)
		},
		Delta: s.outward.Said,
	}
}

// processKeys are the keys of the process itself, which no output of a run may show.
func processKeys(c config.Config) []string {
	keys := []string{c.LLM.APIKey.Reveal()}
	for _, k := range c.Guard.Keys() {
		keys = append(keys, k.Plain.Reveal())
	}
	return keys
}

// noneIfZero turns a setting whose 0 means none into an option whose 0 means its default.
func noneIfZero(n int) int {
	if n == 0 {
		return -1
	}
	return n
}
