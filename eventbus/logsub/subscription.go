package logsub

import (
	"context"

	"github.com/ThreeDotsLabs/watermill/message"

	"quipu/domain"
	"quipu/eventbus"
)

// subscription is one call of Subscribe. It is a row of sessions, each from the checkpoint on; a session
// ends with the subscription, or because somebody else moved the checkpoint.
type subscription struct {
	*Subscriber
	topic      string
	checkpoint string // its name, "" for none
	out        chan *message.Message
	loaded     bool            // after is what the checkpoint says
	after      domain.Position // where the next session begins
	health     health
}

func (s *subscription) run(ctx context.Context) {
	for n := 1; ctx.Err() == nil; {
		if s.checkpoint != "" && !s.loaded {
			after, err := s.deps.Checkpoints.Load(ctx, s.checkpoint)
			if err != nil {
				s.failed(ctx, err, n)
				n++
				continue
			}
			s.after = after
			s.health.mend(failedSave) // what could not be saved comes again, and is saved then
		}
		n = 1
		if f := s.o.Hooks.Began; f != nil {
			f(s.topic, s.after)
		}
		s.loaded = false
		newSession(s, s.after).run(ctx)
	}
}

// batch is one step of reading the log.
type batch struct {
	events   []domain.Recorded
	position domain.Position
}

// read follows the log after a position and hands on what it gives, until ctx ends. After a failure it goes on
// where it was.
func (s *subscription) read(ctx context.Context, after domain.Position, batches chan<- batch) {
	for n := 1; ctx.Err() == nil; n++ {
		source, err := s.deps.Open(ctx, after, s.o.Prefix(s.topic))
		if err == nil {
			before := after
			after, err = s.follow(ctx, source, after, batches)
			if after > before {
				n = 1
			}
		}
		if err != nil {
			s.failed(ctx, err, n)
		}
	}
}

// follow hands on what a source gives until it fails or ctx ends.
func (s *subscription) follow(ctx context.Context, source eventbus.Source, after domain.Position, batches chan<- batch) (_ domain.Position, err error) {
	defer func() {
		if closed := source.Close(); err == nil {
			err = closed
		}
	}()
	for {
		events, position, _, err := source.Next(ctx)
		if err != nil {
			return after, err
		}
		s.health.mend(failedRead)
		// A source begins after its position; what it should repeat is known.
		for len(events) > 0 && events[0].Position <= after {
			events = events[1:]
		}
		if len(events) > 0 {
			position = max(position, events[len(events)-1].Position)
		}
		if position <= after {
			continue
		}
		select {
		case batches <- batch{events, position}:
			after = position
		case <-ctx.Done():
			return after, ctx.Err()
		}
	}
}
