package webhooks

import (
	"context"
	"errors"

	"quipu/domain"
	"quipu/eventbus/poison"
)

// Poisoned lists what target gave up, after a position (exclusive), at most max.
// Errors: ErrNotFound with code WEBHOOK_UNKNOWN; those of the list.
func (s *Sender) Poisoned(ctx context.Context, target string, after domain.Position, max int) ([]poison.Entry, error) {
	c := s.byName[target]
	if c == nil {
		return nil, unknown(target)
	}
	return s.deps.Poison.Entries(ctx, c.target.id(), after, max)
}

// Replay posts one event of the poison list again, once, and removes it if it is taken. It comes after
// events that were recorded later. A failure stays on the list with its reason.
//
// Errors: ErrNotFound with code WEBHOOK_UNKNOWN or ENTRY_UNKNOWN; ErrUnavailable with code
// NOT_TAKEN if the receiver did not take it; ErrRefused with code LOG_CHANGED if the log here has another
// event there; those of log and list.
func (s *Sender) Replay(ctx context.Context, target string, at domain.Position) error {
	c := s.byName[target]
	if c == nil {
		return unknown(target)
	}
	s.replays.Lock()
	defer s.replays.Unlock()
	e, err := s.entry(ctx, c, at)
	if err != nil {
		return err
	}
	return c.replay(ctx, e)
}

// Replayed counts what ReplayAll did.
type Replayed struct{ Taken, Failed int }

// ReplayAll posts what stands on target's poison list, oldest first, each once. It stops at the end of
// ctx or when failuresMax events in a row were not taken (0: never).
//
// Errors: as Replay, except that events that are not taken are counted.
func (s *Sender) ReplayAll(ctx context.Context, target string, failuresMax int) (Replayed, error) {
	var done Replayed
	c := s.byName[target]
	if c == nil {
		return done, unknown(target)
	}
	s.replays.Lock()
	defer s.replays.Unlock()
	entries, err := s.deps.Poison.Entries(ctx, c.target.id(), 0, poison.EntriesMax)
	if err != nil {
		return done, err
	}
	inRow := 0
	for _, e := range entries {
		if err := ctx.Err(); err != nil {
			return done, domain.Wrap(domain.KindCanceled, "replay", target, err)
		}
		err := c.replay(ctx, e)
		var coded *domain.Error
		switch {
		case err == nil:
			done.Taken++
			inRow = 0
			continue
		case !errors.As(err, &coded) || coded.Code != "NOT_TAKEN":
			return done, err
		}
		done.Failed++
		if inRow++; inRow == failuresMax {
			break
		}
	}
	return done, nil
}

// Discard takes an event off the list that is not to be delivered any more.
// Errors: ErrNotFound with code WEBHOOK_UNKNOWN or ENTRY_UNKNOWN; those of the list.
func (s *Sender) Discard(ctx context.Context, target string, at domain.Position) error {
	c := s.byName[target]
	if c == nil {
		return unknown(target)
	}
	if _, err := s.entry(ctx, c, at); err != nil {
		return err
	}
	return s.deps.Poison.Remove(ctx, c.target.id(), at)
}

func (s *Sender) entry(ctx context.Context, c *courier, at domain.Position) (poison.Entry, error) {
	page, err := s.deps.Poison.Entries(ctx, c.target.id(), max(at, 1)-1, 1)
	if err != nil {
		return poison.Entry{}, err
	}
	if len(page) == 0 || page[0].Position != at {
		return poison.Entry{}, domain.E(domain.KindNotFound, "", "", "stands on no poison list of this webhook").WithField("position").WithCode("ENTRY_UNKNOWN")
	}
	return page[0], nil
}

func (c *courier) replay(ctx context.Context, e poison.Entry) error {
	page, err := c.deps.Log.ReadStream(ctx, e.Stream, e.Revision, 1)
	if err != nil && !errors.Is(err, domain.ErrNotFound) {
		return err
	}
	if len(page) == 0 || page[0].ID.String() != e.EventID && e.EventID != "" {
		return domain.E(domain.KindRefused, "replay", string(e.Stream), "the log here has no such event: the entry was made with another log").WithCode("LOG_CHANGED")
	}
	a := c.poster.attempt(ctx, &page[0])
	if a.outcome == outcomeTaken {
		return c.deps.Poison.Remove(ctx, c.target.id(), e.Position)
	}
	if ctx.Err() != nil {
		return domain.Wrap(domain.KindCanceled, "replay", string(e.Stream), ctx.Err())
	}
	e.Attempts++
	e.Reason = a.reason
	e.At = c.deps.Clock.Now()
	if err := c.deps.Poison.Add(ctx, e); err != nil {
		return err
	}
	return domain.E(domain.KindUnavailable, "replay", string(e.Stream), "the receiver did not take it: "+a.reason).WithCode("NOT_TAKEN")
}
