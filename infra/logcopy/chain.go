package logcopy

import (
	"container/list"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"

	"quipu/domain"
	"quipu/domain/wire"
)

// chains checks the events of a log, given in order, against their streams' chains. Of each stream it
// keeps the end, of the `most` streams that were used last.
type chains struct {
	source Source
	most   int
	ends   map[domain.StreamID]*list.Element
	used   *list.List // of *end, the one used last in front
}

// end is where a stream stands.
type end struct {
	stream   domain.StreamID
	revision domain.Revision
	chained  bool
	hash     domain.Hash
}

func newChains(source Source, most int) *chains {
	return &chains{source: source, most: most, ends: map[domain.StreamID]*list.Element{}, used: list.New()}
}

// check reports what is wrong with e, which follows all events checked before, and whether it is part of
// a chain. Events from elsewhere, whose metadata names neither the event before nor the data, are not;
// a stream that has begun to be chained stays so. Errors: ErrCorrupt with the place; those of the source.
func (c *chains) check(ctx context.Context, e *domain.Recorded) (chained bool, err error) {
	tell := func(format string, args ...any) error {
		return domain.E(domain.KindCorrupt, "copy", fmt.Sprintf("log %s, stream %q revision %d position %d", c.source.ID(), e.Stream, e.Revision, e.Position),
			fmt.Sprintf(format, args...))
	}
	before, err := c.before(ctx, e)
	switch {
	case errors.Is(err, errNoneBefore):
		return false, tell("no event of the stream before it is at revision %d", e.Revision-1)
	case err != nil:
		return false, err
	}
	if e.Revision != before.revision+1 {
		return false, tell("the stream goes on at revision %d after %d", e.Revision, before.revision)
	}
	after := end{stream: e.Stream, revision: e.Revision, hash: e.Hash()}
	after.chained, err = follows(e, before, after.hash, tell)
	if err != nil {
		return false, err
	}
	c.keep(after)
	return after.chained, nil
}

var errNoneBefore = errors.New("no event before")

// before returns the end of e's stream before e; errNoneBefore if there is none although e is not the first.
func (c *chains) before(ctx context.Context, e *domain.Recorded) (end, error) {
	if known, ok := c.ends[e.Stream]; ok {
		return *known.Value.(*end), nil
	}
	if e.Revision == 0 {
		return end{stream: e.Stream, revision: domain.NoStream}, nil
	}
	// It was used too long ago to be remembered, or the stream does not begin at its first event.
	stored, err := c.source.ReadStream(ctx, e.Stream, e.Revision-1, 1)
	switch {
	case errors.Is(err, domain.ErrNotFound):
		return end{}, errNoneBefore
	case err != nil:
		return end{}, err
	case len(stored) == 0 || stored[0].Revision != e.Revision-1 || stored[0].Position >= e.Position:
		return end{}, errNoneBefore
	}
	_, chained := chainOf(&stored[0])
	return end{stream: e.Stream, revision: stored[0].Revision, chained: chained, hash: stored[0].Hash()}, nil
}

func (c *chains) keep(e end) {
	if known, ok := c.ends[e.stream]; ok {
		*known.Value.(*end) = e
		c.used.MoveToFront(known)
		return
	}
	if c.used.Len() >= c.most {
		last := c.used.Back()
		delete(c.ends, last.Value.(*end).stream)
		c.used.Remove(last)
	}
	c.ends[e.stream] = c.used.PushFront(&e)
}

// chainOf reads what an event says of its chain; !ok if it says nothing.
func chainOf(e *domain.Recorded) (m wire.Metadata, ok bool) {
	m, err := wire.DecodeMetadata(e.Metadata)
	return m, err == nil && (m.Prev != "" || m.DataSHA256 != "")
}

// follows reports whether e is chained and what does not fit.
func follows(e *domain.Recorded, before end, hash domain.Hash, tell func(string, ...any) error) (bool, error) {
	m, ok := chainOf(e)
	if !ok {
		if before.chained {
			return false, tell("the event says nothing of the event before it, as those before do")
		}
		return false, nil
	}
	if want := domain.UUIDv8(hash); e.ID != want {
		return false, tell("the event id is %s, its hash gives %s", e.ID, want)
	}
	switch {
	case e.Revision == 0 && m.Prev != "":
		return false, tell("the first event names an event before it")
	case e.Revision > 0 && m.Prev == "":
		return false, tell("the event does not name the event before it")
	case e.Revision > 0 && m.Prev != before.hash.String():
		return false, tell("the event names another event before it than is stored")
	}
	if sum := sha256.Sum256(e.Data); m.DataSHA256 != "" && m.DataSHA256 != hex.EncodeToString(sum[:]) {
		return false, tell("the data is not what the event was hashed with")
	}
	return true, nil
}
