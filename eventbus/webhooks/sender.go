package webhooks

import (
	"context"
	"fmt"
	"log/slog"
	"sync"

	"quipu/domain"
)

// Sender delivers to all targets. Lifetime: New, Run (once), then ctx ends. All methods are safe for
// concurrent use.
type Sender struct {
	deps     Deps
	options  Options
	couriers []*courier // in the order of the targets
	byName   map[string]*courier
	replays  sync.Mutex // one at a time

	mu    sync.Mutex
	woken chan struct{} // closed and replaced by Wake
}

// New makes a sender. It panics without a required collaborator: a programming error.
//
// Errors: those of Options.Validate; targets that are too many, have one name, or lack a URL or a key.
func New(targets []Target, deps Deps, options Options) (*Sender, error) {
	if deps.Log == nil || deps.Checkpoints == nil || deps.Poison == nil || deps.Clock == nil || deps.Client == nil || deps.Render == nil || deps.Random == nil {
		panic("webhooks: New needs a log, checkpoints, a poison list, a clock, a client, Render and Random")
	}
	if deps.Logger == nil {
		deps.Logger = slog.New(slog.DiscardHandler)
	}
	if deps.Owns == nil {
		deps.Owns = func(string) (bool, <-chan struct{}) { return true, nil }
	}
	if err := options.Validate(); err != nil {
		return nil, err
	}
	if len(targets) > TargetsMax {
		return nil, fmt.Errorf("%d webhooks, at most %d are allowed", len(targets), TargetsMax)
	}
	s := &Sender{deps: deps, options: options.withDefaults(), byName: map[string]*courier{}, woken: make(chan struct{})}
	for i := range targets {
		t := &targets[i]
		switch err := CheckName(t.Name); {
		case err != nil:
			return nil, fmt.Errorf("webhook %d: %w", i+1, err)
		case s.byName[t.Name] != nil:
			return nil, fmt.Errorf("webhook %s: two have that name", t.Name)
		case t.URL == nil || len(t.Keys) == 0:
			return nil, fmt.Errorf("webhook %s: has no URL or no key", t.Name)
		case len(t.Workflows) > 0 && deps.WorkflowOf == nil:
			panic("webhooks: a target with workflows needs WorkflowOf")
		}
		c := &courier{sender: s, target: t, deps: &s.deps, options: s.options, poster: newPoster(t, &s.deps, s.options.Timeout)}
		s.couriers = append(s.couriers, c)
		s.byName[t.Name] = c
	}
	return s, nil
}

// Run delivers until intake ends; requests under way may go on until work does. It returns nil.
func (s *Sender) Run(intake, work context.Context) error {
	var group sync.WaitGroup
	for _, c := range s.couriers {
		group.Go(func() { c.run(intake, work) })
	}
	group.Wait()
	return nil
}

// Wake says that the log may hold more. It costs next to nothing and never blocks.
func (s *Sender) Wake() {
	s.mu.Lock()
	close(s.woken)
	s.woken = make(chan struct{})
	s.mu.Unlock()
}

func (s *Sender) news() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.woken
}

// Status is how one target stands.
type Status struct {
	Name     string
	Place    string // scheme and host
	Active   bool   // whether this process delivers to it
	Position domain.Position
	Pending  int    // events in memory that are not taken yet
	Ailing   string // what is wrong with it, "" for nothing
	Poison   int    // entries of its poison list
}

// Status says how each target stands, in the order of the configuration.
// Errors: those of the poison list.
func (s *Sender) Status(ctx context.Context) ([]Status, error) {
	out := make([]Status, 0, len(s.couriers))
	for _, c := range s.couriers {
		st := c.status()
		var err error
		if st.Poison, err = s.deps.Poison.Count(ctx, c.target.id()); err != nil {
			return nil, err
		}
		out = append(out, st)
	}
	return out, nil
}

// unknown refuses a name that is no target's.
func unknown(name string) error {
	return domain.E(domain.KindNotFound, "", "", fmt.Sprintf("names no webhook of this server's configuration: %.64q", name)).
		WithField("name").WithCode("WEBHOOK_UNKNOWN")
}
