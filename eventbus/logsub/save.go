package logsub

import (
	"context"
	"errors"

	"quipu/domain"
)

// arm makes a save due in a while.
func (s *session) arm() {
	if s.checkpoint == "" || s.saving || s.armed || s.conflict || s.ending {
		return // the outcome of a save arms again
	}
	s.armed = true
	s.waiters.Go(func() {
		if s.sleep(s.ctx, s.o.SaveEvery) {
			select {
			case s.saveDue <- struct{}{}:
			case <-s.over:
			}
		}
	})
}

// save saves what is done, in the background. It is not cut short by the end of the subscription, since its
// outcome would not be known then.
func (s *session) save() {
	if s.checkpoint == "" || s.saving || s.conflict || s.ending || s.done == s.saved {
		return
	}
	s.saving, s.unsaved = true, 0
	from, to := s.saved, s.done
	s.waiters.Go(func() {
		ctx, cancel := context.WithTimeout(s.ctx, saveTimeout)
		defer cancel()
		err := s.deps.Checkpoints.Save(ctx, s.checkpoint, from, to)
		select {
		case s.saves <- saveOutcome{to, err}:
		case <-s.over:
		}
	})
}

func (s *session) settleSave(o saveOutcome) {
	s.saving = false
	switch {
	case o.err == nil:
		s.saved = o.to
		s.health.mend(failedSave)
	case errors.Is(o.err, domain.ErrConflict):
		// Somebody else moved it, or it is of another log: what it says now decides.
		s.conflict = true
		return
	default:
		s.unsaved = 0 // by the clock from now on, not with each event
		s.health.fail(failedSave)
		if f := s.o.Hooks.Failed; f != nil {
			f(s.topic, o.err, s.o.SaveEvery)
		}
	}
	if s.done != s.saved {
		s.arm()
	}
}

// finalSave saves what is done when nothing runs any more. What it cannot save comes again.
func (s *session) finalSave(ctx context.Context) {
	if s.checkpoint == "" || s.conflict || s.done == s.saved {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), saveTimeout)
	defer cancel()
	if err := s.deps.Checkpoints.Save(ctx, s.checkpoint, s.saved, s.done); err != nil && s.o.Hooks.Failed != nil {
		s.o.Hooks.Failed(s.topic, err, 0)
	}
}
