package kurrentdb

import (
	"context"
	"errors"
	"fmt"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"
	"github.com/google/uuid"

	"quipu/commands"
	"quipu/domain"
)

// Append implements commands.Log. An append whose outcome is unknown is sent again within its time, with
// the same ids at the same revision, which the server answers as it did before; only if that tells nothing
// either does the caller get ErrIndeterminate.
func (l *Log) Append(ctx context.Context, stream domain.StreamID, expected domain.Revision, events []domain.Pending) (commands.Appended, error) {
	if err := domain.CheckAppend(stream, expected, events); err != nil {
		return commands.Appended{}, err
	}
	if stream == IDStream {
		return commands.Appended{}, domain.E(domain.KindInvalid, "append to", string(stream), "the name is taken by the log's id")
	}
	if err := l.usable(ctx, "append to", string(stream)); err != nil {
		return commands.Appended{}, err
	}
	a := appending{log: l, stream: stream, expected: expected, ids: make([]domain.EventID, len(events)), events: copied(events)}
	for i := range events {
		a.ids[i] = events[i].ID
	}
	limited, cancel := l.limited(ctx)
	defer cancel()
	at, err := a.run(ctx, limited)
	if err == nil {
		l.feed.acknowledge(at.Position)
	}
	return at, err
}

// copied makes the library's events, with bytes of their own: a call that is given up may still be at
// work on them after Append has returned.
func copied(events []domain.Pending) []esdb.EventData {
	size := 0
	for i := range events {
		size += len(events[i].Data) + len(events[i].Metadata)
	}
	buffer := make([]byte, 0, size)
	keep := func(b []byte) []byte {
		buffer = append(buffer, b...)
		return buffer[len(buffer)-len(b) : len(buffer) : len(buffer)]
	}
	all := make([]esdb.EventData, len(events))
	for i := range events {
		e := &events[i]
		all[i] = esdb.EventData{EventID: uuid.UUID(e.ID), EventType: e.Type, Data: keep(e.Data), Metadata: keep(e.Metadata)}
		if len(e.Data) > 0 && e.Data[0] == '{' { // every event of ours; the server shows such ones as text
			all[i].ContentType = esdb.ContentTypeJson
		}
	}
	return all
}

// appending is one append under way.
type appending struct {
	log      *Log
	stream   domain.StreamID
	expected domain.Revision
	ids      []domain.EventID
	events   []esdb.EventData
	unknown  error // why an earlier try may have been stored
}

// run tries within limited, which is the caller's ctx with the time limit of one call.
func (a *appending) run(ctx, limited context.Context) (commands.Appended, error) {
	for try := 1; ; try++ {
		result, sent, err := call(limited, a.log.writes, a.send)
		if err == nil {
			return a.settle(limited, result)
		}
		if !sent {
			return commands.Appended{}, a.unsent(ctx, err)
		}
		f := classify(err)
		if f.kind == domain.KindConflict {
			return a.compare(limited)
		}
		if !f.unknown {
			return commands.Appended{}, a.failed(f, err)
		}
		a.unknown = err
		if limited.Err() != nil || try == callAttemptsMax || a.log.closed() || !pause(limited.Done(), a.log.options.backoff(try)) {
			return commands.Appended{}, a.indeterminate(err)
		}
	}
}

func (a *appending) send(ctx context.Context, c *esdb.Client) (*esdb.WriteResult, error) {
	var expected esdb.ExpectedRevision = esdb.NoStream{}
	if a.expected != domain.NoStream {
		expected = esdb.Revision(uint64(a.expected))
	}
	o := esdb.AppendToStreamOptions{ExpectedRevision: expected, Deadline: &a.log.options.CallTimeout}
	return c.AppendToStream(ctx, a.log.name(a.stream), o, a.events...)
}

// last is the revision of the last event, once stored.
func (a *appending) last() domain.Revision { return a.expected + domain.Revision(len(a.ids)) }

// settle reads a success. The library gives other numbers where the server left some out: then the
// events themselves tell.
func (a *appending) settle(limited context.Context, result *esdb.WriteResult) (commands.Appended, error) {
	if result.CommitPosition > a.log.created && result.NextExpectedVersion == uint64(a.last()) {
		return commands.Appended{Revision: a.last(), Position: position(result.CommitPosition)}, nil
	}
	a.unknown = fmt.Errorf("the server answered with revision %d and position %d", result.NextExpectedVersion, result.CommitPosition)
	return a.compare(limited)
}

// compare answers an append that was not at the stream's end: with the earlier outcome if the events right
// after expected carry its ids, else with a conflict.
func (a *appending) compare(limited context.Context) (commands.Appended, error) {
	stored, err := a.log.page(limited, a.stream, a.expected+1, len(a.ids))
	if err != nil && !errors.Is(err, domain.ErrNotFound) {
		return commands.Appended{}, a.indeterminate(err) // an earlier try may be what stands there
	}
	if len(stored) == len(a.ids) {
		same := true
		for i := range stored {
			same = same && stored[i].ID == a.ids[i]
		}
		if same {
			return commands.Appended{Revision: a.last(), Position: stored[len(stored)-1].Position}, nil
		}
	}
	return commands.Appended{}, domain.E(domain.KindConflict, "append to", string(a.stream), "is not at the expected revision").
		WithDetails(map[string]any{"expected": int64(a.expected)})
}

// unsent is the error of a try that was never handed to the library.
func (a *appending) unsent(ctx context.Context, err error) error {
	if a.unknown != nil {
		return a.indeterminate(a.unknown)
	}
	if over := overdue(ctx, "append to", string(a.stream)); over != nil {
		return over
	}
	return domain.Wrap(domain.KindUnavailable, "append to", string(a.stream), plain(err))
}

// failed is the error of an append that the server certainly refused.
func (a *appending) failed(f fault, err error) error {
	if a.unknown != nil {
		return a.indeterminate(err)
	}
	kind := f.kind
	if kind == domain.KindNotFound || kind == domain.KindInternal {
		kind = domain.KindUnavailable
	}
	return f.wrap(kind, "append to", string(a.stream), err)
}

func (a *appending) indeterminate(err error) error {
	return classify(err).wrap(domain.KindIndeterminate, "append to", string(a.stream), err)
}
