package readapi

import (
	"context"
	"fmt"
	"time"

	"quipu/domain"
	"quipu/domain/wire"
	"quipu/readapi/lao"
)

// runStreamPrefix starts the id of every run's stream.
const runStreamPrefix = "run-"

func runStream(executionID string) domain.StreamID {
	return domain.StreamID(runStreamPrefix + executionID)
}

// revisionMax lies beyond every stream's head.
const revisionMax = domain.Revision(1) << 62

// resolve finds the first run to show: the one asked for, else the newest that was not abandoned,
// looking at bindings from revision `from` down. It opens the reader of later bindings.
func (s *laoSession) resolve(ctx context.Context, now time.Time, from domain.Revision) error {
	stream := s.nameStream()
	head := domain.NoStream
	first := true
	for from >= 0 {
		page, err := s.live.log.ReadStreamBackward(ctx, stream, from, bindingsPage)
		if err != nil && domain.KindOf(err) != domain.KindNotFound {
			return err
		}
		if len(page) == 0 {
			break
		}
		if first {
			head, first = page[0].Revision, false
		}
		for i := range page {
			b, err := binding(&page[i])
			if err != nil {
				return err
			}
			chosen, err := s.choose(ctx, now, b)
			if err != nil {
				return err
			}
			if chosen {
				s.openNames(b.revision + 1)
				return nil
			}
		}
		from = page[len(page)-1].Revision - 1
	}
	s.resolved = true
	s.current = nil
	s.wanted = s.req.executionID
	if s.wanted != "" {
		s.last = shown{executionID: s.wanted, status: statusWaiting, head: domain.NoStream, hint: "this name has no such run yet; it is shown here when it starts"}
	}
	s.openNames(head + 1)
	return nil
}

// openNames follows later bindings, unless it is done already: going back to an older binding must
// not lose the place among the newer ones.
func (s *laoSession) openNames(from domain.Revision) {
	s.resolved = true
	if s.names == nil {
		s.names = s.live.readers(s.nameStream(), from, s.notify)
	}
}

func binding(e *domain.Recorded) (bound, error) {
	n, err := wire.DecodeNameBound(e.Type, e.Data)
	return bound{revision: e.Revision, executionID: n.ExecutionID}, err
}

// choose decides about one binding, from the newest down.
func (s *laoSession) choose(ctx context.Context, now time.Time, b bound) (bool, error) {
	if s.req.executionID != "" && b.executionID != s.req.executionID {
		return false, nil
	}
	page, err := s.live.log.ReadStream(ctx, runStream(b.executionID), 0, 1)
	switch {
	case err != nil && domain.KindOf(err) != domain.KindNotFound:
		return false, err
	case len(page) == 0:
		s.follow(b, 0, domain.NoStream)
		s.current.pending, s.current.first = true, true
		return true, nil
	case page[0].Type == wire.RunAbandoned:
		// An abandoned run is shown nowhere; if it is the very one asked for, what follows it is.
		if s.req.executionID != "" {
			s.current = nil
			return true, nil
		}
		return false, nil
	}
	return true, s.settle(ctx, now, b)
}

// settle applies the cursor to a run that exists, or D3's rule if there is none.
func (s *laoSession) settle(ctx context.Context, now time.Time, b bound) error {
	if s.req.cursor == cursorNone && s.req.executionID != "" {
		s.follow(b, 0, domain.NoStream)
		return nil
	}
	page, err := s.live.log.ReadStreamBackward(ctx, runStream(b.executionID), revisionMax, 1)
	if err != nil {
		return err
	}
	last := &page[0]
	ended := wire.EndsRun(last.Type)
	if s.req.cursor == cursorFrom && (!ended || s.req.offset <= last.Revision) {
		// A cursor beyond the head still has to see the run's end, or later runs would never follow.
		s.follow(b, min(s.req.offset, last.Revision+1), s.req.offset-1)
		s.current.from = s.req.offset
		return nil
	}
	if s.req.cursor == cursorLatest && !ended {
		s.follow(b, last.Revision+1, last.Revision)
		s.last.head = last.Revision
		return nil
	}
	at, err := wire.DecodeAt(last.Metadata)
	if err != nil {
		return err
	}
	if s.req.cursor == cursorNone && (!ended || !s.req.fresh && now.Sub(at) < s.live.options.ReplayWindow) {
		s.follow(b, 0, domain.NoStream)
		return nil
	}
	s.current = nil
	s.keepaliveIn = true
	s.last = shown{
		executionID: b.executionID, status: statusOfEnd(last.Type), head: last.Revision,
		hint: fmt.Sprintf("the run ended at %s; connect with from=0 to see it again; the next run of this name is shown here when it starts", at.Format(domain.TimeLayout)),
	}
	return nil
}

// following takes the next binding of the name, if there is one.
func (s *laoSession) following(ctx context.Context) (bool, error) {
	for {
		if len(s.queue) == 0 {
			events, err := s.names.Poll(ctx)
			if err != nil || len(events) == 0 {
				return false, err
			}
			for _, e := range events {
				b, err := binding(e.Recorded())
				if err != nil {
					return false, err
				}
				s.queue = append(s.queue, b)
			}
		}
		b := s.queue[0]
		s.queue = s.queue[1:]
		if s.wanted != "" && b.executionID != s.wanted {
			continue
		}
		first := s.wanted != "" // the cursor speaks of this run
		s.wanted = ""
		s.follow(b, 0, domain.NoStream)
		s.current.pending, s.current.first = true, first
		return true, nil
	}
}

// follow makes b the current run, read from revision from on; prev is what its first frame names.
func (s *laoSession) follow(b bound, from, prev domain.Revision) {
	s.current = &current{
		bound: b, prev: prev,
		run:    lao.Run{ID: b.executionID, FlowName: s.req.flow, RunName: s.req.run},
		reader: s.live.readers(runStream(b.executionID), from, s.notify),
	}
	s.last = shown{executionID: b.executionID, status: statusRunning, head: from - 1}
}
