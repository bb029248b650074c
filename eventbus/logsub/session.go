package logsub

import (
	"context"
	"sync"

	"github.com/ThreeDotsLabs/watermill/message"

	"quipu/domain"
)

// session hands over events from one position on. All but its waiters belongs to one goroutine.
type session struct {
	*subscription

	window  []*entry        // read and not known to be done with all before it, in order
	read    domain.Position // up to which the log was read
	done    domain.Position // up to which everything is done
	lanes   map[string][]*entry
	ready   []*entry                    // first of their lanes, to be handed over
	flying  map[*entry]*message.Message // handed over, with no outcome taken yet
	next    *message.Message
	nextCtx context.CancelFunc

	saved    domain.Position // what the checkpoint says
	unsaved  int             // events done since
	armed    bool            // a save is due in a while
	saving   bool
	conflict bool // somebody else moved the checkpoint
	ending   bool // only finalSave saves now

	ctx      context.Context // of messages; ends with the session
	outcomes chan outcome
	due      chan *entry
	saveDue  chan struct{}
	saves    chan saveOutcome
	over     chan struct{} // closed when nobody listens any more
	waiters  sync.WaitGroup
}

// entry is one event that was read.
type entry struct {
	event    domain.Recorded
	key      string
	attempts int
	finished bool
}

type outcome struct {
	entry *entry
	ack   bool
}

type saveOutcome struct {
	to  domain.Position
	err error
}

func newSession(s *subscription, after domain.Position) *session {
	return &session{
		subscription: s, read: after, done: after, saved: after, lanes: map[string][]*entry{}, flying: map[*entry]*message.Message{},
		outcomes: make(chan outcome), due: make(chan *entry), saveDue: make(chan struct{}), saves: make(chan saveOutcome),
		over: make(chan struct{}),
	}
}

// run returns when ctx ends or somebody else moved the checkpoint, and nothing of it runs any more.
func (s *session) run(ctx context.Context) {
	reading, stopReading := context.WithCancel(ctx)
	batches := make(chan batch)
	s.waiters.Go(func() { s.subscription.read(reading, s.read, batches) })
	messages, endMessages := context.WithCancel(context.WithoutCancel(ctx))
	s.ctx = messages

	s.work(ctx, batches)
	stopReading()
	s.linger(ctx)
	endMessages()
	close(s.over)
	s.waiters.Wait()
	s.finalSave(ctx)
}

// work reads, hands over and takes outcomes.
func (s *session) work(ctx context.Context, batches <-chan batch) {
	for !s.conflict {
		var in <-chan batch
		if len(s.window) < windowMax {
			in = batches
		}
		var out chan<- *message.Message
		if s.prepare() {
			out = s.out
		}
		select {
		case b := <-in:
			s.add(b)
		case out <- s.next:
			s.handedOver()
		case <-ctx.Done():
			return
		case o := <-s.outcomes:
			s.settle(o)
		case e := <-s.due:
			s.ready = append(s.ready, e)
		case <-s.saveDue:
			s.armed = false
			s.save()
		case saved := <-s.saves:
			s.settleSave(saved)
		}
	}
}

// linger waits for the outcomes of what is out: as long as they take if the session is to begin anew, so that
// no event is out twice, else as long as Options.CloseGrace says.
func (s *session) linger(ctx context.Context) {
	if s.nextCtx != nil {
		s.nextCtx()
	}
	grace := make(chan struct{})
	ended, patient := ctx.Done(), true
	for len(s.flying) > 0 && patient || s.saving {
		select {
		case <-ended:
			ended = nil
			if patient = s.o.CloseGrace > 0; patient {
				defer s.deps.Clock.AfterFunc(s.o.CloseGrace, func() { close(grace) })()
			}
		case <-grace:
			patient, grace = false, nil
		case o := <-s.outcomes:
			s.settle(o)
		case <-s.due: // too late: it comes with the next session
		case <-s.saveDue:
			s.armed = false
		case saved := <-s.saves:
			s.settleSave(saved)
		}
	}
	// What was acknowledged before the end counts, though nobody told us yet; finalSave saves it.
	s.ending = true
	for e, m := range s.flying {
		select {
		case <-m.Acked():
			delete(s.flying, e)
			s.finish(e)
		default:
		}
	}
}

// add takes in what was read.
func (s *session) add(b batch) {
	for i := range b.events {
		e := &entry{event: b.events[i], key: s.o.Key(&b.events[i])}
		s.window = append(s.window, e)
		lane, busy := s.lanes[e.key]
		s.lanes[e.key] = append(lane, e)
		if !busy {
			s.ready = append(s.ready, e)
		}
	}
	s.read = b.position
	s.advance()
}

// prepare makes the next message ready to be handed over and reports whether there is one.
func (s *session) prepare() bool {
	for s.next == nil && len(s.ready) > 0 && len(s.flying) < s.o.InFlight {
		e := s.ready[0]
		m := s.deps.Message(&e.event)
		if m == nil {
			s.ready = s.ready[1:]
			s.finish(e)
			continue
		}
		ctx, cancel := context.WithCancel(context.WithValue(s.ctx, deliveryKey{}, Delivery{Event: &e.event, Attempt: e.attempts + 1}))
		m.SetContext(ctx)
		s.next, s.nextCtx = m, cancel
	}
	return s.next != nil
}

// handedOver waits for the outcome of the message that was taken.
func (s *session) handedOver() {
	e, m, cancel := s.ready[0], s.next, s.nextCtx
	s.ready, s.next, s.nextCtx = s.ready[1:], nil, nil
	e.attempts++
	s.flying[e] = m
	s.waiters.Go(func() {
		defer cancel()
		o := outcome{entry: e}
		select {
		case <-m.Acked():
			o.ack = true
		case <-m.Nacked():
		case <-s.over:
			return
		}
		cancel()
		select {
		case s.outcomes <- o:
		case <-s.over:
		}
	})
}

// settle takes the outcome of a message.
func (s *session) settle(o outcome) {
	delete(s.flying, o.entry)
	if o.ack {
		s.finish(o.entry)
		return
	}
	wait := s.o.Wait(o.entry.attempts)
	if f := s.o.Hooks.Refused; f != nil {
		f(s.topic, &o.entry.event, o.entry.attempts, wait)
	}
	s.waiters.Go(func() {
		if s.sleep(s.ctx, wait) {
			select {
			case s.due <- o.entry:
			case <-s.over:
			}
		}
	})
}

// finish marks an event as done and lets the next of its lane go.
func (s *session) finish(e *entry) {
	e.finished = true
	lane := s.lanes[e.key][1:]
	if len(lane) == 0 {
		delete(s.lanes, e.key)
	} else {
		s.lanes[e.key] = lane
		s.ready = append(s.ready, lane[0])
	}
	s.advance()
}

// advance moves done past everything that is.
func (s *session) advance() {
	before, n := s.done, 0
	for len(s.window) > 0 && s.window[0].finished {
		s.done = s.window[0].event.Position
		s.window[0] = nil
		s.window = s.window[1:]
		n++
	}
	if len(s.window) == 0 {
		s.done = s.read
	}
	if s.done == before {
		return
	}
	s.unsaved += n
	if f := s.o.Hooks.Done; f != nil {
		f(s.topic, s.done, n)
	}
	if s.unsaved >= s.o.SaveEvents {
		s.save()
	} else {
		s.arm()
	}
}
