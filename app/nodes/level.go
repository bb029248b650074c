package nodes

import (
	"context"
	"fmt"

	"quipu/commands"
	"quipu/domain"
	"quipu/domain/wire"
	"quipu/infra/postgres/members"
)

// Gated lets a log take only what all nodes can read.
func (n *Node) Gated(log commands.Log) commands.Log {
	if n.members == nil {
		return log // this program reads all that it writes
	}
	return levelLog{log, n.members.Level}
}

// levelLog refuses events above the feature level in force.
type levelLog struct {
	commands.Log
	level func() int
}

// Append implements commands.Log. Errors: further ErrUnavailable with code LEVEL_TOO_LOW: it works by itself
// once the level has risen, so that runs wait for that.
func (l levelLog) Append(ctx context.Context, stream domain.StreamID, expected domain.Revision, events []domain.Pending) (commands.Appended, error) {
	level := l.level()
	for i := range events {
		if of := wire.LevelOf(events[i].Type); of > level || of == 0 {
			return commands.Appended{}, domain.E(domain.KindUnavailable, "append to", string(stream), fmt.Sprintf(
				"%s needs feature level %d, in force is %d: not all nodes can read it yet; it works once all are upgraded", events[i].Type, of, level)).WithCode(members.CodeLevelTooLow)
		}
	}
	return l.Log.Append(ctx, stream, expected, events)
}
