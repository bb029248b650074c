package commands

import (
	"context"

	"quipu/domain"
	"quipu/domain/channel"
	"quipu/domain/wire"
)

// follow learns from the feed what other nodes publish. A subscription that fails is opened again, and all
// who wait are looked after then: nothing is missed, only late.
func (c *Channels) follow(ctx context.Context) {
	for failures := 0; ctx.Err() == nil; failures++ {
		err := c.followOnce(ctx, func() { failures = 0 })
		if ctx.Err() != nil {
			return
		}
		c.deps.Logger.Warn("the feed of channels ended; it is opened again", "error", err)
		if pause(ctx, c.deps.Clock, min(scanRetryFirst<<min(failures, 20), deliverEvery)) != nil {
			return
		}
	}
}

func (c *Channels) followOnce(ctx context.Context, works func()) error {
	head, err := c.deps.Log.Head(ctx)
	if err != nil {
		return err
	}
	sub, err := c.deps.Log.Subscribe(ctx, head, channel.StreamPrefix)
	if err != nil {
		return err
	}
	defer func() { _ = sub.Close() }() // nothing is lost with it
	c.noteAll()
	for {
		b, err := sub.Next(ctx)
		if err != nil {
			return err
		}
		works()
		for i := range b.Events {
			c.heard(&b.Events[i])
		}
	}
}

// heard looks after those who wait for a message's channel. One that cannot be read is for whoever reads
// its channel to report.
func (c *Channels) heard(r *domain.Recorded) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.waiting) == 0 {
		return
	}
	if m, err := wire.DecodeChannelMessage(r.Type, r.Data); err == nil && len(c.waiting[m.Channel]) > 0 {
		c.note(m.Channel)
	}
}

// noteAll looks after everybody: what was published before the feed was opened is in the log.
func (c *Channels) noteAll() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for name := range c.waiting {
		c.note(name)
	}
}
