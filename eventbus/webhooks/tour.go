package webhooks

import (
	"context"
	"errors"
	"time"

	"quipu/domain"
	"quipu/eventbus/poison"
)

// tour is a courier's work from one checkpoint on, until it fails or ends. It belongs to one goroutine.
type tour struct {
	*courier
	window *window
	saved  domain.Position // the checkpoint as it is stored
	active int             // requests under way
	more   bool            // the log may hold more after window.considered
	stale  bool            // the checkpoint is to be saved
	// answered says that checkpoint and log have answered.
	answered bool
	results  chan result // room for all that are active, so that none waits
	due      chan domain.StreamID
}

type result struct {
	parcel *parcel
	answer answer
}

// saveTimeout bounds the last saving of a checkpoint.
const saveTimeout = 5 * time.Second

// deliver goes on until intake ends or something fails that is not the receiver's refusal.
func (t *tour) deliver(intake, work context.Context) error {
	poll, save := newAlarm(t.deps.Clock), newAlarm(t.deps.Clock)
	defer poll.stop()
	defer save.stop()
	for {
		news := t.sender.news()
		reading := t.more && t.window.room() > 0
		if reading {
			if err := t.read(intake); err != nil {
				return err
			}
			if !t.answered {
				t.answered = true
				t.ails("") // what ended the tour before is over, also if nothing is recorded meanwhile
			}
		}
		t.launch(work)
		t.show(func(s *Status) { s.Pending = t.window.pending })
		if t.window.checkpoint() > t.saved {
			save.set(SaveEvery)
		}
		if t.stale {
			t.stale = false
			if err := t.save(intake); err != nil {
				return err
			}
		}
		if reading && t.more {
			news = closed // there is more to read: only look whether anything else is to be done
		}
		poll.set(PollEvery)
		select {
		case <-intake.Done():
			return nil
		case r := <-t.results:
			if err := t.settle(intake, r); err != nil {
				return err
			}
		case stream := <-t.due:
			t.window.ready = append(t.window.ready, stream)
		case <-save.rung:
			save.clear()
			t.stale = true
		case <-poll.rung:
			poll.clear()
			t.more = true
		case <-news:
			t.more = true
		}
	}
}

// closed is ready at any time.
var closed = func() <-chan struct{} {
	c := make(chan struct{})
	close(c)
	return c
}()

// read takes the next page of the log in.
func (t *tour) read(ctx context.Context) error {
	page, err := t.deps.Log.ReadAll(ctx, t.window.considered, t.window.room())
	if err != nil {
		return err
	}
	t.more = len(page) > 0
	for i := range page {
		e := &page[i]
		if e.Position <= t.window.considered {
			return domain.E(domain.KindCorrupt, "deliver to", t.target.Name, "the log gave a position twice")
		}
		wanted, err := t.wants(ctx, e)
		if err != nil {
			return err
		}
		if wanted {
			t.window.add(e)
		} else {
			t.window.considered = e.Position
		}
	}
	return nil
}

// launch begins what may be begun.
func (t *tour) launch(work context.Context) {
	for t.active < ConcurrencyMax {
		p := t.window.next()
		if p == nil {
			return
		}
		t.active++
		event := p.event
		go func() { t.results <- t.carry(work, p, event) }()
	}
}

// carry makes one attempt; event is nil if it must be read again.
func (t *tour) carry(ctx context.Context, p *parcel, event *domain.Recorded) result {
	if event == nil {
		page, err := t.deps.Log.ReadStream(ctx, p.stream, p.revision, 1)
		if err != nil || len(page) == 0 {
			return result{parcel: p, answer: failed("the event cannot be read now")}
		}
		event = &page[0]
	}
	return result{parcel: p, answer: t.poster.attempt(ctx, event)}
}

// settle draws the consequences of an attempt.
func (t *tour) settle(ctx context.Context, r result) error {
	t.active--
	switch r.answer.outcome {
	case outcomeTaken:
		t.window.finish(r.parcel)
		if t.window.failing == 0 {
			t.ails("")
		}
		return nil
	case outcomeGone:
		t.window.release(r.parcel)
		return errGone
	}
	p := r.parcel
	t.window.fail(p)
	refused := "the receiver does not take an event: " + r.answer.reason
	if p.attempts < t.options.AttemptsMax {
		t.ails(refused)
		t.later(ctx, p, t.options.backoff(p.attempts, r.answer.asked, t.deps.Random))
		return nil
	}
	err := t.deps.Poison.Add(ctx, poison.Entry{
		Target: t.target.id(), Position: p.position, Stream: p.stream, Revision: p.revision, EventID: p.id, Type: p.typ,
		Attempts: p.attempts, Reason: r.answer.reason, At: t.deps.Clock.Now(),
	})
	if err != nil {
		// Neither taken nor on the list: it stays, and what stands behind it waits.
		t.ails("an event cannot be given up: " + err.Error())
		t.deps.Logger.Error("webhook cannot give an event up", "webhook", t.target.Name, "event", p.id, "error", err)
		t.later(ctx, p, t.options.BackoffMax)
		return nil
	}
	t.ails(refused)
	t.deps.Logger.Error("webhook gave an event up", "webhook", t.target.Name, "event", p.id, "stream", string(p.stream), "attempts", p.attempts, "reason", r.answer.reason)
	if f := t.deps.Hooks.GaveUp; f != nil {
		f(t.target.Name)
	}
	t.window.finish(p)
	return nil
}

// later lets the parcel's lane be attempted again after d.
func (t *tour) later(ctx context.Context, p *parcel, d time.Duration) {
	t.deps.Clock.AfterFunc(d, func() {
		select {
		case t.due <- p.stream:
		case <-ctx.Done():
		}
	})
}

// save moves the checkpoint to where everything is done.
func (t *tour) save(ctx context.Context) error {
	at := t.window.checkpoint()
	if at <= t.saved {
		return nil
	}
	if err := t.deps.Checkpoints.Save(ctx, t.target.id(), t.saved, at); err != nil {
		return err
	}
	t.saved = at
	t.show(func(s *Status) { s.Position = at })
	if f := t.deps.Hooks.Reached; f != nil {
		f(t.target.Name, at)
	}
	return nil
}

// end waits for the requests under way and saves what was reached.
func (t *tour) end(work context.Context) error {
	for t.active > 0 {
		r := <-t.results
		t.active--
		if r.answer.outcome == outcomeTaken {
			t.window.finish(r.parcel)
		}
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(work), saveTimeout)
	defer cancel()
	if err := t.save(ctx); err != nil && !errors.Is(err, domain.ErrConflict) {
		return err
	}
	return nil
}
