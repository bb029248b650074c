package memory

import (
	"cmp"
	"context"
	"slices"
	"strings"

	"quipu/commands"
	"quipu/domain"
)

var _ commands.Tails = (*Log)(nil)

// StreamsByLast implements commands.Tails.
func (l *Log) StreamsByLast(ctx context.Context, prefix string, keep func(typ string) bool) ([]domain.StreamID, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.usable(ctx, "list streams of", "log"); err != nil {
		return nil, err
	}
	var found []domain.StreamID
	for id, places := range l.streams {
		if strings.HasPrefix(string(id), prefix) && keep(l.events[places[len(places)-1]].Type) {
			found = append(found, id)
		}
	}
	slices.SortFunc(found, func(a, b domain.StreamID) int { return cmp.Compare(l.streams[a][0], l.streams[b][0]) })
	return found, nil
}
