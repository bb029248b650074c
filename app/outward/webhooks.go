package outward

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
func (o *Outward) openWebhooks(ctx context.Context) error {
	c := o.Config
	entries, err := config.ReadWebhooks(c.Webhooks.File)
	if err != nil || len(entries) == 0 {
		return err
	}
	targets, err := webhookTargets(entries)
	if err != nil {
		return err
	}
	list, err := o.openPoison(ctx)
	if err != nil {
		return fmt.Errorf("open poison lists: %w", err)
	}
	client, err := outbound.NewClient(outbound.Options{Allow: c.Outbound.Allow, AllowLoopback: c.LoopbackAllowed()})
	if err != nil {
		return fmt.Errorf("outbound client of webhooks: %w", err)
	}
	o.webhooks.ailing = map[string]string{}
	health := o.Health.Part("webhooks")
	o.webhooks.Sender, err = webhooks.New(targets, webhooks.Deps{
		Log: o.log, Checkpoints: o.checkpoints, Poison: list, Clock: o.Clock, Client: client, WorkflowOf: o.inner.Hub.WorkflowOf,
		Owns: o.node.Owns, Random: o.Clock.Jitter, Logger: o.Logger,
		Render: func(_ context.Context, e *domain.Recorded) ([]byte, error) {
			return cloudevent.Append(nil, o.log.ID(), e, nil)
		},
		Hooks: webhooks.Hooks{
			Attempted: o.Metrics.WebhookAttempted,
			GaveUp:    func(name string) { o.Metrics.Poisoned(webhookList(name)) },
			Ailing:    func(name, what string) { health.Set(o.webhooks.ails(name, what)) },
		},
	}, webhooks.Options{AttemptsMax: c.Webhooks.AttemptsMax, Timeout: c.Webhooks.Timeout})
	return err
}

func (o *Outward) openPoison(ctx context.Context) (poison.List, error) {
	if o.node.DB == nil {
		return files.Open(filepath.Join(o.Config.Storage.Data, stores.PoisonFolder))
	}
	list, err := pgpoison.Open(ctx, o.node.DB)
	o.webhooks.list = list
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

// measureWebhooks says how far webhooks are behind, and how long their poison lists are, at the moment of
// asking.
func (o *Outward) measureWebhooks(ctx context.Context) {
	if o.webhooks.Sender == nil {
		return
	}
	states, err := o.webhooks.Status(ctx)
	if err != nil {
		return // the part's own checks tell
	}
	head, err := o.log.Head(ctx)
	for _, w := range states {
		o.Metrics.PoisonHolds(webhookList(w.Name), w.Poison)
		if err != nil {
			continue
		}
		behind := uint64(0)
		if w.Active {
			behind = max(uint64(head), uint64(w.Position)) - uint64(w.Position)
		}
		o.TellLag(ctx, o.log, webhookList(w.Name), w.Position, behind)
	}
}
