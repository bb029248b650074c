package commands

import (
	"strings"

	"quipu/domain/domaintest"
	"quipu/domain/run"
	"quipu/domain/wire"
)

// check holds after each step.
func (w *sim) check() {
	w.t.Helper()
	placed := 0
	for id, m := range w.shard.runs {
		outside := 0
		for _, e := range m.queue {
			if e.outside {
				outside++
			}
		}
		if m.flight != nil {
			for _, p := range m.flight.parts {
				if p.envelope.outside {
					outside++
				}
			}
		}
		if outside != m.outside || outside > w.shard.limits.MailboxMax {
			w.fatalf("%s counts %d outside commands, has %d", id, m.outside, outside)
		}
		if m.place {
			placed++
		}
		switch {
		case m.flight == nil && !m.loading && len(m.queue) > 0:
			w.fatalf("%s has commands and does nothing", id)
		case m.flight == nil && !m.loading && (m.state.Phase != run.Running || !m.place):
			w.fatalf("%s has no reason to stay", id)
		case m.state != nil && m.state.Revision != m.head.Revision:
			w.fatalf("%s is at revision %d and its head at %d", id, m.state.Revision, m.head.Revision)
		case m.flight != nil && m.flight.expected != m.head.Revision:
			w.fatalf("%s appends at %d, its head is %d", id, m.flight.expected, m.head.Revision)
		case m.state != nil && m.head.Revision > w.log.head(m.stream):
			w.fatalf("%s is ahead of its stream", id)
		}
	}
	moving := 0 // places on their way to a mailbox
	for _, c := range w.coming {
		if strings.HasPrefix(c.what, "open ") {
			moving++
		}
		if strings.HasPrefix(c.what, "start ") {
			moving++
		}
	}
	if placed > w.active || placed+moving < w.active || w.active > simPlaces {
		w.fatalf("%d places are taken, %d by mailboxes, %d are on their way", w.active, placed, moving)
	}
}

func (w *sim) finish() {
	if len(w.shard.runs) > 0 || w.active != 0 || len(w.pending) > 0 || w.reserved != 0 || len(w.sleeping) > 0 {
		w.fatalf("left over: %d mailboxes, %d places, %d waiting, %d reserved", len(w.shard.runs), w.active, len(w.pending), w.reserved)
	}
	for id, r := range w.replies {
		if r.count == 0 && !r.lost {
			w.fatalf("%s was never answered", id)
		}
		if r.count == 1 {
			w.checkReply(id, r)
		}
	}
	for _, s := range w.log.order {
		var facts []run.Fact
		l := loaded{}
		for i := range w.log.streams[s] {
			f, err := l.fact(w.t.Context(), w.blobs, &w.log.streams[s][i], endOfStream)
			if err != nil {
				w.fatalf("%s: %v", s, err)
			}
			facts = append(facts, f)
		}
		if err := domaintest.CheckFacts(facts); err != nil {
			w.fatalf("%s: %v", s, err)
		}
		if !wire.EndsRun(w.log.last(s).Type) {
			w.fatalf("%s has not ended: %s", s, w.log.last(s).Type)
		}
	}
}
