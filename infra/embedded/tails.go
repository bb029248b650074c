package embedded

import (
	"context"
	"slices"
	"strings"

	"quipu/domain"
)

// StreamsByLast returns the streams whose id starts with prefix and whose newest event is of a type
// that keep accepts, in the order of their first events. It answers from memory what would take
// a reading of the whole log: about 0.25 µs a stream, during which no append is acknowledged.
//
// keep is called once per type, not per stream, and must not use the log.
// Errors: ErrCanceled, ErrDeadline; ErrUnavailable after Close.
func (l *Log) StreamsByLast(ctx context.Context, prefix string, keep func(typ string) bool) ([]domain.StreamID, error) {
	done, err := l.begin(ctx, "list streams of", "log", 1)
	if err != nil {
		return nil, err
	}
	defer done()
	found := l.index.byLast(prefix, keep)
	slices.SortFunc(found, func(a, b first) int {
		if a.place.before(b.place.segment, b.place.offset) {
			return -1
		}
		return 1
	})
	ids := make([]domain.StreamID, len(found))
	for i := range found {
		ids[i] = found[i].id
	}
	return ids, nil
}

// StreamsByLast is that of Log.
func (r *Reader) StreamsByLast(ctx context.Context, prefix string, keep func(typ string) bool) ([]domain.StreamID, error) {
	return r.log.StreamsByLast(ctx, prefix, keep)
}

// first is a stream and where its first append is.
type first struct {
	id    domain.StreamID
	place place
}

func (x *index) byLast(prefix string, keep func(typ string) bool) []first {
	x.mu.RLock()
	defer x.mu.RUnlock()
	var found []first
	kept := map[string]bool{}
	for id, st := range x.streams {
		if st.head == domain.NoStream || !strings.HasPrefix(string(id), prefix) {
			continue
		}
		yes, known := kept[st.last]
		if !known {
			yes = keep(st.last)
			kept[st.last] = yes
		}
		if yes {
			found = append(found, first{st.id, st.appends[0]})
		}
	}
	return found
}
