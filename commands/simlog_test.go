package commands

import (
	"context"
	"crypto/sha256"
	"encoding/hex"

	"quipu/domain"
	"quipu/domain/wire"
)

// simLog is the log of a simulation: it checks what it is given. Only the methods that load needs are
// there.
type simLog struct {
	Log
	streams  map[domain.StreamID][]domain.Recorded
	order    []domain.StreamID
	position domain.Position
}

func (l *simLog) head(s domain.StreamID) domain.Revision {
	return domain.Revision(len(l.streams[s])) - 1
}

func (l *simLog) last(s domain.StreamID) *domain.Recorded { return &l.streams[s][l.head(s)] }

func (l *simLog) append(w *sim, stream domain.StreamID, expected domain.Revision, events []domain.Pending) (Appended, error) {
	if err := domain.CheckAppend(stream, expected, events); err != nil {
		return Appended{}, err
	}
	if l.head(stream) != expected {
		last := expected + domain.Revision(len(events))
		if last > l.head(stream) || l.streams[stream][last].ID != events[len(events)-1].ID {
			return Appended{}, domain.E(domain.KindConflict, "append", string(stream), "is elsewhere")
		}
		return Appended{Revision: last, Position: l.streams[stream][last].Position}, nil
	}
	for i, e := range events {
		m, err := wire.DecodeMetadata(e.Metadata)
		if err != nil {
			w.fatalf("%v", err)
		}
		if len(l.streams[stream]) > 0 {
			if prev := l.last(stream).Hash(); m.Prev != prev.String() {
				w.fatalf("%s: the chain breaks at revision %d", stream, expected+1+domain.Revision(i))
			}
		} else {
			l.order = append(l.order, stream)
		}
		l.position++
		l.streams[stream] = append(l.streams[stream], domain.Recorded{
			Stream: stream, Revision: l.head(stream) + 1, Position: l.position, ID: e.ID, Type: e.Type, Metadata: e.Metadata, Data: e.Data,
		})
	}
	return Appended{Revision: l.head(stream), Position: l.position}, nil
}

// find returns the last event of a command.
func (l *simLog) find(stream domain.StreamID, commandID string) *domain.Recorded {
	for i := len(l.streams[stream]) - 1; i >= 0; i-- {
		if m, _ := wire.DecodeMetadata(l.streams[stream][i].Metadata); m.CommandID == commandID {
			return &l.streams[stream][i]
		}
	}
	return nil
}

// ReadStream implements Log.
func (l *simLog) ReadStream(_ context.Context, stream domain.StreamID, from domain.Revision, most int) ([]domain.Recorded, error) {
	events := l.streams[stream]
	if len(events) == 0 {
		return nil, domain.E(domain.KindNotFound, "read", string(stream), "no such stream")
	}
	events = events[min(max(int(from), 0), len(events)):]
	return events[:min(most, len(events))], nil
}

type simBlobs map[string][]byte

func (b simBlobs) add(content []byte) {
	sum := sha256.Sum256(content)
	b[hex.EncodeToString(sum[:])] = content
}

// Put implements Blobs.
func (b simBlobs) Put(_ context.Context, content []byte) (string, error) {
	b.add(content)
	return "", nil
}

// Get implements Blobs.
func (b simBlobs) Get(_ context.Context, name string) ([]byte, error) {
	content, ok := b[name]
	if !ok {
		return nil, domain.E(domain.KindNotFound, "get blob", name, "does not exist")
	}
	return content, nil
}
