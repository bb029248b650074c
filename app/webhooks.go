package app

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"quipu/app/stores"
	"quipu/domain"
	"quipu/eventbus/cloudevent"
	"quipu/eventbus/poison"
	"quipu/eventbus/webhooks"
	"quipu/infra/config"
	"quipu/infra/lifecycle"
	"quipu/infra/outbound"

	files "quipu/infra/poison"
	pgpoison "quipu/infra/postgres/poison"
)

// posting is the webhooks of this process; all of it is empty without any.
type posting struct {
	*webhooks.Sender
	list *pgpoison.Table // nil unless nodes share it

	mu     sync.Mutex
	ailing map[string]string // by webhook
}

func (p *posting) wake() {
	if p.Sender != nil {
		p.Wake()
	}
}

func (p *posting) close() error {
	if p.list == nil {
		return nil
	}
	return p.list.Close()
}

// openWebhooks reads the file of webhooks and builds what posts to them. The hub and the checkpoints are there.
func (s *server) openWebhooks(ctx context.Context) error {
	c := s.Config
	entries, err := config.ReadWebhooks(c.Webhooks.File)
	if err != nil || len(entries) == 0 {
		return err
	}
	targets, err := webhookTargets(entries)
	if err != nil {
		return err
	}
	list, err := s.openPoison(ctx)
	if err != nil {
		return fmt.Errorf("open poison lists: %w", err)
	}
	client, err := outbound.NewClient(outbound.Options{Allow: c.Outbound.Allow, AllowLoopback: c.LoopbackAllowed()})
	if err != nil {
		return fmt.Errorf("outbound client of webhooks: %w", err)
	}
	s.webhooks.ailing = map[string]string{}
	health := s.Health.Part("webhooks")
	s.webhooks.Sender, err = webhooks.New(targets, webhooks.Deps{
		Log: s.log, Checkpoints: s.checkpoints, Poison: list, Clock: s.Clock, Client: client, WorkflowOf: s.hub.WorkflowOf,
		Owns: s.node.Owns, Random: s.Clock.Jitter, Logger: s.Logger,
		Render: func(_ context.Context, e *domain.Recorded) ([]byte, error) {
			return cloudevent.Append(nil, s.log.ID(), e, nil)
		},
		Hooks: webhooks.Hooks{
			Attempted: s.Metrics.WebhookAttempted,
			GaveUp:    func(name string) { s.Metrics.Poisoned(webhookList(name)) },
			Ailing:    func(name, what string) { health.Set(s.webhooks.ails(name, what)) },
		},
	}, webhooks.Options{AttemptsMax: c.Webhooks.AttemptsMax, Timeout: c.Webhooks.Timeout})
	return err
}

func (s *server) openPoison(ctx context.Context) (poison.List, error) {
	if s.node.DB == nil {
		return files.Open(filepath.Join(s.Config.Storage.Data, stores.PoisonFolder))
	}
	list, err := pgpoison.Open(ctx, s.node.DB)
	s.webhooks.list = list
	return list, err
}

func webhookTargets(entries []config.Webhook) ([]webhooks.Target, error) {
	out := make([]webhooks.Target, 0, len(entries))
	for _, e := range entries {
		u, err := url.Parse(e.URL.Reveal())
		if err != nil {
			return nil, fmt.Errorf("webhook %s: its URL cannot be read", e.Name)
		}
		t := webhooks.Target{Name: e.Name, URL: u, Types: e.Types, Workflows: e.Workflows, FromStart: e.From == "start"}
		for _, text := range []config.Secret{e.Secret, e.PreviousSecret} {
			if text == "" {
				continue
			}
			key, ok := webhooks.ParseSecret(text.Reveal())
			if !ok {
				return nil, fmt.Errorf("webhook %s: a secret cannot be read", e.Name)
			}
			t.Keys = append(t.Keys, key)
		}
		out = append(out, t)
	}
	return out, nil
}

// webhookList is how a webhook's poison list is called in metrics.
func webhookList(name string) string { return "webhooks:" + name }

// ails notes what is wrong with one webhook and words all that is; nil for nothing.
func (p *posting) ails(name, what string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if what == "" {
		delete(p.ailing, name)
	} else {
		p.ailing[name] = what
	}
	var all []string
	for _, name := range slices.Sorted(maps.Keys(p.ailing)) {
		all = append(all, name+": "+p.ailing[name])
	}
	if len(all) == 0 {
		return nil
	}
	return errors.New(strings.Join(all, "; "))
}

// outwardMembers are the webhooks, the intake and the deltas as parts of the process, those that there are.
func (s *server) outwardMembers() (out []lifecycle.Member) {
	if s.webhooks.Sender != nil {
		out = append(out, lifecycle.Member{Name: "webhooks", EndsAfterIntake: true, Run: s.webhooks.Run})
	}
	if s.deltas != nil {
		out = append(out, lifecycle.Member{Name: "deltas", Run: func(_, work context.Context) error { return s.deltas.Run(work) }})
	}
	if s.commandsIn != nil {
		out = append(out, lifecycle.Member{Name: "intake", EndsAfterIntake: true, Run: s.runIntake})
	}
	return out
}

// measureWebhooks says how far webhooks are behind, and how long their poison lists are, at the moment of
// asking.
func (s *server) measureWebhooks(ctx context.Context) {
	if s.webhooks.Sender == nil {
		return
	}
	states, err := s.webhooks.Status(ctx)
	if err != nil {
		return // the part's own checks tell
	}
	head, err := s.log.Head(ctx)
	for _, w := range states {
		s.Metrics.PoisonHolds(webhookList(w.Name), w.Poison)
		if err != nil {
			continue
		}
		behind := uint64(0)
		if w.Active {
			behind = max(uint64(head), uint64(w.Position)) - uint64(w.Position)
		}
		s.TellLag(ctx, s.log, webhookList(w.Name), w.Position, behind)
	}
}
